#pragma once
/* The retry budget: retries may add a fifth to what the group does anyway, so that a group in
 * trouble is not buried under its own repeated attempts. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** How many charged retries may be under way: 20 % of `active` operations in the group, and never
 *  less than 3 per member that serves, at most 10 (a quiet group must be able to fail over too). */
int64_t pool_budget_limit(int64_t active, unsigned serving);

/** Takes one unit from `out` if the limit allows. Any thread. */
bool pool_budget_take(_Atomic int64_t *out, int64_t active, unsigned serving);

/** Gives one unit back. Any thread. */
void pool_budget_give(_Atomic int64_t *out);

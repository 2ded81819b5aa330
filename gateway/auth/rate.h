#pragma once
/* limits.rate: requests, and operations of a batch, a second of one client (identity), over all
 * loops and connections. A token bucket that holds one second's worth, kept as the moment at which
 * it would be full again (GCRA), so that a request costs one compare-and-swap and an idle client
 * costs nothing. */

#include <stddef.h>
#include <stdint.h>

/** A client's name (its identity's subject) as a number, never 0. */
uint64_t gw_rate_hash(const char *client);

struct gw_rate;

/** `per_second` 0: no limit. NULL when memory is short. */
struct gw_rate *gw_rate_create(unsigned per_second);
/** From now on; what clients have used stays used. Any thread. */
void gw_rate_set(struct gw_rate *rate, unsigned per_second);
void gw_rate_destroy(struct gw_rate *rate);
/** Takes one request of `client` (its identity's subject) out of its bucket. 0: it may go on; else
 *  the seconds after which it is worth trying again, at least 1. Any thread. */
unsigned gw_rate_take(struct gw_rate *rate, const char *client, int64_t now_ns);

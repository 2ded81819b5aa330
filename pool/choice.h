#pragma once
/* Which member takes an operation. */

#include "pool/port.h"

/** Expected time until `member` would have answered `op`, in ns, slow start included. */
double pool_group_expected_ns(struct pool_port *port, const struct pool_member *member,
                              const struct pool_op *op);

/** Chooses among the members for `op`; NULL with the reason in `why`: KW_E_BUSY when those that it
 * would go to have as much as they take now. Port's thread. */
struct pool_member *pool_group_choose(struct pool_port *port, const struct pool_op *op,
                                      kw_status *why);

/** Does the member belong to the scope that `op` is for? */
bool pool_choice_in_scope(const struct pool_member *member, const struct pool_op *op);

/** Operations that the member works on at the same time. */
unsigned pool_choice_parallel(const struct pool_member *member);

/** What `op` is expected to cost there, in ns: measured, else a guess. */
uint32_t pool_choice_cost_ns(const struct pool_member *member, const struct pool_op *op);

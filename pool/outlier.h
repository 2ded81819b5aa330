#pragma once
/* Members that serve, but clearly worse than the others: for some time they are asked last, as
 * suspect ones are. Works with two members and more, because it compares with the median of the
 * others and not with a deviation; never takes the last one out, and never one that alone can serve
 * an operation, because asked last is still asked.
 *
 *   errors    more than a fifth of its attempts failed in a window, at least five, and more than
 * three times the share of the others. A failed attempt counts only once another member has
 * answered the same operation: what is wrong with a request is wrong everywhere, and charges
 * nobody. latency   its service time of a shape is over four times the median of the others' and
 * over four times that of itself with little to do, in three windows in a row. A member that is far
 * away and always was is no outlier; the choice gives it less.
 *
 * The first time lasts five seconds, each further one twice as long, at most five minutes; a minute
 * without another one forgets. It comes back with a tenth of its weight, and all of it after ten
 * seconds. */

#include "pool/port.h"

/** Is it asked last now? Any thread. */
bool pool_outlier_is_out(const struct pool_member *member, int64_t now_ns);
/** Share of its weight after it came back, in 1/1024. Any thread. */
unsigned pool_outlier_weight(const struct pool_member *member, int64_t now_ns);
/** An attempt of `op` on `member` was answered: those on which it had failed before are charged. */
void pool_outlier_answered(struct pool_member *member, const struct pool_op *op);
/** Looks at a window when it is over. Once a turn. */
void pool_outlier_run(struct pool_port *port);

#pragma once
/* Hedging: an operation that takes longer than the group's own 95th percentile of its shape is sent
 * to a second member as well, and the first good answer is the answer.
 *
 * The second attempt is a *twin*: an operation of the pool's own with its own output room, so that
 * two members never write into one buffer. Only kinds that can let go of an operation (`abandon`)
 * take part; what they let go of can never write again. At most HEDGE_SHARE of the operations are
 * sent twice (a token bucket), and only where the second member is expected to answer within the
 * same percentile. Everything here runs on the port's thread. */

#include "pool/port.h"

/** An attempt begins: it may be hedged later. Before the kind's submit. */
void pool_hedge_watch(struct pool_op *op, const struct pool_member *member);
/** An attempt ended, whatever came of it. `done`: with an answer, which is then learned from. */
void pool_hedge_unwatch(struct pool_op *op, bool done);

/** Sends what is overdue to a second member. Once a turn; sets port->hedge_ns. */
void pool_hedge_run(struct pool_port *port);

/** The attempt of `op` has a good answer. True: `op` itself may finish now. False: it is taken care
 *  of (a twin's result was handed over, or the end comes when the twin's check has ended). */
bool pool_hedge_answered(struct pool_op *op);
/** The attempt of `op` failed. True: nothing more to do (a twin is dropped, or the other attempt is
 *  still under way). False: `op` needs another member or an end. */
bool pool_hedge_failed(struct pool_op *op);

/** Frees what is kept for reuse. */
void pool_hedge_free_all(struct pool_port *port);

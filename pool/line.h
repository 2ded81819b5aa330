#pragma once
/* A port's line: operations that wait for a member because those that could take them have as much
 * as they may (pool/limit.h). Clients take turns in it (pool/fair.h). An operation waits half of
 * the time it has, and no longer than a second, before it is refused with KW_E_BUSY; after three
 * quarters of that a member of any rank will do (a standby). Key generation waits half of its time.
 *
 * The line is bounded: beyond `queue_max` for each member that serves, and earlier when what waits
 * would take longer than that, operations are refused at once. A client that has little in flight
 * is let in all the same, so that one that floods the gateway cannot have the others refused. */

#include "pool/port.h"

/** May `op` join the line? Sets op->retry_after_s when not. Port's thread. */
bool pool_line_admits(struct pool_port *port, struct pool_op *op);
/** The core's queue is full: may the client of `op` still add to it? */
bool pool_line_is_small(const struct pool_port *port, const struct pool_op *op);
/** An accepted operation joins. Port's thread. */
void pool_line_push(struct pool_port *port, struct pool_op *op);
/** Gives members what they have room for, and ends what has waited too long. Once a turn or more.
 */
void pool_line_run(struct pool_port *port);

/** The operation counts for its client from here on, until pool_line_leave. Port's thread. */
void pool_line_enter(struct pool_port *port, const struct pool_op *op);
void pool_line_leave(struct pool_port *port, const struct pool_op *op);

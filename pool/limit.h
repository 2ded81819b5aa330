#pragma once
/* How many attempts a member may have under way. What it cannot work on yet waits in the port's
 * line (pool/line.h), where it can still go elsewhere and clients take turns, and not in the
 * member's own queue, where it cannot and they do not.
 *
 * The limit moves between the kind's depth_min and depth_max for each session. At the end of a
 * window of answers it grows by an eighth when it was reached and answers took less than twice the
 * time they take on the unloaded member; it falls in proportion when they took longer. */

#include "pool/port.h"

/** First limit of a member, whose sessions are known; before ports give it work. */
void pool_limit_init(struct pool_member *member);
unsigned pool_limit_now(const struct pool_member *member);
/** May this port give the member one more? Every port has its share, whatever the others have
 * there. Port's thread. */
bool pool_limit_has_room(const struct pool_member *member, const struct pool_port *port);
/** Learns from an attempt that was answered. Port's thread. */
void pool_limit_learn(struct pool_member *member, const struct pool_op *op);

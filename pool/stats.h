#pragma once
/* Counting and reading. */

#include "pool/port.h"

/** Counts the end of an attempt on the serving member. Port's thread. `failed`: the member's fault.
 */
void pool_stats_attempt(const struct pool_op *op, bool failed);

/** Adds the port's counters to what the pool keeps of ports that are gone. Ports lock held. */
void pool_stats_retire(struct pool_port *port);

/** A member goes, no port is attached to it: its counters become those of the member of its name,
 *  or go with it. Supervisor thread. */
void pool_stats_bury(struct pool *pool, unsigned index);

#pragma once
/* One thread that keeps the members' hosts alive: calls each kind's `supervise`, ends slow starts,
 * watches the core's alarms, and sleeps until the next of these is due. */

#include "pool/pool_impl.h"

/** Makes `pool->supervisor`: from now on it can be woken. */
KW_MUST_CHECK kw_status pool_supervisor_create(struct pool *pool);

/** Starts the thread. */
KW_MUST_CHECK kw_status pool_supervisor_start(struct pool *pool);

/** Stops and joins the thread; afterwards waking is harmless. Safe when it was never started. */
void pool_supervisor_stop(struct pool *pool);

/** Frees what create made; no thread may wake it any more. */
void pool_supervisor_free(struct pool *pool);

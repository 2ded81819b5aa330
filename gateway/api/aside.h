#pragma once
/* Work of a handler that takes too long for an event loop and is no operation of the pool: the
 * check that the members of an imported key belong together (a primality test of RSA-4096 takes a
 * good part of a second). One thread, started with the first use; rare work only. */

#include "crypto/base/status.h"
#include "gateway/net/loop.h"

/** `work` runs on the thread, then `done` on `loop`; both get `ctx`, which stays alive until
 * `done`. KW_E_BUSY when too much waits already (neither is called); KW_E_NOMEM. Loop thread. */
KW_MUST_CHECK kw_status gw_aside_run(struct gw_loop *loop, void (*work)(void *ctx),
                                     void (*done)(void *ctx), void *ctx);

/** Once the loops of `app` have ended and before anything goes that work may use: waits for what
 * runs, drops what waits (nobody is left to be answered). Main thread. */
void gw_aside_settle(struct gw_app *app);

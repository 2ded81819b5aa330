#pragma once
/* An event loop: one thread, one event_base, its own listeners' sockets, its own connections, its
 * own port into the pool. Shared-nothing: a connection never changes loop.
 *
 * A turn: libevent dispatches what is ready; then pool_port_run; then calls posted from other
 * threads; then every connection that has output is flushed once (write coalescing); then objects
 * freed in callbacks are released. */

#include <event2/event.h>

#include "pool/pool.h"

struct gw_loop;
struct gw_app;

struct gw_loop *gw_loop_create(struct gw_app *app, unsigned index);
/** Starts the thread. */
KW_MUST_CHECK kw_status gw_loop_start(struct gw_loop *loop);
/** Asks the loop to drain: listeners closed, GOAWAY sent, requests in flight finished, then the
 *  thread ends. Connections still open after `grace_ms` are cut. Any thread. */
void gw_loop_drain(struct gw_loop *loop, unsigned grace_ms);
void gw_loop_join(struct gw_loop *loop);
void gw_loop_destroy(struct gw_loop *loop);

struct event_base *gw_loop_base(struct gw_loop *loop);
struct pool_port *gw_loop_port(struct gw_loop *loop);
struct gw_app *gw_loop_app(struct gw_loop *loop);
unsigned gw_loop_index(const struct gw_loop *loop);
bool gw_loop_draining(const struct gw_loop *loop);

/** Runs `fn(arg)` on the loop's thread soon; many calls share one wake-up. Any thread. */
KW_MUST_CHECK kw_status gw_loop_post(struct gw_loop *loop, void (*fn)(void *arg), void *arg);

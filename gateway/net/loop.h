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

/* --- for the protocol side; loop thread only --- */

/** Work for the end of the turn, embedded in its object. Queued at most once at a time. */
struct gw_turn_task {
    struct gw_turn_task *next;
    void (*run)(struct gw_turn_task *task);
    bool queued;
};

/** Runs the task in this turn's flush step (or the next turn's when called too late). */
void gw_loop_flush(struct gw_loop *loop, struct gw_turn_task *task);
/** Runs the task as the last thing of the turn: for freeing objects that callbacks still use. */
void gw_loop_release(struct gw_loop *loop, struct gw_turn_task *task);

/** Something that lives on the loop and ends with it. `drain`: stop taking in new work, finish what
 *  is there; `cut`: the grace is over, end everything now. */
struct gw_drain_hook {
    struct gw_drain_hook *next;
    struct gw_loop *loop; /* NULL once the loop is destroyed */
    void (*drain)(struct gw_drain_hook *hook);
    void (*cut)(struct gw_drain_hook *hook);
};
/** Before the thread starts. The hook stays the caller's and outlives the thread. */
void gw_loop_add_drain_hook(struct gw_loop *loop, struct gw_drain_hook *hook);
/** When the hook's owner goes before the loop does; the thread must not be running. */
void gw_loop_remove_drain_hook(struct gw_drain_hook *hook);

/** The draining thread ends once nothing is held (or, after `cut`, at once). */
void gw_loop_hold(struct gw_loop *loop);
void gw_loop_unhold(struct gw_loop *loop);

/** Deadlines of the loop's connections, coarse (GW_WHEEL_TICK_MS) and cheap. */
struct gw_wheel *gw_loop_wheel(struct gw_loop *loop);
/** Monotonic time at the start of this turn: for what a clock call per use would be too dear. */
int64_t gw_loop_now(const struct gw_loop *loop);

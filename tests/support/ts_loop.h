#pragma once
/* A loop for tests that need completions on one thread, and nothing else of an event loop. */

#include "gateway/net/loop.h"

struct ts_loop;

struct ts_loop *ts_loop_create(void);
void ts_loop_destroy(struct ts_loop *loop);

/** The pointer that store and vault calls take; understood by the three functions below alone. */
struct gw_loop *ts_loop_handle(struct ts_loop *loop);

/** Has the signature of gw_loop_post. Any thread. */
kw_status ts_loop_post(struct gw_loop *loop, void (*fn)(void *arg), void *arg);
/** Stands for gw_loop_port: what ts_loop_set_port gave. */
struct pool_port *ts_loop_port(struct gw_loop *loop);

/** `run` is called with the port whenever `fd` is readable, and once per turn. */
void ts_loop_set_port(struct ts_loop *loop, struct pool_port *port, int fd,
                      void (*run)(struct pool_port *port));

/** Runs calls on this thread until `*flag` is true; false after `timeout_ms`. */
bool ts_loop_run_until(struct ts_loop *loop, const bool *flag, int timeout_ms);

/** How many calls were posted. */
unsigned long ts_loop_posts(struct ts_loop *loop);

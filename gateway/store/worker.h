#pragma once
/* Inside the store: its two threads, and how answers find their loops. */

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/store/queue.h"

/** gw_loop_post, or what stands in for it where no event loop runs. */
typedef kw_status store_post_fn(struct gw_loop *loop, void (*fn)(void *arg), void *arg);

enum store_medium {
    STORE_MEDIUM_GOOD,
    STORE_MEDIUM_FULL, /* writes refused until a probe write succeeds */
    STORE_MEDIUM_LOST  /* writes refused until the process starts again */
};

struct store_waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
};

struct store_counters {
    unsigned long long commits; /* transactions made durable */
    unsigned long long changes; /* changes in them, refused ones included */
};

struct store {
    struct store_engine *engine;
    store_post_fn *post;
    pthread_t writer, reader;
    struct store_queue changes, queries;
    _Atomic int medium; /* enum store_medium; changed by store_worker_write's thread alone */
    _Atomic unsigned long long commits, committed_changes;
};

/** A store over any engine, which it owns from now on, whatever comes of it. */
KW_MUST_CHECK kw_status store_create(struct store **out, struct store_engine *engine,
                                     store_post_fn *post);
struct store_counters store_counters_read(const struct store *store);

/** Thread bodies; `arg` is the store. They end when their queue is closed and empty. */
void *store_worker_write(void *arg);
void *store_worker_read(void *arg);

void store_request_free(struct store_request *req);
/** Sets a failure: rows that were gathered do not count. */
void store_request_fail(struct store_request *req, kw_status status);

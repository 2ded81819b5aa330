#pragma once
/* A bounded queue of requests: any thread puts, one thread takes everything that waits. */

#include <pthread.h>

#include "gateway/store/engine.h"

struct store_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    /* under lock */
    struct store_request *head, **tail;
    size_t count, limit;
    bool closed;
};

KW_MUST_CHECK kw_status store_queue_init(struct store_queue *queue, size_t limit);
void store_queue_destroy(struct store_queue *queue);

/** Any thread. KW_E_BUSY when it is full (the close of a cursor always has room), KW_E_UNAVAILABLE
 * once it is closed. */
KW_MUST_CHECK kw_status store_queue_put(struct store_queue *queue, struct store_request *req);

/** Waits until something is there, it is closed, or `wait_ms` have passed (negative: for ever);
 *  then up to `max` requests in order, NULL when there are none. `*closed` is set once the queue is
 *  closed and nothing is left in it. */
struct store_request *store_queue_take(struct store_queue *queue, size_t max, int wait_ms,
                                       bool *closed);

/** No more puts; what waits can still be taken. Any thread. */
void store_queue_close(struct store_queue *queue);

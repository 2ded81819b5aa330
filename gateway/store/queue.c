#include "gateway/store/queue.h"

#include <errno.h>
#include <time.h>

kw_status store_queue_init(struct store_queue *queue, size_t limit)
{
    pthread_condattr_t attr;
    memset(queue, 0, sizeof *queue);
    queue->tail = &queue->head;
    queue->limit = limit;
    if (pthread_mutex_init(&queue->lock, NULL) != 0)
        return KW_E_NOMEM;
    if (pthread_condattr_init(&attr) != 0) {
        pthread_mutex_destroy(&queue->lock);
        return KW_E_NOMEM;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&queue->filled, &attr);
    pthread_condattr_destroy(&attr);
    if (rc != 0) {
        pthread_mutex_destroy(&queue->lock);
        return KW_E_NOMEM;
    }
    return KW_OK;
}

void store_queue_destroy(struct store_queue *queue)
{
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
}

kw_status store_queue_put(struct store_queue *queue, struct store_request *req)
{
    kw_status status = KW_OK;
    req->next = NULL;
    pthread_mutex_lock(&queue->lock);
    if (queue->closed) {
        status = KW_E_UNAVAILABLE;
    } else if (queue->count >= queue->limit && req->op != STORE_OP_CURSOR_CLOSE) {
        status = KW_E_BUSY;
    } else {
        bool was_empty = queue->count == 0;
        *queue->tail = req;
        queue->tail = &req->next;
        queue->count++;
        if (was_empty)
            pthread_cond_signal(&queue->filled);
    }
    pthread_mutex_unlock(&queue->lock);
    return status;
}

static void wait_filled(struct store_queue *queue, int wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (queue->count == 0 && !queue->closed) {
        int rc = wait_ms < 0 ? pthread_cond_wait(&queue->filled, &queue->lock)
                             : pthread_cond_timedwait(&queue->filled, &queue->lock, &until);
        if (rc == ETIMEDOUT)
            return;
    }
}

struct store_request *store_queue_take(struct store_queue *queue, size_t max, int wait_ms,
                                       bool *closed)
{
    pthread_mutex_lock(&queue->lock);
    wait_filled(queue, wait_ms);
    struct store_request *list = queue->head, **end = &queue->head;
    size_t taken = 0;
    while (*end && taken < max) {
        end = &(*end)->next;
        taken++;
    }
    queue->head = *end;
    *end = NULL;
    if (taken == 0)
        list = NULL;
    if (!queue->head)
        queue->tail = &queue->head;
    queue->count -= taken;
    *closed = queue->closed && queue->count == 0 && taken == 0;
    pthread_mutex_unlock(&queue->lock);
    return list;
}

void store_queue_close(struct store_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

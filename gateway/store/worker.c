#include "gateway/store/worker.h"

#include <stdlib.h>
#include <time.h>

#include "crypto/base/clock.h"
#include "gateway/obs/log.h"

#define GROUP_MAX      512  /* changes of one transaction */
#define PROBE_EVERY_MS 1000 /* while the disk is full */
#define PARK_RETRY_MS  5
#define PARK_GIVE_UP   200 /* tries at closing: a loop that takes no calls for a second is gone */

void store_request_free(struct store_request *req)
{
    while (req->parts) {
        struct store_request *part = req->parts;
        req->parts = part->next;
        free(part->record);
        free(part);
    }
    store_result_clear(&req->result);
    free(req->record);
    free(req);
}

void store_request_fail(struct store_request *req, kw_status status)
{
    store_result_clear(&req->result);
    req->result.status = status;
}

/* --- answers --- */

/** On the loop's thread: a chain of requests that one transaction, or one query, has answered. */
static void deliver(void *arg)
{
    struct store_request *req = arg;
    while (req) {
        struct store_request *next = req->next;
        req->done(req->ctx, &req->result);
        store_request_free(req);
        req = next;
    }
}

static void wake(struct store_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->done = true;
    pthread_cond_signal(&waiter->ended);
    pthread_mutex_unlock(&waiter->lock);
}

/** Cuts from `*list` everything that goes where its first request goes, in order. */
static struct store_request *cut_chain(struct store_request **list)
{
    struct store_request *chain = *list, **chain_end = &chain->next;
    struct store_request *req = chain->next, *rest = NULL, **rest_end = &rest;
    while (req) {
        struct store_request ***end =
            req->loop == chain->loop && !req->waiter && req->done ? &chain_end : &rest_end;
        **end = req;
        *end = &req->next;
        req = req->next;
    }
    *chain_end = NULL;
    *rest_end = NULL;
    *list = rest;
    return chain;
}

static void free_chain(struct store_request *chain)
{
    while (chain) {
        struct store_request *next = chain->next;
        store_request_free(chain);
        chain = next;
    }
}

/** Sends every answer of `list` off, one call per loop. A chain that its loop does not take now is
 *  kept in `*parked`, one list of chains' requests, and sent again later. */
static void answer(struct store *store, struct store_request *list, struct store_request **parked)
{
    while (list) {
        if (list->waiter) {
            struct store_request *req = list;
            list = req->next;
            wake(req->waiter); /* the waiter owns the request */
            continue;
        }
        if (!list->done) {
            struct store_request *req = list;
            list = req->next;
            store_request_free(req);
            continue;
        }
        struct store_request *chain = cut_chain(&list);
        kw_status status = store->post(chain->loop, deliver, chain);
        if (status == KW_E_UNAVAILABLE) {
            free_chain(chain); /* the loop has ended: nobody waits any more */
        } else if (status != KW_OK) {
            struct store_request **end = parked;
            while (*end)
                end = &(*end)->next;
            *end = chain;
        }
    }
}

static void answer_parked(struct store *store, struct store_request **parked)
{
    struct store_request *list = *parked;
    *parked = NULL;
    answer(store, list, parked);
}

/** At the end of a thread: the last answers, and what no loop will take any more is freed. */
static void settle_parked(struct store *store, struct store_request **parked)
{
    for (int i = 0; *parked && i < PARK_GIVE_UP; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PARK_RETRY_MS * 1000000L}, NULL);
        answer_parked(store, parked);
    }
    free_chain(*parked);
    *parked = NULL;
}

/* --- the writer --- */

/** The only place where the medium changes; says so where an operator looks. */
static void set_medium(struct store *store, enum store_medium medium)
{
    const char *text = store->engine->type->fault_text(store->engine);
    if (atomic_exchange(&store->medium, medium) == (int)medium)
        return;
    switch (medium) {
    case STORE_MEDIUM_GOOD:
        gw_log(GW_LOG_WARN, "store: there is room again, changes are accepted", NULL);
        break;
    case STORE_MEDIUM_FULL:
        gw_log(GW_LOG_ERROR,
               "store: no room on the disk; read-only until a write succeeds: free some space",
               "fault", text, NULL);
        break;
    case STORE_MEDIUM_LOST:
        gw_log(GW_LOG_ERROR,
               "store: a write or fsync failed; read-only until a restart: check the disk first",
               "fault", text, NULL);
        break;
    }
}

/** After a failure: a full disk and a failed fsync end writing; the first until a probe succeeds.
 */
static void note_fault(struct store *store)
{
    enum store_fault fault = store->engine->type->fault(store->engine);
    if (fault == STORE_FAULT_LOST)
        set_medium(store, STORE_MEDIUM_LOST);
    else if (fault == STORE_FAULT_FULL && atomic_load(&store->medium) == STORE_MEDIUM_GOOD)
        set_medium(store, STORE_MEDIUM_FULL);
}

static kw_status run_group(struct store *store, struct store_request *list)
{
    const struct store_engine_type *type = store->engine->type;
    kw_status status = type->begin(store->engine);
    for (struct store_request *req = list; req && status == KW_OK; req = req->next)
        status = type->change(store->engine, req);
    if (status == KW_OK)
        status = type->commit(store->engine);
    if (status != KW_OK) {
        note_fault(store);
        type->rollback(store->engine);
    }
    return status;
}

static void write_group(struct store *store, struct store_request *list)
{
    size_t count = 0;
    kw_status status = KW_E_UNAVAILABLE;
    if (!store_read_only(store))
        status = run_group(store, list);
    for (struct store_request *req = list; req; req = req->next) {
        count++;
        if (status != KW_OK)
            store_request_fail(req, status);
    }
    if (status == KW_OK) {
        atomic_fetch_add(&store->commits, 1);
        atomic_fetch_add(&store->committed_changes, count);
    }
}

static void tidy(struct store *store)
{
    if (!store_read_only(store) && store->engine->type->tidy(store->engine) != KW_OK)
        note_fault(store);
}

static void probe(struct store *store)
{
    if (store->engine->type->probe(store->engine) == KW_OK)
        set_medium(store, STORE_MEDIUM_GOOD);
    else
        note_fault(store);
    store->engine->type->rollback(store->engine);
}

void *store_worker_write(void *arg)
{
    struct store *store = arg;
    struct store_request *parked = NULL;
    bool closed = false;
    int64_t next_probe = 0;
    while (!closed) {
        bool full = atomic_load(&store->medium) == STORE_MEDIUM_FULL;
        int wait_ms = parked ? PARK_RETRY_MS : full ? PROBE_EVERY_MS / 4 : -1;
        struct store_request *list = store_queue_take(&store->changes, GROUP_MAX, wait_ms, &closed);
        if (parked)
            answer_parked(store, &parked);
        if (list) {
            write_group(store, list);
            answer(store, list, &parked);
            tidy(store);
        }
        full = atomic_load(&store->medium) == STORE_MEDIUM_FULL;
        if (full && next_probe == 0)
            next_probe = kw_now_ns() + KW_MS(PROBE_EVERY_MS);
        if (full && kw_now_ns() >= next_probe) {
            probe(store);
            next_probe = 0;
        }
    }
    settle_parked(store, &parked);
    return NULL;
}

/* --- the reader --- */

void *store_worker_read(void *arg)
{
    struct store *store = arg;
    struct store_request *parked = NULL;
    bool closed = false;
    while (!closed) {
        /* few at a time: the first answer does not wait for the last query */
        struct store_request *list =
            store_queue_take(&store->queries, 8, parked ? PARK_RETRY_MS : -1, &closed);
        if (parked)
            answer_parked(store, &parked);
        for (struct store_request *req = list; req; req = req->next)
            store->engine->type->query(store->engine, req);
        answer(store, list, &parked);
    }
    settle_parked(store, &parked);
    return NULL;
}

/* Reads of single objects. Loops that miss the same one at the same time ask the store once each,
 * not once per request. */

#include <pthread.h>
#include <stdlib.h>

#include "gateway/vault/vault.h"

struct waiter {
    struct waiter *next;
    vault_any_fn *done;
    void *ctx;
};

struct flight {
    struct vault_job job; /* of the first who asked */
    struct flight *next;
    struct waiter *waiters, **last; /* of the same loop: touched by its thread alone */
};

struct vault_flights {
    pthread_mutex_t lock;
    struct flight *list; /* under lock; as long as the misses that are being read */
};

struct vault_flights *vault_flights_create(void)
{
    struct vault_flights *flights = calloc(1, sizeof *flights);
    if (flights)
        pthread_mutex_init(&flights->lock, NULL);
    return flights;
}

void vault_flights_destroy(struct vault_flights *flights)
{
    if (!flights)
        return;
    pthread_mutex_destroy(&flights->lock);
    free(flights);
}

static bool same_job(const struct vault_job *a, const struct vault_job *b)
{
    return a->kind == b->kind && a->loop == b->loop && a->generation == b->generation &&
           strcmp(a->version, b->version) == 0 && strcasecmp(a->name, b->name) == 0 &&
           strcasecmp(a->vault_name, b->vault_name) == 0;
}

/** The flight that answers `job` too: same loop, same key, and no change was acknowledged since it
 *  took off, or its answer could be older than what this caller already knows. */
static struct flight *find_flight(struct vault_flights *flights, const struct vault_job *job)
{
    pthread_mutex_lock(&flights->lock);
    struct flight *flight = flights->list;
    while (flight && !same_job(&flight->job, job))
        flight = flight->next;
    pthread_mutex_unlock(&flights->lock);
    return flight;
}

static void take_off(struct vault_flights *flights, struct flight *flight)
{
    pthread_mutex_lock(&flights->lock);
    flight->next = flights->list;
    flights->list = flight;
    pthread_mutex_unlock(&flights->lock);
}

static void take_down(struct vault_flights *flights, struct flight *flight)
{
    pthread_mutex_lock(&flights->lock);
    struct flight **at = &flights->list;
    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    pthread_mutex_unlock(&flights->lock);
}

static void on_read(void *ctx, struct store_result *result)
{
    struct flight *flight = ctx;
    struct vault_job *job = &flight->job;
    const struct vault_kind *kind = job->kind;
    struct vault_object *object = NULL;
    kw_status status = result->status;
    take_down(job->vault->flights, flight);
    if (status == KW_OK)
        status = kind->open(job->vault, job->vault_name, &result->rows[0], true, &object);
    if (status == KW_OK)
        vault_cache_fill(vault_job_cache(job), object, job->version[0] == '\0', job->generation);
    struct waiter *waiter = flight->waiters;
    vault_job_end(job, status, object); /* frees the flight */
    while (waiter) {
        struct waiter *next = waiter->next;
        kind->answer(waiter->done, waiter->ctx, status, object);
        free(waiter);
        waiter = next;
    }
    vault_object_unref(object);
}

static void join(struct flight *flight, const struct vault_call *call)
{
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter) {
        call->kind->answer(call->done, call->ctx, KW_E_NOMEM, NULL);
        return;
    }
    *waiter = (struct waiter){.done = call->done, .ctx = call->ctx};
    *flight->last = waiter;
    flight->last = &waiter->next;
}

void vault_object_get(const struct vault_call *call)
{
    struct vault *vault = call->vault;
    struct vault_object *object = vault_cache_peek(vault->caches[call->kind->store],
                                                   call->vault_name, call->name, call->version);
    if (object) {
        call->kind->answer(call->done, call->ctx, KW_OK, object);
        vault_object_unref(object);
        return;
    }
    struct flight *flight = vault_job_create(sizeof *flight, call);
    if (!flight)
        return;
    struct flight *under_way = find_flight(vault->flights, &flight->job);
    if (under_way) {
        join(under_way, call);
        free(flight);
        return;
    }
    flight->last = &flight->waiters;
    take_off(vault->flights, flight);
    struct store_ref ref = vault_job_ref(&flight->job);
    store_get(vault->store, call->loop, &ref, on_read, flight);
}

static void on_read_deleted(void *ctx, struct store_result *result)
{
    struct vault_job *job = ctx;
    struct vault_object *object = NULL;
    kw_status status = result->status;
    if (status == KW_OK)
        status = job->kind->open(job->vault, job->vault_name, &result->rows[0], true, &object);
    vault_job_end(job, status, object);
    vault_object_unref(object);
}

void vault_object_get_deleted(const struct vault_call *call)
{
    struct vault_job *job = vault_job_create(sizeof *job, call);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    store_get_deleted(call->vault->store, call->loop, &ref, on_read_deleted, job);
}

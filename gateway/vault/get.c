/* Reads of single keys. Loops that miss the same key at the same time ask the store once each, not
 * once per request. */

#include <pthread.h>
#include <stdlib.h>

#include "gateway/vault/vault.h"

struct waiter {
    struct waiter *next;
    vault_key_fn *done;
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
    return a->loop == b->loop && a->generation == b->generation &&
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
    struct vault_key *key = NULL;
    kw_status status = result->status;
    take_down(job->vault->flights, flight);
    if (status == KW_OK)
        status = vault_row_open(job->vault, job->vault_name, &result->rows[0], true, &key);
    if (status == KW_OK)
        vault_cache_fill(job->vault->cache, key, job->version[0] == '\0', job->generation);
    struct waiter *waiter = flight->waiters;
    vault_job_end(job, status, key); /* frees the flight */
    while (waiter) {
        struct waiter *next = waiter->next;
        waiter->done(waiter->ctx, status, key);
        free(waiter);
        waiter = next;
    }
    vault_key_unref(key);
}

static void join(struct flight *flight, vault_key_fn *done, void *ctx)
{
    struct waiter *waiter = malloc(sizeof *waiter);
    if (!waiter) {
        done(ctx, KW_E_NOMEM, NULL);
        return;
    }
    *waiter = (struct waiter){.done = done, .ctx = ctx};
    *flight->last = waiter;
    flight->last = &waiter->next;
}

struct vault_key *vault_key_peek(struct vault *vault, const char *vault_name, struct kw_span name,
                                 struct kw_span version)
{
    return vault_cache_peek(vault->cache, vault_name, name, version);
}

void vault_key_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                   struct kw_span name, struct kw_span version, vault_key_fn *done, void *ctx)
{
    struct vault_key *key = vault_cache_peek(vault->cache, vault_name, name, version);
    if (key) {
        done(ctx, KW_OK, key);
        vault_key_unref(key);
        return;
    }
    struct flight *flight =
        vault_job_create(sizeof *flight, vault, loop, vault_name, name, version, done, ctx);
    if (!flight)
        return;
    struct flight *under_way = find_flight(vault->flights, &flight->job);
    if (under_way) {
        join(under_way, done, ctx);
        free(flight);
        return;
    }
    flight->last = &flight->waiters;
    take_off(vault->flights, flight);
    struct store_ref ref = vault_job_ref(&flight->job);
    store_get(vault->store, loop, &ref, on_read, flight);
}

static void on_read_deleted(void *ctx, struct store_result *result)
{
    struct vault_job *job = ctx;
    struct vault_key *key = NULL;
    kw_status status = result->status;
    if (status == KW_OK)
        status = vault_row_open(job->vault, job->vault_name, &result->rows[0], true, &key);
    vault_job_end(job, status, key);
    vault_key_unref(key);
}

void vault_key_get_deleted(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                           struct kw_span name, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    store_get_deleted(vault->store, loop, &ref, on_read_deleted, job);
}

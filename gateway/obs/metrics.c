/* Counters of the front side. A loop owns its block and writes it with relaxed atomics (plain adds
 * on x86: one writer); a scrape adds the blocks up. */

#include "gateway/obs/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/api/route.h"
#include "gateway/obs/metrics_pool.h"
#include "gateway/obs/process.h"
#include "gateway/obs/text.h"

#define CACHE_LINE       64
#define MAX_CERTIFICATES 16

/* Statuses that the API answers; any other counts as 0, shown as "other". */
static const uint16_t statuses[] = {200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 411,
                                    412, 413, 415, 429, 431, 500, 501, 502, 503, 504, 508, 0};
#define STATUS_COUNT (sizeof statuses / sizeof *statuses)

/* Upper bounds of request_seconds in nanoseconds, 1-2-5 steps; beyond the last: +Inf. */
static const int64_t bounds_ns[] = {50000,      100000,     200000,    500000,     1000000,
                                    2000000,    5000000,    10000000,  20000000,   50000000,
                                    100000000,  200000000,  500000000, 1000000000, 2000000000,
                                    5000000000, 10000000000};
#define BOUND_COUNT (sizeof bounds_ns / sizeof *bounds_ns)

struct block {
    _Alignas(CACHE_LINE) _Atomic uint64_t buckets[BOUND_COUNT + 1];
    _Atomic uint64_t seconds_ns, count;
    _Atomic int64_t connections;
    _Atomic uint64_t *requests; /* [route, then one row for none][status] */
};

struct certificate {
    char subject[128];
    int64_t not_after;
};

struct gw_metrics {
    unsigned loops;
    struct block *blocks;
    atomic_bool reload_failed, restart_needed;
    pthread_mutex_t lock; /* certificates */
    struct certificate certificates[MAX_CERTIFICATES];
    size_t certificate_count;
    gw_metrics_part_fn *part;
    void *part_ctx;
};

struct gw_metrics *gw_metrics_create(unsigned loops)
{
    struct gw_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return NULL;
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->blocks = aligned_alloc(CACHE_LINE, loops * sizeof *metrics->blocks);
    if (!metrics->blocks) {
        gw_metrics_destroy(metrics);
        return NULL;
    }
    memset(metrics->blocks, 0, loops * sizeof *metrics->blocks);
    metrics->loops = loops;
    for (unsigned i = 0; i < loops; i++) {
        metrics->blocks[i].requests =
            calloc((gw_route_count + 1) * STATUS_COUNT, sizeof *metrics->blocks[i].requests);
        if (!metrics->blocks[i].requests) {
            gw_metrics_destroy(metrics);
            return NULL;
        }
    }
    return metrics;
}

void gw_metrics_destroy(struct gw_metrics *metrics)
{
    if (!metrics)
        return;
    for (unsigned i = 0; i < metrics->loops; i++)
        free(metrics->blocks[i].requests);
    free(metrics->blocks);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

/* One writer per block: a relaxed load and store is enough and cheaper than a locked add. */
static void bump(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static uint64_t value(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static size_t status_index(int status)
{
    size_t i = 0;
    while (statuses[i] != 0 && statuses[i] != status)
        i++;
    return i;
}

void gw_metrics_request(struct gw_metrics *metrics, unsigned loop, unsigned route_index, int status,
                        int64_t ns)
{
    if (loop >= metrics->loops)
        return;
    struct block *block = &metrics->blocks[loop];
    size_t bucket = 0;
    while (bucket < BOUND_COUNT && ns > bounds_ns[bucket])
        bucket++;
    bump(&block->buckets[bucket], 1);
    bump(&block->seconds_ns, ns > 0 ? (uint64_t)ns : 0);
    bump(&block->count, 1);
    /* a request without a route counts in the row after the last */
    size_t route = route_index < gw_route_count ? route_index : gw_route_count;
    bump(&block->requests[route * STATUS_COUNT + status_index(status)], 1);
}

void gw_metrics_connection(struct gw_metrics *metrics, unsigned loop, int change)
{
    if (loop >= metrics->loops)
        return;
    _Atomic int64_t *connections = &metrics->blocks[loop].connections;
    atomic_store_explicit(connections,
                          atomic_load_explicit(connections, memory_order_relaxed) + change,
                          memory_order_relaxed);
}

void gw_metrics_certificate(struct gw_metrics *metrics, const char *subject, int64_t not_after)
{
    pthread_mutex_lock(&metrics->lock);
    size_t i = 0;
    while (i < metrics->certificate_count && strcmp(metrics->certificates[i].subject, subject) != 0)
        i++;
    if (i < MAX_CERTIFICATES) {
        snprintf(metrics->certificates[i].subject, sizeof metrics->certificates[i].subject, "%s",
                 subject);
        metrics->certificates[i].not_after = not_after;
        if (i == metrics->certificate_count)
            metrics->certificate_count++;
    }
    pthread_mutex_unlock(&metrics->lock);
}

int64_t gw_metrics_connections(const struct gw_metrics *metrics)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < metrics->loops; i++)
        sum += atomic_load_explicit(&metrics->blocks[i].connections, memory_order_relaxed);
    return sum;
}

uint64_t gw_metrics_requests(const struct gw_metrics *metrics)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < metrics->loops; i++)
        sum += value(&metrics->blocks[i].count);
    return sum;
}

/* --- rendering --- */

static uint64_t sum_requests(const struct gw_metrics *metrics, size_t cell)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < metrics->loops; i++)
        sum += value(&metrics->blocks[i].requests[cell]);
    return sum;
}

static void add_requests_row(struct gw_text *text, const char *route, unsigned status,
                             uint64_t count)
{
    if (count == 0)
        return;
    if (status)
        gw_text_add(text, "keyward_requests_total{route=\"%s\",status=\"%u\"} %llu\n", route,
                    status, (unsigned long long)count);
    else
        gw_text_add(text, "keyward_requests_total{route=\"%s\",status=\"other\"} %llu\n", route,
                    (unsigned long long)count);
}

static void add_requests(struct gw_text *text, const struct gw_metrics *metrics)
{
    gw_metric_head(text, "requests_total", "counter", "Requests answered.");
    for (size_t route = 0; route < gw_route_count; route++) {
        bool first = true; /* rows that share a label are one series */
        for (size_t i = 0; i < route && first; i++)
            first = strcmp(gw_routes[i].label, gw_routes[route].label) != 0;
        for (size_t s = 0; first && s < STATUS_COUNT; s++) {
            uint64_t sum = 0;
            for (size_t i = route; i < gw_route_count; i++) {
                if (strcmp(gw_routes[i].label, gw_routes[route].label) == 0)
                    sum += sum_requests(metrics, i * STATUS_COUNT + s);
            }
            add_requests_row(text, gw_routes[route].label, statuses[s], sum);
        }
    }
    for (size_t s = 0; s < STATUS_COUNT; s++)
        add_requests_row(text, "none", statuses[s],
                         sum_requests(metrics, gw_route_count * STATUS_COUNT + s));
}

static void add_request_seconds(struct gw_text *text, const struct gw_metrics *metrics)
{
    uint64_t running = 0, ns = 0;
    gw_metric_head(text, "request_seconds", "histogram",
                   "Time from the head of a request to its answer.");
    for (size_t b = 0; b <= BOUND_COUNT; b++) {
        for (unsigned i = 0; i < metrics->loops; i++)
            running += value(&metrics->blocks[i].buckets[b]);
        if (b < BOUND_COUNT)
            gw_text_add(text, "keyward_request_seconds_bucket{le=\"%g\"} %llu\n",
                        (double)bounds_ns[b] / 1e9, (unsigned long long)running);
    }
    for (unsigned i = 0; i < metrics->loops; i++)
        ns += value(&metrics->blocks[i].seconds_ns);
    gw_text_add(text,
                "keyward_request_seconds_bucket{le=\"+Inf\"} %llu\n"
                "keyward_request_seconds_sum %.9f\nkeyward_request_seconds_count %llu\n",
                (unsigned long long)running, (double)ns / 1e9, (unsigned long long)running);
}

static void add_certificates(struct gw_text *text, struct gw_metrics *metrics)
{
    gw_metric_head(text, "certificate_expiry_seconds", "gauge",
                   "Seconds until a certificate, served or of a remote member, ends; negative: "
                   "it has ended.");
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->certificate_count; i++) {
        gw_text_add(text, "keyward_certificate_expiry_seconds{subject=\"");
        gw_metric_label(text, metrics->certificates[i].subject);
        gw_text_add(text, "\"} %lld\n",
                    (long long)(metrics->certificates[i].not_after - kw_wall_s()));
    }
    pthread_mutex_unlock(&metrics->lock);
}

static void add_process(struct gw_text *text)
{
    struct gw_process process;
    gw_process_read(&process);
    gw_metric_head(text, "process_resident_bytes", "gauge", "Resident memory of the gateway.");
    gw_text_add(text, "keyward_process_resident_bytes %llu\n",
                (unsigned long long)process.resident_bytes);
    gw_metric_head(text, "process_cpu_seconds_total", "counter",
                   "User and system time of the gateway.");
    gw_text_add(text, "keyward_process_cpu_seconds_total %.3f\n", process.cpu_seconds);
    gw_metric_head(text, "process_open_fds", "gauge", "Open file descriptors of the gateway.");
    gw_text_add(text, "keyward_process_open_fds %u\n", process.open_fds);
}

void gw_metrics_part(struct gw_metrics *metrics, gw_metrics_part_fn *part, void *ctx)
{
    metrics->part = part;
    metrics->part_ctx = ctx;
}

void gw_metrics_reload(struct gw_metrics *metrics, bool ok, bool restart_needed)
{
    atomic_store(&metrics->reload_failed, !ok);
    atomic_store(&metrics->restart_needed, restart_needed);
}

static void add_reload(struct gw_text *text, const struct gw_metrics *metrics)
{
    gw_metric_head(text, "reload_ok", "gauge",
                   "0 when the last SIGHUP left something as it was; see status.json.");
    gw_text_add(text, "keyward_reload_ok %d\n", !atomic_load(&metrics->reload_failed));
    gw_metric_head(text, "restart_needed", "gauge",
                   "1 when the configuration file has changed in parts that need a restart.");
    gw_text_add(text, "keyward_restart_needed %d\n", atomic_load(&metrics->restart_needed));
}

char *gw_metrics_render(struct gw_metrics *metrics, struct pool *pool, size_t *len)
{
    struct gw_text text = {.data = NULL};
    gw_metric_head(&text, "build_info", "gauge", "The version that runs; always 1.");
    gw_text_add(&text, "keyward_build_info{version=\"%s\"} 1\n", KEYWARD_VERSION);
    add_requests(&text, metrics);
    add_request_seconds(&text, metrics);
    gw_metric_head(&text, "connections", "gauge", "Connections open now.");
    gw_text_add(&text, "keyward_connections %lld\n", (long long)gw_metrics_connections(metrics));
    add_reload(&text, metrics);
    if (metrics->part)
        metrics->part(&text, metrics->part_ctx);
    add_certificates(&text, metrics);
    gw_metrics_pool_certificates(&text, pool);
    gw_metrics_pool(&text, pool);
    add_process(&text);
    return gw_text_take(&text, len);
}

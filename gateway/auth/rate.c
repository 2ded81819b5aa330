#include "gateway/auth/rate.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SECOND_NS 1000000000
#define CLIENTS   4096u /* a power of two; more at the same moment share buckets */
#define PROBES    8u

struct bucket {
    _Atomic uint64_t client; /* hash; 0: never used */
    _Atomic int64_t full_ns; /* when it is full again; in the past: it is full */
};

struct gw_rate {
    _Atomic int64_t interval_ns; /* 0: no limit */
    struct bucket buckets[CLIENTS];
};

struct gw_rate *gw_rate_create(unsigned per_second)
{
    struct gw_rate *rate = calloc(1, sizeof *rate);
    if (rate)
        gw_rate_set(rate, per_second);
    return rate;
}

void gw_rate_set(struct gw_rate *rate, unsigned per_second)
{
    atomic_store_explicit(&rate->interval_ns, per_second > 0 ? SECOND_NS / (int64_t)per_second : 0,
                          memory_order_relaxed);
}

void gw_rate_destroy(struct gw_rate *rate)
{
    free(rate);
}

uint64_t gw_rate_hash(const char *client)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a: names are the operator's, not a stranger's */
    for (; *client; client++)
        hash = (hash ^ (unsigned char)*client) * 0x100000001b3u;
    return hash ? hash : 1;
}

/* A bucket that is full says nothing: whoever comes first may have it. */
static struct bucket *find(struct gw_rate *rate, uint64_t hash, int64_t now_ns)
{
    struct bucket *unused = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct bucket *bucket = &rate->buckets[(hash + i) % CLIENTS];
        if (atomic_load_explicit(&bucket->client, memory_order_relaxed) == hash)
            return bucket;
        if (!unused && atomic_load_explicit(&bucket->full_ns, memory_order_relaxed) <= now_ns)
            unused = bucket;
    }
    if (!unused)
        return &rate->buckets[hash % CLIENTS];
    atomic_store_explicit(&unused->client, hash, memory_order_relaxed);
    return unused;
}

unsigned gw_rate_take(struct gw_rate *rate, const char *client, int64_t now_ns)
{
    int64_t interval_ns = atomic_load_explicit(&rate->interval_ns, memory_order_relaxed);
    if (interval_ns == 0)
        return 0;
    struct bucket *bucket = find(rate, gw_rate_hash(client), now_ns);
    int64_t full = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed), next;
    do {
        next = (full > now_ns ? full : now_ns) + interval_ns;
        int64_t over = next - now_ns - SECOND_NS;
        if (over > 0)
            return (unsigned)((over + SECOND_NS - 1) / SECOND_NS);
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_ns, &full, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

#pragma once
/* What the files of pool/ share: the pool itself and its counters. Kinds of members do not see it.
 */

#include <pthread.h>

#include "pool/member.h"

struct core_engine;
struct pool_settings;
struct pool_supervisor;

/** Counters of one member on one port. Written by the port's thread alone, read by any. */
struct pool_counters {
    struct {
        _Atomic uint64_t ok, caller_error, failed, seconds_ns_sum;
        _Atomic uint64_t buckets[POOL_LATENCY_BUCKETS];
    } kinds[KW_KIND_COUNT];
};

/** Adds to a counter that one thread alone writes: no locked instruction. */
static inline void pool_count(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t was = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, was + n, memory_order_relaxed);
}

struct pool {
    struct pool_config config; /* of the start, defaults filled in; `members` is not kept */
    _Atomic(const struct pool_config *) config_now; /* pool_config; NULL: as at the start */
    struct pool_settings *settings;                 /* every later one (pool/settings.c) */
    const struct kc_domain *domain;
    char instance[POOL_VIA_ID_LEN + 1];

    /* slots of members (pool/slot.h); the implicit core has the last */
    struct pool_member members[POOL_MAX_MEMBERS + 1];
    _Atomic unsigned member_count; /* slots that were ever filled: none behind them is */
    bool announces;                /* who is a member is news: not at the start */
    _Atomic unsigned live;         /* members in the group */
    _Atomic unsigned makers;       /* those of them that can make keys: a remote one cannot */
    pthread_mutex_t change_lock;   /* one change of the group at a time; before the others */
    pthread_rwlock_t slots_lock;   /* keeps members where they are, for threads that are neither
                                      a port's nor the supervisor */
    bool core_opens_hsm;
    struct core_engine *engine; /* of every core member */

    _Atomic int64_t budget_out; /* retries under way that took from the budget */
    _Atomic int64_t outlier_ns; /* the end of the window in which members are compared */
    _Atomic int64_t line_count, line_work_ns; /* operations that wait for a member, on all ports */
    _Atomic uint64_t failovers, retries, hedges, wrong_answers, unlisted_events;

    pthread_mutex_t state_lock; /* members' health word and texts */

    pthread_mutex_t ports_lock;
    struct pool_port *ports;
    _Atomic unsigned port_count;
    struct pool_counters *retired; /* per member: what ports that are gone had counted */

    struct pool_supervisor *supervisor;

    atomic_bool inventory; /* one is under way */
};

/** Any thread: members may drop this key. */
void pool_forget(struct pool *pool, const uint8_t id[KW_KEY_ID_LEN]);

/** The member that runs software keys and public-key operations. */
static inline struct pool_member *pool_core(struct pool *pool)
{
    return &pool->members[POOL_MAX_MEMBERS];
}

/** True when no member was configured at the start: the core serves HSM keys as well, to the end.
 */
static inline bool pool_is_core_alone(const struct pool *pool)
{
    return pool->member_count == 0;
}

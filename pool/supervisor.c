#include "pool/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/base/clock.h"
#include "pool/member_state.h"
#include "pool/slot.h"

struct pool_supervisor {
    struct pool *pool;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool woken, stop;
    uint64_t alarms_seen;
};

#define ALARM_INTERVAL_NS KW_S(1)

static int64_t watch_core(struct pool_supervisor *sup, int64_t now_ns)
{
    uint64_t alarms = kc_lanes_alarms();
    if (alarms != sup->alarms_seen) {
        struct pool_event event = {
            .type = POOL_EVENT_CORE_ALARM,
            .member = pool_core(sup->pool)->config.name,
            .reason = "a wrong result was caught before it left",
            .number = (int64_t)(alarms - sup->alarms_seen),
        };
        sup->alarms_seen = alarms;
        pool_emit(sup->pool, &event);
    }
    return now_ns + ALARM_INTERVAL_NS;
}

/* One member's turn; the moment it wants the next one. */
static int64_t serve_member(struct pool_member *member, int64_t now_ns)
{
    int64_t next = INT64_MAX;
    if (pool_slot(member) == POOL_SLOT_FREE || pool_slot_detached(member)) {
        return INT64_MAX; /* empty, or seen off by the next step */
    }
    if (member->type->supervise != NULL) {
        next = member->type->supervise(member, now_ns);
    }
    if (pool_member_health(member) == POOL_HEALTH_WARMING) {
        int64_t warm = atomic_load(&member->up_since_ns) + POOL_SLOW_START_NS;
        if (kw_now_ns() >= warm) {
            pool_member_transition(member, POOL_EV_WARMED, "slow start is over");
        } else if (warm < next) {
            next = warm;
        }
    }
    return next;
}

static void sleep_until(struct pool_supervisor *sup, int64_t moment_ns)
{
    struct timespec ts = {
        .tv_sec = (time_t)(moment_ns / 1000000000),
        .tv_nsec = (long)(moment_ns % 1000000000),
    };
    pthread_mutex_lock(&sup->lock);
    while (!sup->woken && !sup->stop) {
        if (pthread_cond_timedwait(&sup->wake, &sup->lock, &ts) != 0) {
            break;
        }
    }
    sup->woken = false;
    pthread_mutex_unlock(&sup->lock);
}

static void *supervise(void *arg)
{
    struct pool_supervisor *sup = arg;
    for (;;) {
        pthread_mutex_lock(&sup->lock);
        bool stop = sup->stop;
        pthread_mutex_unlock(&sup->lock);
        if (stop) {
            return NULL;
        }
        int64_t now = kw_now_ns();
        int64_t next = watch_core(sup, now);
        for (unsigned i = 0; i < sup->pool->member_count; i++) {
            int64_t wanted = serve_member(&sup->pool->members[i], now);
            next = wanted < next ? wanted : next;
        }
        int64_t wanted = pool_slots_step(sup->pool, kw_now_ns());
        next = wanted < next ? wanted : next;
        sleep_until(sup, next);
    }
}

static struct pool_supervisor *make(struct pool *pool)
{
    struct pool_supervisor *sup = calloc(1, sizeof *sup);
    pthread_condattr_t attr;
    if (sup == NULL || pthread_condattr_init(&attr) != 0) {
        free(sup);
        return NULL;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&sup->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&sup->lock, NULL);
    sup->pool = pool;
    sup->alarms_seen = kc_lanes_alarms();
    return sup;
}

kw_status pool_supervisor_create(struct pool *pool)
{
    pool->supervisor = make(pool);
    return pool->supervisor != NULL ? KW_OK : KW_E_NOMEM;
}

kw_status pool_supervisor_start(struct pool *pool)
{
    struct pool_supervisor *sup = pool->supervisor;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    sup->running = pthread_create(&sup->thread, NULL, supervise, sup) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!sup->running) {
        return KW_E_NOMEM;
    }
    pthread_setname_np(sup->thread, "kw-supervisor");
    return KW_OK;
}

void pool_supervisor_stop(struct pool *pool)
{
    struct pool_supervisor *sup = pool->supervisor;
    if (sup == NULL || !sup->running) {
        return;
    }
    pthread_mutex_lock(&sup->lock);
    sup->stop = true;
    pthread_cond_signal(&sup->wake);
    pthread_mutex_unlock(&sup->lock);
    pthread_join(sup->thread, NULL);
    sup->running = false;
}

void pool_supervisor_free(struct pool *pool)
{
    struct pool_supervisor *sup = pool->supervisor;
    if (sup != NULL) {
        pthread_cond_destroy(&sup->wake);
        pthread_mutex_destroy(&sup->lock);
        free(sup);
        pool->supervisor = NULL;
    }
}

void pool_supervisor_wake(struct pool *pool)
{
    struct pool_supervisor *sup = pool->supervisor;
    if (sup == NULL) {
        return;
    }
    pthread_mutex_lock(&sup->lock);
    sup->woken = true;
    pthread_cond_signal(&sup->wake);
    pthread_mutex_unlock(&sup->lock);
}

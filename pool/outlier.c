#include "pool/outlier.h"

#include "pool/member_state.h"

#define WINDOW_NS      KW_MS(250)
#define FIRST_NS       KW_S(5)
#define LONGEST_NS     KW_S(300)
#define FORGET_NS      KW_S(60)
#define FAILED_MIN     5u
#define ANSWERED_MIN   4u
#define WINDOWS_LATE   3u
#define TIMES_OTHERS   4u
#define TIMES_UNLOADED 4u

bool pool_outlier_is_out(const struct pool_member *member, int64_t now_ns)
{
    return atomic_load_explicit(&member->outlier.until_ns, memory_order_relaxed) > now_ns;
}

unsigned pool_outlier_weight(const struct pool_member *member, int64_t now_ns)
{
    int64_t until = atomic_load_explicit(&member->outlier.until_ns, memory_order_relaxed);
    if (until == 0 || now_ns - until >= POOL_SLOW_START_NS || now_ns < until) {
        return 1024; /* while it is out its rank says enough */
    }
    return (unsigned)(102 + 922 * (now_ns - until) / POOL_SLOW_START_NS);
}

void pool_outlier_answered(struct pool_member *member, const struct pool_op *op)
{
    struct pool *pool = op->port->pool;
    atomic_fetch_add_explicit(&member->outlier.answered, 1, memory_order_relaxed);
    for (uint64_t mask = op->failed_on; mask != 0; mask &= mask - 1) {
        struct pool_member *failed = &pool->members[__builtin_ctzll(mask)];
        if (failed != member) {
            atomic_fetch_add_explicit(&failed->outlier.failed, 1, memory_order_relaxed);
        }
    }
}

/* ---- the comparison
 * ------------------------------------------------------------------------------ */

struct window {
    struct pool *pool;
    unsigned count; /* members that serve and are not out */
    unsigned index[POOL_MAX_MEMBERS];
    uint32_t answered[POOL_MAX_MEMBERS], failed[POOL_MAX_MEMBERS];
};

static uint32_t load(const _Atomic uint32_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* Of the values above 0 but for number `except`; the lower one of two. 0: there is none. */
static uint32_t median_of_others(const uint32_t *values, unsigned count, unsigned except)
{
    uint32_t sorted[POOL_MAX_MEMBERS];
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i == except || values[i] == 0) {
            continue;
        }
        unsigned at = n++;
        for (; at > 0 && sorted[at - 1] > values[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = values[i];
    }
    return n == 0 ? 0 : sorted[(n - 1) / 2];
}

/* Failed attempts of a member in 1/1024, and one: 0 is for nothing known. */
static uint32_t share(const struct window *window, unsigned i)
{
    uint32_t all = window->answered[i] + window->failed[i];
    return all == 0 ? 0 : 1 + (uint32_t)((uint64_t)window->failed[i] * 1024 / all);
}

static bool fails(const struct window *window, unsigned i)
{
    uint32_t shares[POOL_MAX_MEMBERS];
    for (unsigned j = 0; j < window->count; j++) {
        shares[j] = share(window, j);
    }
    uint32_t others = median_of_others(shares, window->count, i);
    return window->failed[i] >= FAILED_MIN && others != 0 && shares[i] > 1024 / 5 &&
           shares[i] > 3 * others;
}

static bool is_late(const struct window *window, unsigned i)
{
    uint32_t times[POOL_MAX_MEMBERS];
    struct pool_member *members = window->pool->members;
    for (unsigned shape = 0; shape < KC_SHAPE_COUNT; shape++) {
        for (unsigned j = 0; j < window->count; j++) {
            times[j] = load(&members[window->index[j]].service_ns[shape]);
        }
        uint32_t others = median_of_others(times, window->count, i);
        uint32_t unloaded = load(&members[window->index[i]].limit.unloaded_ns[shape]);
        if (others != 0 && unloaded != 0 && times[i] / TIMES_OTHERS > others &&
            times[i] / TIMES_UNLOADED > unloaded) {
            return true;
        }
    }
    return false;
}

/* ---- out and back
 * -------------------------------------------------------------------------------- */

static void tell(struct pool_member *member, const char *to, const char *reason, int64_t seconds)
{
    struct pool_event event = {
        .type = POOL_EVENT_OUTLIER,
        .member = member->config.name,
        .to = to,
        .reason = reason,
        .number = seconds,
    };
    pool_emit(member->pool, &event);
}

static void eject(struct pool_member *member, const char *why, int64_t now_ns)
{
    struct pool_outlier *outlier = &member->outlier;
    int64_t until = atomic_load_explicit(&outlier->until_ns, memory_order_relaxed);
    if (until != 0 && now_ns - until > FORGET_NS) {
        outlier->in_row = 0;
    }
    int64_t lasts = LONGEST_NS;
    if (outlier->in_row < 6) {
        lasts = FIRST_NS << outlier->in_row++;
    }
    outlier->windows_late = 0;
    outlier->told = true;
    atomic_store_explicit(&outlier->until_ns, now_ns + lasts, memory_order_relaxed);
    atomic_fetch_add_explicit(&outlier->ejections, 1, memory_order_relaxed);
    tell(member, "last", why, lasts / KW_S(1));
}

static void gather(struct window *window, int64_t now_ns)
{
    struct pool *pool = window->pool;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        struct pool_outlier *outlier = &member->outlier;
        uint32_t answered = atomic_exchange_explicit(&outlier->answered, 0, memory_order_relaxed);
        uint32_t failed = atomic_exchange_explicit(&outlier->failed, 0, memory_order_relaxed);
        bool out = pool_outlier_is_out(member, now_ns);
        if (!out && outlier->told) {
            outlier->told = false;
            tell(member, "back", "its time is over", 0);
        }
        if (out || !pool_member_accepts(member) ||
            pool_member_health(member) == POOL_HEALTH_SUSPECT ||
            pool_member_role(member) == POOL_ROLE_STANDBY) {
            continue;
        }
        window->index[window->count] = i;
        window->answered[window->count] = answered;
        window->failed[window->count++] = failed;
    }
}

static void judge(const struct window *window, int64_t now_ns)
{
    for (unsigned i = 0; i < window->count; i++) {
        struct pool_member *member = &window->pool->members[window->index[i]];
        struct pool_outlier *outlier = &member->outlier;
        if (fails(window, i)) {
            eject(member, "it fails where others answer", now_ns);
            return; /* one at a time: the others' median changes with it */
        }
        if (window->answered[i] >= ANSWERED_MIN) {
            outlier->windows_late = is_late(window, i) ? outlier->windows_late + 1 : 0;
        }
        if (outlier->windows_late >= WINDOWS_LATE) {
            eject(member, "it is slower than the others, and than itself", now_ns);
            return;
        }
    }
}

void pool_outlier_run(struct pool_port *port)
{
    struct pool *pool = port->pool;
    int64_t due = atomic_load_explicit(&pool->outlier_ns, memory_order_relaxed);
    /* of several ports one looks; its window's end hands what is not atomic to the next */
    if (port->now_ns < due || !atomic_compare_exchange_strong(&pool->outlier_ns, &due, INT64_MAX)) {
        return;
    }
    struct window window = {.pool = pool};
    gather(&window, port->now_ns);
    if (window.count > 1) {
        judge(&window, port->now_ns);
    }
    atomic_store(&pool->outlier_ns, port->now_ns + WINDOW_NS);
}

#include "pool/limit.h"

#include "pool/choice.h"

#define STRETCH_ONE  256u       /* an answer as quick as on the unloaded member */
#define STRETCH_MORE (2 * 256u) /* up to here the limit may grow */
#define STRETCH_LESS (4 * 256u) /* from here on it falls */
#define WINDOW_MIN   32u
#define STRETCH_MOST (64 * 256u)

static uint32_t load(const _Atomic uint32_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(_Atomic uint32_t *value, uint32_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

void pool_limit_init(struct pool_member *member)
{
    struct pool_limit *limit = &member->limit;
    unsigned sessions = pool_choice_parallel(member);
    limit->least = member->type->depth_min * sessions;
    limit->most = member->type->depth_max * sessions;
    store(&limit->now, limit->least);
    for (unsigned i = 0; i < KC_SHAPE_COUNT; i++) {
        store(&limit->unloaded_ns[i], 0);
    }
    store(&limit->samples, 0);
    store(&limit->pressed, 0);
    atomic_store_explicit(&limit->stretch_sum, 0, memory_order_relaxed);
}

unsigned pool_limit_now(const struct pool_member *member)
{
    return member->limit.most > 0 ? load(&member->limit.now) : pool_config(member->pool)->queue_max;
}

bool pool_limit_has_room(const struct pool_member *member, const struct pool_port *port)
{
    unsigned limit = pool_limit_now(member);
    if (atomic_load_explicit(&member->in_flight, memory_order_relaxed) < (int64_t)limit) {
        return true;
    }
    unsigned ports = atomic_load_explicit(&member->pool->port_count, memory_order_relaxed);
    unsigned share = ports > 1 ? limit / ports : limit;
    return member->limit.most > 0 && port->placed[member->index] < (share > 0 ? share : 1);
}

/* The time of an answer on the unloaded member: the quickest seen, and while no more than half of
 * the sessions work what is seen now, so that a device that became slower is believed in time. */
static uint32_t unloaded(struct pool_member *member, const struct pool_op *op, uint32_t took)
{
    _Atomic uint32_t *known = &member->limit.unloaded_ns[op->shape];
    uint32_t was = load(known), next = was;
    if (was == 0 || took < was) {
        next = took;
    } else if (atomic_load_explicit(&member->in_flight, memory_order_relaxed) <=
               pool_choice_parallel(member) / 2) {
        next = was + (took - was) / 16;
    }
    if (next != was) {
        store(known, next);
    }
    return next > 0 ? next : 1;
}

static void end_window(struct pool_limit *limit, uint32_t samples)
{
    uint64_t stretch =
        atomic_exchange_explicit(&limit->stretch_sum, 0, memory_order_relaxed) / samples;
    uint32_t pressed = atomic_exchange_explicit(&limit->pressed, 0, memory_order_relaxed);
    uint32_t now = load(&limit->now), next = now;
    if (stretch > STRETCH_LESS) {
        next = (uint32_t)(now * (uint64_t)STRETCH_LESS / stretch);
        next = next < now - now / 4 ? now - now / 4 : next;
    } else if (stretch <= STRETCH_MORE && pressed > samples / 4) {
        next = now + (now >= 8 ? now / 8 : 1);
    }
    next = next < limit->least ? limit->least : next > limit->most ? limit->most : next;
    store(&limit->now, next);
}

void pool_limit_learn(struct pool_member *member, const struct pool_op *op)
{
    struct pool_limit *limit = &member->limit;
    if (limit->most == 0 || op->shape == KC_SHAPE_COUNT) {
        return;
    }
    int64_t ns = op->port->now_ns - op->sent_ns;
    uint32_t took = ns < 1 ? 1 : ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    uint64_t stretch = (uint64_t)took * STRETCH_ONE / unloaded(member, op, took);
    stretch = stretch < STRETCH_MOST ? stretch : STRETCH_MOST;
    atomic_fetch_add_explicit(&limit->stretch_sum, stretch, memory_order_relaxed);
    uint32_t now = load(&limit->now);
    if (atomic_load_explicit(&member->in_flight, memory_order_relaxed) + 1 >= (int64_t)now) {
        atomic_fetch_add_explicit(&limit->pressed, 1, memory_order_relaxed);
    }
    uint32_t window = 2 * now > WINDOW_MIN ? 2 * now : WINDOW_MIN;
    uint32_t samples = atomic_fetch_add_explicit(&limit->samples, 1, memory_order_relaxed) + 1;
    if (samples == window) { /* of several ports one; what the others add meanwhile counts later */
        store(&limit->samples, 0);
        end_window(limit, samples);
    } else if (samples > 2 * window) {
        store(&limit->samples, 0); /* the limit became smaller in between */
    }
}

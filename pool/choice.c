#include "pool/choice.h"

#include <limits.h>
#include <stddef.h>

#include "pool/key.h"
#include "pool/limit.h"
#include "pool/member_state.h"
#include "pool/outlier.h"
#include "pool/shape.h"

#define EXPLORE_ONE_IN 256

/* By rank: active members that are well before standby members that are well, before suspect ones
 * and outliers of either role, because a late member is still better than no answer; among those,
 * the lower number of priority first. Inside the first rank that has anyone, two different members
 * are drawn and the one with less expected work takes the operation: the work queued there plus
 * this operation, over what the member does in parallel, over its slow-start weight. Two draws keep
 * several loops that decide at the same time from all picking the same member. */

static uint64_t draw(struct pool_port *port)
{
    uint64_t x = port->random; /* xorshift64 */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    port->random = x;
    return x * 0x2545f4914f6cdd1du >> 16;
}

unsigned pool_choice_parallel(const struct pool_member *member)
{
    return member->config.sessions * member->config.hosts;
}

uint32_t pool_choice_cost_ns(const struct pool_member *member, const struct pool_op *op)
{
    if (op->shape != KC_SHAPE_COUNT) {
        uint32_t seen = atomic_load_explicit(&member->service_ns[op->shape], memory_order_relaxed);
        if (seen != 0) {
            return seen;
        }
    }
    return pool_op_cost_ns(op);
}

static double score(const struct pool_member *member, const struct pool_op *op, int64_t now_ns)
{
    int64_t load = atomic_load_explicit(&member->load_ns, memory_order_relaxed);
    double work = (double)(load > 0 ? load : 0) + pool_choice_cost_ns(member, op);
    unsigned weight = pool_member_weight(member, now_ns),
             back = pool_outlier_weight(member, now_ns);
    return work / pool_choice_parallel(member) / (back < weight ? back : weight);
}

double pool_group_expected_ns(struct pool_port *port, const struct pool_member *member,
                              const struct pool_op *op)
{
    double cost = pool_choice_cost_ns(member, op), expected = score(member, op, port->now_ns);
    return expected > cost ? expected : cost;
}

static struct pool_member *nth_of(struct pool *pool, uint64_t mask, unsigned n)
{
    while (n-- > 0) {
        mask &= mask - 1;
    }
    return &pool->members[__builtin_ctzll(mask)];
}

static struct pool_member *choose_in(struct pool_port *port, const struct pool_op *op,
                                     uint64_t mask)
{
    unsigned n = (unsigned)__builtin_popcountll(mask);
    uint64_t bits = draw(port);
    unsigned i = (unsigned)(bits % n);
    struct pool_member *a = nth_of(port->pool, mask, i);
    if (n == 1) {
        return a;
    }
    struct pool_member *b =
        nth_of(port->pool, mask, (i + 1 + (unsigned)((bits >> 8) % (n - 1))) % n);
    if ((bits >> 32) % EXPLORE_ONE_IN == 0) {
        /* so that a member that once was slow is measured again, however quiet the group is */
        return a;
    }
    return score(b, op, port->now_ns) < score(a, op, port->now_ns) ? b : a;
}

/* The lower, the sooner. */
static unsigned rank_of(const struct pool_member *member, int64_t now_ns)
{
    bool last =
        pool_member_health(member) == POOL_HEALTH_SUSPECT || pool_outlier_is_out(member, now_ns);
    unsigned tier = 2u * last + (pool_member_role(member) == POOL_ROLE_STANDBY);
    return tier << 16 | atomic_load_explicit(&member->priority, memory_order_relaxed);
}

bool pool_choice_in_scope(const struct pool_member *member, const struct pool_op *op)
{
    unsigned scope = op->key != NULL                     ? op->key->scope
                     : op->lane.kind == KW_KIND_GENERATE ? op->generate.scope
                                                         : 0;
    return scope == 0 || (member->config.scopes >> scope & 1) != 0;
}

/* Ports that a member is not attached to do not look at it at all: its slot may be empty. */
static bool is_candidate(const struct pool_port *port, const struct pool_op *op, unsigned i)
{
    const struct pool_member *member = &port->pool->members[i];
    return port->attached[i] && pool_member_accepts(member) && (op->tried >> i & 1) == 0 &&
           pool_choice_in_scope(member, op) &&
           (op->key == NULL || !pool_key_lacks(op->key, member)) &&
           (member->type->now == NULL || member->type->now(member, op));
}

struct pool_member *pool_group_choose(struct pool_port *port, const struct pool_op *op,
                                      kw_status *why)
{
    struct pool *pool = port->pool;
    uint64_t room = 0;
    unsigned best_rank = UINT_MAX, room_rank = UINT_MAX;
    bool unable = false;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        if (!is_candidate(port, op, i)) {
            continue;
        }
        if (member->type->can != NULL && !member->type->can(member, op)) {
            unable = true;
            continue;
        }
        unsigned rank = rank_of(member, port->now_ns);
        best_rank = rank < best_rank ? rank : best_rank;
        if (rank > room_rank || !pool_limit_has_room(member, port)) {
            continue;
        }
        room = (rank < room_rank ? 0 : room) | (uint64_t)1 << i;
        room_rank = rank;
    }
    if (room != 0 && (room_rank == best_rank || (op->flags & POOL_OP_WAITED))) {
        return choose_in(port, op, room);
    }
    /* those of a better rank are worth waiting for, for a time */
    *why = best_rank != UINT_MAX ? KW_E_BUSY : unable ? KW_E_UNSUPPORTED : KW_E_UNAVAILABLE;
    return NULL;
}

#include "pool/group.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "pool/budget.h"
#include "pool/check.h"
#include "pool/hedge.h"
#include "pool/key.h"
#include "pool/member_state.h"
#include "pool/shape.h"
#include "pool/slot.h"
#include "pool/stats.h"

#define ATTEMPTS_MAX   3
#define ERRORS_TO_DOWN 3
#define EXPLORE_ONE_IN 256
/* five uncharged failures in a row, or more than one in five for a while, make a member suspect */
#define REFUSAL_WEIGHT      4
#define REFUSALS_TO_SUSPECT 20

/* ---- choice
 * ---------------------------------------------------------------------------------------
 * By rank: active members that are well before standby members that are well, before suspect ones
 * of either role, because a late member is still better than no answer; among those, the lower
 * number of priority first. Inside the first rank that has anyone, two different members are drawn
 * and the one with less expected work takes the operation: the work queued there plus this
 * operation, over what the member does in parallel, over its slow-start weight. Two draws keep
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

static unsigned parallel(const struct pool_member *member)
{
    return member->config.sessions * member->config.hosts;
}

static uint32_t cost_on(const struct pool_member *member, const struct pool_op *op)
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
    double work = (double)(load > 0 ? load : 0) + cost_on(member, op);
    return work / parallel(member) / pool_member_weight(member, now_ns);
}

double pool_group_expected_ns(struct pool_port *port, const struct pool_member *member,
                              const struct pool_op *op)
{
    double cost = cost_on(member, op), expected = score(member, op, port->now_ns);
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
static unsigned rank_of(const struct pool_member *member)
{
    unsigned tier = 2u * (pool_member_health(member) == POOL_HEALTH_SUSPECT) +
                    (pool_member_role(member) == POOL_ROLE_STANDBY);
    return tier << 16 | atomic_load_explicit(&member->priority, memory_order_relaxed);
}

/* Ports that a member is not attached to do not look at it at all: its slot may be empty. */
static bool is_candidate(const struct pool_port *port, const struct pool_op *op, unsigned i)
{
    const struct pool_member *member = &port->pool->members[i];
    return port->attached[i] && pool_member_accepts(member) && (op->tried >> i & 1) == 0 &&
           (op->key == NULL || !pool_key_lacks(op->key, member)) &&
           (member->type->now == NULL || member->type->now(member, op));
}

struct pool_member *pool_group_choose(struct pool_port *port, const struct pool_op *op,
                                      kw_status *why)
{
    struct pool *pool = port->pool;
    int64_t most = (int64_t)pool_config(pool)->queue_max;
    uint64_t best = 0;
    unsigned best_rank = UINT_MAX;
    bool unable = false, full = false;
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        if (!is_candidate(port, op, i)) {
            continue;
        }
        if (member->type->can != NULL && !member->type->can(member, op)) {
            unable = true;
            continue;
        }
        if (atomic_load_explicit(&member->in_flight, memory_order_relaxed) >= most) {
            full = true;
            continue;
        }
        unsigned rank = rank_of(member);
        if (rank < best_rank) {
            best_rank = rank;
            best = 0;
        }
        best |= rank == best_rank ? (uint64_t)1 << i : 0;
    }
    if (best != 0) {
        return choose_in(port, op, best);
    }
    *why = full ? KW_E_BUSY : unable ? KW_E_UNSUPPORTED : KW_E_UNAVAILABLE;
    return NULL;
}

/* ---- one attempt
 * ---------------------------------------------------------------------------------- */

void pool_group_assign(struct pool_op *op, struct pool_member *member)
{
    struct pool_port *port = op->port;
    op->serving = member;
    op->tried |= (uint64_t)1 << member->index;
    op->attempts++;
    op->sent_ns = kw_now_ns();
    atomic_fetch_add_explicit(&member->in_flight, 1, memory_order_relaxed);
    if (member != pool_core(port->pool)) { /* nobody chooses the implicit core by its load */
        op->expected_ns = cost_on(member, op);
        op->ahead_ns =
            atomic_fetch_add_explicit(&member->load_ns, op->expected_ns, memory_order_relaxed);
    }
    pool_op_set_state(op, POOL_OP_SERVING);
    port->dirty |= (uint64_t)1 << member->index;
    pool_hedge_watch(op, member);
    member->type->submit(member, port->links[member->index], op);
}

/* What the attempt showed of the member's speed. The time an operation takes contains the work that
 * was ahead of it, so not the time itself is averaged but how far it was from what the model
 * expected, applied to the cost the model had assumed: then a queue does not look like slowness. */
static void observe(struct pool_member *member, const struct pool_op *op)
{
    if (op->shape == KC_SHAPE_COUNT || op->expected_ns == 0) {
        return;
    }
    double took = (double)(op->port->now_ns - op->sent_ns);
    double cost = op->expected_ns;
    double queued = ((double)(op->ahead_ns > 0 ? op->ahead_ns : 0) + cost) / parallel(member);
    double expected = queued > cost ? queued : cost;
    double ratio = took / expected;
    ratio = ratio < 0.125 ? 0.125 : ratio > 8 ? 8 : ratio;
    double sample = cost * ratio;
    uint32_t was = atomic_load_explicit(&member->service_ns[op->shape], memory_order_relaxed);
    double next = was == 0 ? sample : was + (sample - was) / 8;
    next = next < 100 ? 100 : next > 4e9 ? 4e9 : next;
    atomic_store_explicit(&member->service_ns[op->shape], (uint32_t)next, memory_order_relaxed);
}

void pool_member_unload(struct pool_member *member, uint32_t expected_ns)
{
    atomic_fetch_sub_explicit(&member->in_flight, 1, memory_order_relaxed);
    if (expected_ns > 0) {
        atomic_fetch_sub_explicit(&member->load_ns, expected_ns, memory_order_relaxed);
    }
}

/* The attempt is over, whatever came of it: take it off the member's account. */
static void settle(struct pool_member *member, struct pool_op *op, bool done, bool runs_on)
{
    pool_hedge_unwatch(op, done);
    if (!runs_on) {
        pool_member_unload(member, op->expected_ns);
    }
    if (member != pool_core(op->port->pool)) {
        /* an error that comes back at once says nothing of speed; one that comes late does */
        if (done || op->port->now_ns - op->sent_ns > (int64_t)op->expected_ns) {
            observe(member, op);
        }
        op->expected_ns = 0;
    }
    if (op->flags & POOL_OP_CHARGED) {
        pool_budget_give(&op->port->pool->budget_out);
        op->flags &= (uint8_t)~POOL_OP_CHARGED;
    }
}

void pool_group_abandon(struct pool_op *op)
{
    struct pool_member *member = op->serving;
    bool runs_on = member->type->abandon(member, op->port->links[member->index], op);
    settle(member, op, false, runs_on);
}

void pool_group_finish(struct pool_op *op, kw_status status)
{
    op->lane.status = status;
    pool_op_set_state(op, POOL_OP_FINISHED);
    pool_port_finish(op->port, op);
}

/* ---- the next attempt
 * ------------------------------------------------------------------------------- */

/* What an answer that must not leave has written. A wrong RSA signature can give the key away. */
static void forget_result(struct pool_op *op)
{
    if (op->lane.kind == KW_KIND_GENERATE) {
        kw_wipe(op->generate.out, sizeof *op->generate.out);
    } else if (op->lane.out.data != NULL) {
        kw_wipe(op->lane.out.data, op->lane.out.cap);
        op->lane.out.len = 0;
    }
    op->lane.valid = false;
}

static bool is_suspect(const struct pool_member *member)
{
    return pool_member_health(member) == POOL_HEALTH_SUSPECT;
}

static bool budget_allows(struct pool_op *op, const struct pool_member *from,
                          const struct pool_member *next)
{
    struct pool *pool = op->port->pool;
    /* A member that is out of the group, or suspect beside one that is well, is not asked again:
     * what it gave back moves on, however much it was. The budget holds back repeated attempts
     * inside a group that stays as it is. */
    if (!pool_member_accepts(from) || (is_suspect(from) && !is_suspect(next))) {
        return true;
    }
    int64_t active = 0;
    unsigned serving = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        active += atomic_load_explicit(&pool->members[i].in_flight, memory_order_relaxed);
        serving += pool_member_accepts(&pool->members[i]);
    }
    if (!pool_budget_take(&pool->budget_out, active, serving)) {
        return false;
    }
    op->flags |= POOL_OP_CHARGED;
    return true;
}

static void announce_failover(struct pool_op *op, struct pool_member *from, const char *reason)
{
    struct pool *pool = op->port->pool;
    atomic_fetch_add_explicit(&pool->failovers, 1, memory_order_relaxed);
    struct pool_event event = {
        .type = POOL_EVENT_FAILOVER,
        .member = from->config.name,
        .reason = reason != NULL ? reason : "attempt failed",
    };
    pool_emit(pool, &event);
}

/* Who may take over; NULL with the status the operation ends with. A GENERATE may be repeated like
 * a signature: the key that the lost attempt may have made is a session object of its host, it dies
 * with its session, and nothing is stored or promised before an answer arrives. */
static struct pool_member *successor(struct pool_op *op, const struct pool_member *from,
                                     enum pool_verdict verdict, kw_status *why)
{
    struct pool_port *port = op->port;
    if (port->now_ns >= op->deadline_ns) {
        *why = KW_E_DEADLINE;
        return NULL;
    }
    *why = KW_E_UNAVAILABLE;
    if (port->closing) {
        return NULL;
    }
    bool was_tried = verdict != POOL_VERDICT_UNSUPPORTED && verdict != POOL_VERDICT_ELSEWHERE;
    if (was_tried && op->attempts >= ATTEMPTS_MAX) {
        return NULL;
    }
    struct pool_member *next = pool_group_choose(port, op, why);
    if (next == NULL) {
        if (verdict == POOL_VERDICT_UNSUPPORTED && *why == KW_E_UNAVAILABLE) {
            *why = KW_E_UNSUPPORTED;
        } else if (verdict != POOL_VERDICT_UNSUPPORTED && *why == KW_E_UNSUPPORTED) {
            *why = KW_E_UNAVAILABLE; /* one that can was tried: it is not here now */
        }
        return NULL;
    }
    if (was_tried && !budget_allows(op, from, next)) {
        *why = KW_E_UNAVAILABLE;
        return NULL;
    }
    return next;
}

static void redirect(struct pool_op *op, struct pool_member *from, enum pool_verdict verdict,
                     const char *reason)
{
    forget_result(op);
    if (pool_hedge_failed(op)) {
        return;
    }
    kw_status why = KW_E_UNAVAILABLE;
    struct pool_member *next = successor(op, from, verdict, &why);
    if (next == NULL && op->lane.kind == KW_KIND_RANDOM && why != KW_E_DEADLINE &&
        !op->port->closing) {
        next = pool_core(op->port->pool);
    }
    if (next == NULL) {
        pool_group_finish(op, why);
        return;
    }
    atomic_fetch_add_explicit(&op->port->pool->retries, 1, memory_order_relaxed);
    if (verdict == POOL_VERDICT_UNSUPPORTED || verdict == POOL_VERDICT_ELSEWHERE) {
        op->attempts--; /* it was never tried there */
    } else {
        announce_failover(op, from, reason);
    }
    pool_op_set_state(op, POOL_OP_ACCEPTED);
    pool_group_assign(op, next);
}

void pool_group_retry(struct pool_op *op, struct pool_member *from)
{
    redirect(op, from, POOL_VERDICT_OTHER_FREE, "both attempts failed");
}

/* ---- the end of an attempt
 * -------------------------------------------------------------------------- */

static void succeed(struct pool_op *op, struct pool_member *member)
{
    pool_stats_attempt(op, false);
    if (atomic_load_explicit(&member->errors_in_row, memory_order_relaxed) != 0) {
        atomic_store_explicit(&member->errors_in_row, 0, memory_order_relaxed);
    }
    uint32_t refusals = atomic_load_explicit(&member->refusals, memory_order_relaxed);
    if (refusals != 0) { /* a lost race forgets or keeps one, no more */
        atomic_store_explicit(&member->refusals, refusals - 1, memory_order_relaxed);
    }
    op->served_by = member->config.name;
    op->served_on = (uint64_t)1 << member->index;
    if (pool_hedge_answered(op)) {
        pool_group_finish(op, op->lane.status);
    }
}

/* Nobody's proven fault, but no service either: one that goes on like this is asked last, until its
 * probe succeeds again. Otherwise it would be the retry budget's turn to refuse requests. */
static void refused(struct pool_member *member, const char *reason)
{
    uint32_t sum =
        atomic_fetch_add_explicit(&member->refusals, REFUSAL_WEIGHT, memory_order_relaxed) +
        REFUSAL_WEIGHT;
    if (sum >= REFUSALS_TO_SUSPECT) {
        atomic_store_explicit(&member->refusals, 0, memory_order_relaxed);
        pool_member_transition(member, POOL_EV_LATE, reason);
    }
}

static void failed(struct pool_member *member, const char *reason)
{
    if (atomic_fetch_add_explicit(&member->errors_in_row, 1, memory_order_relaxed) + 1 >=
        ERRORS_TO_DOWN) {
        pool_member_transition(member, POOL_EV_ERROR, reason);
    }
}

static void answered_wrong(struct pool_op *op, struct pool_member *member, const char *reason)
{
    if (op->trial) {
        forget_result(op);
        pool_group_finish(op, KW_E_INTEGRITY);
        return;
    }
    pool_stats_attempt(op, true);
    atomic_fetch_add_explicit(&op->port->pool->wrong_answers, 1, memory_order_relaxed);
    if (op->key != NULL && pool_key_is_resident(op->key)) {
        /* more likely another key under the same id than a member that computes wrongly: this key
         * is not asked of it again, and only a row of such answers takes all others from it */
        pool_key_lacked(op->key, member,
                        "its answer did not verify: another key under the same id");
        failed(member, reason);
    } else {
        pool_member_transition(member, POOL_EV_WRONG_ANSWER, reason);
    }
    struct pool_event event = {
        .type = POOL_EVENT_WRONG_ANSWER,
        .member = member->config.name,
        .reason = reason,
    };
    pool_emit(op->port->pool, &event);
    redirect(op, member, POOL_VERDICT_OTHER, reason);
}

void pool_op_return(struct pool_member *member, struct pool_op *op, enum pool_verdict verdict,
                    const char *reason)
{
    settle(member, op, verdict == POOL_VERDICT_DONE, false);
    switch (verdict) {
    case POOL_VERDICT_DONE:
        if (op->lane.status == KW_OK && pool_check_wanted(op, member)) {
            pool_op_set_state(op, POOL_OP_CHECKING);
            pool_check_begin(op);
        } else {
            succeed(op, member);
        }
        return;
    case POOL_VERDICT_OTHER:
        pool_stats_attempt(op, true);
        failed(member, reason);
        break;
    case POOL_VERDICT_WRONG:
        answered_wrong(op, member, reason);
        return;
    case POOL_VERDICT_OTHER_FREE:
        refused(member, reason);
        break;
    case POOL_VERDICT_ELSEWHERE:
    case POOL_VERDICT_UNSUPPORTED:
        break;
    }
    redirect(op, member, verdict, reason);
}

void pool_group_checked(struct pool_op *op, kw_status verdict)
{
    struct pool_member *member = op->serving;
    if (verdict == KW_OK) {
        succeed(op, member);
        return;
    }
    if (verdict != KW_E_CRYPTO) {
        forget_result(op); /* unverified is not fit to leave */
        if (!pool_hedge_failed(op)) {
            pool_group_finish(op, verdict);
        }
        return;
    }
    answered_wrong(op, member, "an answer did not verify");
}

/* ---- the way in
 * ------------------------------------------------------------------------------------- */

/* Software keys and public-key work go to the core; it also has all there is when no member is
 * configured. */
static bool is_for_core(const struct pool *pool, const struct pool_op *op, bool public_op)
{
    if (public_op) {
        return true;
    }
    if (op->key != NULL && pool_key_is_resident(op->key)) {
        return false; /* a token has it, or nobody */
    }
    if (pool_is_core_alone(pool)) {
        return true;
    }
    switch (op->lane.kind) {
    case KW_KIND_GENERATE:
        return !op->generate.hsm;
    case KW_KIND_RANDOM:
        return false;
    default:
        return !pool_key_is_hsm(op->key);
    }
}

static kw_status pick(struct pool_port *port, struct pool_op *op, bool public_op,
                      struct pool_member **out)
{
    struct pool *pool = port->pool;
    kw_status why = KW_E_UNAVAILABLE;
    struct pool_member *core = pool_core(pool);
    if (!is_for_core(pool, op, public_op)) {
        *out = pool_group_choose(port, op, &why);
        if (*out != NULL || op->lane.kind != KW_KIND_RANDOM) {
            return *out != NULL ? KW_OK : why;
        }
    }
    *out = core;
    return atomic_load_explicit(&core->in_flight, memory_order_relaxed) <
                   (int64_t)pool_config(pool)->queue_max
               ? KW_OK
               : KW_E_BUSY;
}

static kw_status submit(struct pool_port *port, struct pool_op *op, uint64_t excluded)
{
    if (op->on_done == NULL || op->state != POOL_OP_IDLE || port->closing) {
        return KW_E_INPUT;
    }
    op->port = port;
    op->serving = NULL;
    op->served_by = NULL;
    op->served_on = 0;
    op->tried = op->avoid | excluded;
    op->attempts = 0;
    op->flags = 0;
    op->hedge = NULL;
    op->expected_ns = 0;
    op->submitted_ns = kw_now_ns();
    port->now_ns = op->submitted_ns;
    bool public_op;
    struct pool_member *member;
    KW_TRY(pool_op_shape(op, &public_op));
    if (op->deadline_ns <= op->submitted_ns) {
        return KW_E_DEADLINE;
    }
    KW_TRY(pick(port, op, public_op, &member));
    port->in_flight++;
    if (op->deadline_ns < port->deadline_ns) {
        port->deadline_ns = op->deadline_ns;
    }
    int64_t tick = op->submitted_ns + POOL_PORT_TICK_NS;
    if (tick < port->expire_ns) {
        port->expire_ns = tick;
    }
    pool_op_set_state(op, POOL_OP_ACCEPTED);
    pool_group_assign(op, member);
    return KW_OK;
}

kw_status pool_submit(struct pool_port *port, struct pool_op *op)
{
    return submit(port, op, 0);
}

kw_status pool_submit_to(struct pool_port *port, struct pool_op *op, const char *member)
{
    for (unsigned i = 0; i < port->pool->member_count; i++) {
        if (port->attached[i] && pool_slot(&port->pool->members[i]) == POOL_SLOT_MEMBER &&
            strcmp(port->pool->members[i].config.name, member) == 0) {
            return submit(port, op, ~((uint64_t)1 << i));
        }
    }
    return KW_E_NOT_FOUND;
}

#include "pool/group.h"

#include <stddef.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "pool/budget.h"
#include "pool/check.h"
#include "pool/hedge.h"
#include "pool/key.h"
#include "pool/limit.h"
#include "pool/line.h"
#include "pool/member_state.h"
#include "pool/outlier.h"
#include "pool/shape.h"
#include "pool/slot.h"
#include "pool/stats.h"

#define ATTEMPTS_MAX   3
#define ERRORS_TO_DOWN 3
/* five uncharged failures in a row, or more than one in five for a while, make a member suspect */
#define REFUSAL_WEIGHT      4
#define REFUSALS_TO_SUSPECT 20

/* ---- one attempt
 * ---------------------------------------------------------------------------------- */

void pool_group_assign(struct pool_op *op, struct pool_member *member)
{
    struct pool_port *port = op->port;
    op->serving = member;
    op->tried |= (uint64_t)1 << member->index;
    op->attempts++;
    op->sent_ns = kw_now_ns();
    port->placed[member->index]++;
    atomic_fetch_add_explicit(&member->in_flight, 1, memory_order_relaxed);
    if (member != pool_core(port->pool)) { /* nobody chooses the implicit core by its load */
        op->expected_ns = pool_choice_cost_ns(member, op);
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
    double queued =
        ((double)(op->ahead_ns > 0 ? op->ahead_ns : 0) + cost) / pool_choice_parallel(member);
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

static void uncharge(struct pool_op *op)
{
    if (op->flags & POOL_OP_CHARGED) {
        pool_budget_give(&op->port->pool->budget_out);
        op->flags &= (uint8_t)~POOL_OP_CHARGED;
    }
}

/* The attempt is over, whatever came of it: take it off the member's account. */
static void settle(struct pool_member *member, struct pool_op *op, bool done, bool runs_on)
{
    pool_hedge_unwatch(op, done);
    op->port->placed[member->index]--;
    if (!runs_on) {
        pool_member_unload(member, op->expected_ns);
    }
    if (member != pool_core(op->port->pool)) {
        /* an error that comes back at once says nothing of speed; one that comes late does */
        if (done || op->port->now_ns - op->sent_ns > (int64_t)op->expected_ns) {
            observe(member, op);
        }
        if (done) {
            pool_limit_learn(member, op);
        }
        op->expected_ns = 0;
    }
    uncharge(op);
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
     * what it gave back moves on, however much it was, also into the line when that one is full
     * (`next` is NULL). The budget holds back repeated attempts inside a group that stays as it is;
     * it is a share of all that clients wait for, in members or in the line. */
    if (!pool_member_accepts(from) || (is_suspect(from) && (next == NULL || !is_suspect(next)))) {
        return true;
    }
    int64_t active = atomic_load_explicit(&pool->line_count, memory_order_relaxed);
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

/* Who may take over; NULL with the status the operation ends with, KW_E_BUSY: it waits in line. A
 * GENERATE may be repeated like a signature: the key that the lost attempt may have made is a
 * session object of its host, it dies with its session, and nothing is stored or promised before an
 * answer arrives. */
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
    if (next == NULL && *why != KW_E_BUSY) {
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

/* No member takes it: that is the end, but random bytes the core has as well. */
static void end_or_core(struct pool_op *op, kw_status why)
{
    if (op->lane.kind != KW_KIND_RANDOM || why == KW_E_DEADLINE || op->port->closing) {
        pool_group_finish(op, why);
        return;
    }
    if (op->state != POOL_OP_ACCEPTED) {
        pool_op_set_state(op, POOL_OP_ACCEPTED);
    }
    pool_group_assign(op, pool_core(op->port->pool));
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
    if (next == NULL && why != KW_E_BUSY) {
        end_or_core(op, why);
        return;
    }
    atomic_fetch_add_explicit(&op->port->pool->retries, 1, memory_order_relaxed);
    if (verdict == POOL_VERDICT_UNSUPPORTED || verdict == POOL_VERDICT_ELSEWHERE) {
        op->attempts--; /* it was never tried there */
    } else {
        announce_failover(op, from, reason);
    }
    pool_op_set_state(op, POOL_OP_ACCEPTED);
    if (next != NULL) {
        pool_group_assign(op, next);
    } else {
        pool_line_push(op->port, op);
    }
}

void pool_group_unplaced(struct pool_op *op, kw_status why)
{
    uncharge(op);
    end_or_core(op, why);
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
    if (op->lane.status == KW_OK && member != pool_core(op->port->pool)) {
        pool_outlier_answered(member, op);
    }
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
    if (verdict == POOL_VERDICT_OTHER || verdict == POOL_VERDICT_OTHER_FREE) {
        op->failed_on |= (uint64_t)1 << member->index;
    }
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

/* Who takes it now; KW_OK and NULL: it waits in line. */
static kw_status pick(struct pool_port *port, struct pool_op *op, bool public_op,
                      struct pool_member **out)
{
    struct pool *pool = port->pool;
    kw_status why = KW_E_UNAVAILABLE;
    struct pool_member *core = pool_core(pool);
    if (!is_for_core(pool, op, public_op)) {
        *out = pool_group_choose(port, op, &why);
        if (*out != NULL ? port->line.count > 0 : why == KW_E_BUSY) {
            *out = NULL; /* others wait already */
            return pool_line_admits(port, op) ? KW_OK : KW_E_BUSY;
        }
        if (*out != NULL || op->lane.kind != KW_KIND_RANDOM) {
            return *out != NULL ? KW_OK : why;
        }
    }
    *out = core;
    int64_t max = pool_config(pool)->queue_max;
    int64_t busy = atomic_load_explicit(&core->in_flight, memory_order_relaxed);
    if (busy < max || (busy < 2 * max && pool_line_is_small(port, op))) {
        return KW_OK;
    }
    op->retry_after_s = 1;
    return KW_E_BUSY;
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
    op->retry_after_s = 0;
    op->failed_on = 0;
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
    pool_line_enter(port, op);
    if (op->deadline_ns < port->deadline_ns) {
        port->deadline_ns = op->deadline_ns;
    }
    int64_t tick = op->submitted_ns + POOL_PORT_TICK_NS;
    if (tick < port->expire_ns) {
        port->expire_ns = tick;
    }
    pool_op_set_state(op, POOL_OP_ACCEPTED);
    if (member != NULL) {
        pool_group_assign(op, member);
    } else {
        pool_line_push(port, op);
    }
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

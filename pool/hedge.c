#include "pool/hedge.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/base/secret.h"
#include "pool/group.h"

#define HEDGE_SHARE    0.02  /* of the operations */
#define HEDGE_BURST    32.0  /* tokens the bucket holds */
#define HEDGE_KEPT     16.0  /* of these for operations that wait twice the percentile */
#define SAMPLES_MIN    100u  /* answers of a shape before its percentile means something */
#define SAMPLES_HALVE  2048u /* then the counts are halved: what was long ago fades */
#define DELAY_FLOOR_NS 100000

struct pool_hedge {
    struct pool_hedge *next; /* port's free list */
    struct pool_op twin;
    struct pool_op *subject;
    size_t out_cap;
    uint8_t *out;
};

/* ---- the percentile -----------------------------------------------------------------------------
 * Counts over buckets that grow by a quarter octave: the answer is right within 19 %, upwards. */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 16) {
        return 0;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    unsigned bucket = (top - 4) * 4 + (unsigned)(ns >> (top - 2) & 3);
    return bucket < POOL_HEDGE_BUCKETS ? bucket : POOL_HEDGE_BUCKETS - 1;
}

static int64_t upper_bound(unsigned bucket)
{
    unsigned top = bucket / 4 + 4;
    return ((int64_t)(bucket % 4) + 5) << (top - 2);
}

static void learn(struct pool_hedge_shape *shape, int64_t took_ns)
{
    shape->counts[bucket_of(took_ns > 0 ? (uint64_t)took_ns : 0)]++;
    shape->total++;
    if (shape->total % 64 != 0 || shape->total < SAMPLES_MIN) {
        return;
    }
    uint32_t above = 0, limit = shape->total / 20;
    unsigned bucket = POOL_HEDGE_BUCKETS;
    while (bucket > 0 && above + shape->counts[bucket - 1] <= limit) {
        above += shape->counts[--bucket];
    }
    shape->delay_ns = upper_bound(bucket > 0 ? bucket - 1 : 0);
    shape->delay_ns = shape->delay_ns < DELAY_FLOOR_NS ? DELAY_FLOOR_NS : shape->delay_ns;
    if (shape->total >= SAMPLES_HALVE) {
        shape->total = 0;
        for (unsigned i = 0; i < POOL_HEDGE_BUCKETS; i++) {
            shape->total += shape->counts[i] /= 2;
        }
    }
}

/* ---- who waits for a hedge ----------------------------------------------------------------------
 * A list for each shape: the delay is the shape's, so the first is due first. */

static void append(struct pool_hedge_shape *shape, struct pool_op *op, int64_t due_ns)
{
    op->hedge_due_ns = due_ns;
    op->hedge_next = NULL;
    op->hedge_prev = shape->last;
    *(shape->last != NULL ? &shape->last->hedge_next : &shape->first) = op;
    shape->last = op;
    op->flags |= POOL_OP_WATCHED;
}

static void take_out(struct pool_hedge_shape *shape, struct pool_op *op)
{
    *(op->hedge_prev != NULL ? &op->hedge_prev->hedge_next : &shape->first) = op->hedge_next;
    *(op->hedge_next != NULL ? &op->hedge_next->hedge_prev : &shape->last) = op->hedge_prev;
    op->hedge_next = op->hedge_prev = NULL;
    op->flags &= (uint8_t)~POOL_OP_WATCHED;
}

/* Operations that change nothing wherever they run. GENERATE and RANDOM have no shape. */
static bool hedgeable(const struct pool_op *op, const struct pool_member *member)
{
    return pool_config(op->port->pool)->hedge && op->shape != KC_SHAPE_COUNT &&
           member->type->abandon != NULL && (op->flags & (POOL_OP_INTERNAL | POOL_OP_TWIN)) == 0;
}

void pool_hedge_watch(struct pool_op *op, const struct pool_member *member)
{
    struct pool_port *port = op->port;
    if (!hedgeable(op, member) || (op->flags & POOL_OP_HEDGED)) {
        return;
    }
    struct pool_hedge_shape *shape = &port->hedge_shapes[op->shape];
    port->hedge_tokens += HEDGE_SHARE;
    port->hedge_tokens = port->hedge_tokens < HEDGE_BURST ? port->hedge_tokens : HEDGE_BURST;
    if (shape->delay_ns == 0) {
        return;
    }
    append(shape, op, op->sent_ns + shape->delay_ns);
    port->hedge_ns = op->hedge_due_ns < port->hedge_ns ? op->hedge_due_ns : port->hedge_ns;
}

void pool_hedge_unwatch(struct pool_op *op, bool done)
{
    struct pool_hedge_shape *shape = &op->port->hedge_shapes[op->shape];
    if (op->flags & POOL_OP_WATCHED) {
        take_out(shape, op);
    }
    if (done && (op->flags & POOL_OP_INTERNAL) == 0 && pool_config(op->port->pool)->hedge &&
        op->shape != KC_SHAPE_COUNT && op->serving->type->abandon != NULL) {
        learn(shape, op->port->now_ns - op->sent_ns);
    }
}

/* --- the twin --- */

static struct pool_hedge *make(struct pool_port *port, size_t out_cap)
{
    struct pool_hedge *hedge = port->hedges_free;
    if (hedge != NULL) {
        port->hedges_free = hedge->next;
    } else {
        hedge = calloc(1, sizeof *hedge);
    }
    if (hedge != NULL && hedge->out_cap < out_cap) {
        uint8_t *out = kw_secret_alloc(out_cap);
        if (out != NULL) {
            kw_secret_free(hedge->out);
            hedge->out = out;
            hedge->out_cap = out_cap;
        } else {
            hedge->next = port->hedges_free;
            port->hedges_free = hedge;
            hedge = NULL;
        }
    }
    return hedge;
}

/* The twin is with nobody any more. */
static void drop(struct pool_hedge *hedge)
{
    struct pool_port *port = hedge->subject->port;
    if (hedge->out != NULL) {
        kw_wipe(hedge->out, hedge->twin.lane.out.cap);
    }
    hedge->subject->hedge = NULL;
    hedge->subject = NULL;
    hedge->next = port->hedges_free;
    port->hedges_free = hedge;
}

/* Sends `op` to a second member as well; false when nobody is fit for it now. */
static bool duplicate(struct pool_op *op, int64_t delay_ns)
{
    struct pool_port *port = op->port;
    kw_status why;
    struct pool_member *second = pool_group_choose(port, op, &why);
    if (second == NULL || second->type->abandon == NULL ||
        pool_member_health(second) == POOL_HEALTH_SUSPECT ||
        pool_group_expected_ns(port, second, op) > (double)delay_ns) {
        return false;
    }
    struct pool_hedge *hedge = make(port, op->lane.out.cap);
    if (hedge == NULL) {
        return false;
    }
    hedge->subject = op;
    hedge->twin = (struct pool_op){
        .lane = op->lane,
        .key = op->key,
        .deadline_ns = op->deadline_ns,
        .owner = hedge,
        .port = port,
        .shape = op->shape,
        .flags = POOL_OP_TWIN,
        .submitted_ns = op->submitted_ns,
    };
    hedge->twin.lane.out = (struct kw_buf){.data = hedge->out, .cap = op->lane.out.cap};
    op->hedge = hedge;
    op->tried |= (uint64_t)1 << second->index;
    op->flags |= POOL_OP_HEDGED;
    port->hedge_tokens -= 1;
    atomic_fetch_add_explicit(&port->pool->hedges, 1, memory_order_relaxed);
    pool_op_set_state(&hedge->twin, POOL_OP_ACCEPTED);
    pool_group_assign(&hedge->twin, second);
    return true;
}

/* One in twenty is later than the percentile, which is more than the budget, and most of those are
 * nearly there. They must not use up what an operation needs that really hangs. */
static bool affords(const struct pool_port *port, const struct pool_op *op, int64_t delay_ns)
{
    bool hangs = port->now_ns - op->sent_ns >= 2 * delay_ns;
    return port->hedge_tokens >= (hangs ? 1 : 1 + HEDGE_KEPT);
}

void pool_hedge_run(struct pool_port *port)
{
    if (port->now_ns < port->hedge_ns) {
        return;
    }
    port->hedge_ns = INT64_MAX;
    for (unsigned s = 0; s < KC_SHAPE_COUNT; s++) {
        struct pool_hedge_shape *shape = &port->hedge_shapes[s];
        struct pool_op *op;
        while ((op = shape->first) != NULL && op->hedge_due_ns <= port->now_ns) {
            take_out(shape, op);
            bool sent = affords(port, op, shape->delay_ns) && !port->closing &&
                        duplicate(op, shape->delay_ns);
            if (!sent && !port->closing && op->state == POOL_OP_SERVING) {
                append(shape, op, port->now_ns + shape->delay_ns); /* asked again later */
            }
        }
        if (op != NULL && op->hedge_due_ns < port->hedge_ns) {
            port->hedge_ns = op->hedge_due_ns;
        }
    }
}

/* --- the end --- */

static void hand_over(struct pool_hedge *hedge)
{
    struct pool_op *subject = hedge->subject;
    struct kc_lane_op *to = &subject->lane;
    const struct kc_lane_op *from = &hedge->twin.lane;
    if (from->status == KW_OK && from->out.len > 0) {
        memcpy(to->out.data, from->out.data, from->out.len);
    }
    to->out.len = from->status == KW_OK ? from->out.len : 0;
    to->valid = from->valid;
    if (to->kind == KW_KIND_ENCRYPT) {
        memcpy(to->tag, from->tag, sizeof to->tag);
    }
    subject->served_by = hedge->twin.served_by;
    subject->served_on = hedge->twin.served_on;
    kw_status status = from->status;
    drop(hedge);
    pool_group_finish(subject, status);
}

/* The twin's member lets go of it, or its check still reads the buffers. */
static bool let_go(struct pool_hedge *hedge)
{
    if (hedge->twin.state == POOL_OP_CHECKING) {
        return false;
    }
    pool_group_abandon(&hedge->twin);
    drop(hedge);
    return true;
}

static bool twin_answered(struct pool_hedge *hedge)
{
    struct pool_op *subject = hedge->subject;
    if (subject->flags & POOL_OP_HELD) { /* it was answered first and waited for this check */
        kw_status status = subject->lane.status;
        drop(hedge);
        pool_group_finish(subject, status);
    } else if (subject->flags & POOL_OP_PARKED) {
        hand_over(hedge);
    } else if (subject->state == POOL_OP_CHECKING) {
        drop(hedge); /* the subject's own answer is nearly through */
    } else {
        pool_group_abandon(subject);
        hand_over(hedge);
    }
    return false;
}

bool pool_hedge_answered(struct pool_op *op)
{
    if (op->flags & POOL_OP_TWIN) {
        return twin_answered(op->owner);
    }
    if (op->hedge == NULL || let_go(op->hedge)) {
        return true;
    }
    op->flags |= POOL_OP_HELD;
    return false;
}

bool pool_hedge_failed(struct pool_op *op)
{
    if ((op->flags & POOL_OP_TWIN) == 0) {
        if (op->hedge != NULL) {
            op->flags |= POOL_OP_PARKED;
        }
        return op->hedge != NULL;
    }
    struct pool_hedge *hedge = op->owner;
    struct pool_op *subject = hedge->subject;
    struct pool_member *member = op->serving;
    drop(hedge);
    if (subject->flags & POOL_OP_HELD) {
        pool_group_finish(subject, subject->lane.status);
    } else if (subject->flags & POOL_OP_PARKED) {
        subject->flags &= (uint8_t)~POOL_OP_PARKED;
        pool_group_retry(subject, member);
    }
    return true;
}

void pool_hedge_free_all(struct pool_port *port)
{
    while (port->hedges_free != NULL) {
        struct pool_hedge *hedge = port->hedges_free;
        port->hedges_free = hedge->next;
        kw_secret_free(hedge->out);
        free(hedge);
    }
}

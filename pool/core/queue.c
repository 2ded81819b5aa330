#include "pool/core/queue.h"

#include "pool/op_state.h"
#include "pool/shape.h"

void core_list_push(struct core_list *list, struct pool_op *op)
{
    op->next = NULL;
    if (list->last != NULL) {
        list->last->next = op;
    } else {
        list->first = op;
    }
    list->last = op;
}

struct pool_op *core_list_pop(struct core_list *list)
{
    struct pool_op *op = list->first;
    if (op != NULL) {
        list->first = op->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        op->next = NULL;
    }
    return op;
}

void core_queues_init(struct core_queues *queues)
{
    *queues = (struct core_queues){.earliest_ns = INT64_MAX};
}

static unsigned queue_of(const struct pool_op *op)
{
    if (op->lane.kind == KW_KIND_GENERATE) {
        return op->generate.kty == KW_KTY_RSA ? CORE_QUEUE_KEYGEN_SLOW : CORE_QUEUE_KEYGEN_QUICK;
    }
    return op->shape;
}

static struct pool_fair_clock *clock_of(struct core_queues *queues, unsigned index)
{
    return &queues->clocks[index < KC_SHAPE_COUNT ? 0 : index - KC_SHAPE_COUNT + 1];
}

static void put(struct core_queues *queues, struct pool_op *op, unsigned index)
{
    pool_fair_push(&queues->queue[index], op);
    queues->mask |= 1u << index;
    queues->total++;
    if (op->deadline_ns < queues->earliest_ns) {
        queues->earliest_ns = op->deadline_ns;
    }
}

void core_queues_push(struct core_queues *queues, struct pool_op *op)
{
    unsigned index = queue_of(op);
    if (op->flags & POOL_OP_INTERNAL) { /* the end of an operation that has had its turn */
        pool_fair_tag_first(clock_of(queues, index), op);
    } else {
        pool_fair_tag(clock_of(queues, index), op, pool_op_cost_ns(op));
    }
    put(queues, op, index);
}

static struct pool_op *take(struct core_queues *queues, unsigned index)
{
    struct pool_op *op = pool_fair_pop(&queues->queue[index]);
    if (op != NULL) {
        queues->total--;
        if (queues->queue[index].count == 0) {
            queues->mask &= ~(1u << index);
        }
    }
    return op;
}

struct pool_op *core_queues_pop(struct core_queues *queues, unsigned index)
{
    const uint32_t shapes = (1u << KC_SHAPE_COUNT) - 1;
    struct pool_fair_clock *clock = clock_of(queues, index);
    struct pool_op *op = take(queues, index);
    if (op != NULL) {
        pool_fair_serve(clock, op);
        if ((queues->mask & (index < KC_SHAPE_COUNT ? shapes : 1u << index)) == 0) {
            pool_fair_idle(clock);
        }
    }
    return op;
}

unsigned core_queues_next_shape(const struct core_queues *queues)
{
    unsigned next = KC_SHAPE_COUNT;
    const struct pool_op *first = NULL;
    for (uint32_t mask = queues->mask & ((1u << KC_SHAPE_COUNT) - 1); mask != 0; mask &= mask - 1) {
        unsigned index = (unsigned)__builtin_ctz(mask);
        const struct pool_op *op = pool_fair_first(&queues->queue[index]);
        if (first == NULL || op->fair_tag < first->fair_tag ||
            (op->fair_tag == first->fair_tag && op->submitted_ns < first->submitted_ns)) {
            first = op;
            next = index;
        }
    }
    return next;
}

void core_queues_expire(struct core_queues *queues, int64_t now_ns, struct core_list *late)
{
    queues->earliest_ns = INT64_MAX;
    for (unsigned i = 0; i < CORE_QUEUES; i++) {
        struct core_list kept = {0};
        struct pool_op *op;
        while ((op = take(queues, i)) != NULL) {
            core_list_push(op->deadline_ns <= now_ns ? late : &kept, op);
        }
        while ((op = core_list_pop(&kept)) != NULL) {
            put(queues, op, i); /* its turn stays what it was */
        }
    }
}

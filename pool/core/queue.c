#include "pool/core/queue.h"

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

void core_queues_push(struct core_queues *queues, struct pool_op *op)
{
    unsigned index = queue_of(op);
    core_list_push(&queues->queue[index].list, op);
    queues->queue[index].count++;
    queues->mask |= 1u << index;
    queues->total++;
    if (op->deadline_ns < queues->earliest_ns) {
        queues->earliest_ns = op->deadline_ns;
    }
}

struct pool_op *core_queues_pop(struct core_queues *queues, unsigned index)
{
    struct pool_op *op = core_list_pop(&queues->queue[index].list);
    if (op != NULL) {
        queues->total--;
        if (--queues->queue[index].count == 0) {
            queues->mask &= ~(1u << index);
        }
    }
    return op;
}

unsigned core_queues_oldest_shape(const struct core_queues *queues)
{
    unsigned oldest = KC_SHAPE_COUNT;
    int64_t since = INT64_MAX;
    for (uint32_t mask = queues->mask & ((1u << KC_SHAPE_COUNT) - 1); mask != 0; mask &= mask - 1) {
        unsigned index = (unsigned)__builtin_ctz(mask);
        int64_t submitted = queues->queue[index].list.first->submitted_ns;
        if (submitted < since) {
            since = submitted;
            oldest = index;
        }
    }
    return oldest;
}

void core_queues_expire(struct core_queues *queues, int64_t now_ns, struct core_list *late)
{
    struct core_queues kept;
    core_queues_init(&kept);
    for (unsigned i = 0; i < CORE_QUEUES; i++) {
        struct pool_op *op;
        while ((op = core_queues_pop(queues, i)) != NULL) {
            if (op->deadline_ns <= now_ns) {
                core_list_push(late, op);
            } else {
                core_queues_push(&kept, op);
            }
        }
    }
    *queues = kept;
}

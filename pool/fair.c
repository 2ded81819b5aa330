#include "pool/fair.h"

#include <stddef.h>

#define PROBES 8u

/* --- tags --- */

/* A flow that has ended says nothing: whoever comes first may have its place. */
static int64_t *flow_of(struct pool_fair_clock *clock, uint64_t client)
{
    unsigned home = (unsigned)(client * 0x9e3779b97f4a7c15u >> 56), unused = POOL_FAIR_FLOWS;
    for (unsigned i = 0; i < PROBES; i++) {
        unsigned at = (home + i) % POOL_FAIR_FLOWS;
        if (clock->flows[at].client == client) {
            return &clock->flows[at].end_ns;
        }
        if (unused == POOL_FAIR_FLOWS && clock->flows[at].end_ns <= clock->virtual_ns) {
            unused = at;
        }
    }
    if (unused == POOL_FAIR_FLOWS) {
        return &clock->flows[home].end_ns;
    }
    clock->flows[unused].client = client;
    return &clock->flows[unused].end_ns;
}

void pool_fair_tag(struct pool_fair_clock *clock, struct pool_op *op, int64_t cost_ns)
{
    int64_t *end = flow_of(clock, op->client);
    op->fair_tag = *end > clock->virtual_ns ? *end : clock->virtual_ns;
    *end = op->fair_tag + cost_ns;
    clock->last_ns = *end > clock->last_ns ? *end : clock->last_ns;
}

void pool_fair_tag_first(const struct pool_fair_clock *clock, struct pool_op *op)
{
    op->fair_tag = clock->virtual_ns;
}

void pool_fair_serve(struct pool_fair_clock *clock, const struct pool_op *op)
{
    if (op->fair_tag > clock->virtual_ns) {
        clock->virtual_ns = op->fair_tag;
    }
}

void pool_fair_idle(struct pool_fair_clock *clock)
{
    if (clock->last_ns > clock->virtual_ns) {
        clock->virtual_ns = clock->last_ns;
    }
}

/* --- the queue --- */

static bool before(const struct pool_op *a, const struct pool_op *b)
{
    return a->fair_tag != b->fair_tag ? a->fair_tag < b->fair_tag
                                      : a->submitted_ns < b->submitted_ns;
}

/* The later one becomes the first child of the earlier. Either may be NULL. */
static struct pool_op *meld(struct pool_op *a, struct pool_op *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (before(b, a)) {
        struct pool_op *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->fair_child;
    a->fair_child = b;
    return a;
}

/* Children of a root that was taken out: in pairs from the left, then together from the right. */
static struct pool_op *meld_children(struct pool_op *child)
{
    struct pool_op *pairs = NULL, *heap = NULL;
    while (child != NULL) {
        struct pool_op *a = child, *b = a->next;
        child = b != NULL ? b->next : NULL;
        a->next = NULL;
        if (b != NULL) {
            b->next = NULL;
        }
        struct pool_op *pair = meld(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs != NULL) {
        struct pool_op *next = pairs->next;
        pairs->next = NULL;
        heap = meld(heap, pairs);
        pairs = next;
    }
    return heap;
}

void pool_fair_push(struct pool_fair_queue *queue, struct pool_op *op)
{
    op->next = op->fair_child = NULL;
    queue->count++;
    if (queue->last != NULL && before(op, queue->last)) {
        queue->heap = meld(queue->heap, op);
        return;
    }
    *(queue->last != NULL ? &queue->last->next : &queue->first) = op;
    queue->last = op;
}

static bool heap_is_first(const struct pool_fair_queue *queue)
{
    return queue->heap != NULL && (queue->first == NULL || before(queue->heap, queue->first));
}

struct pool_op *pool_fair_first(const struct pool_fair_queue *queue)
{
    return heap_is_first(queue) ? queue->heap : queue->first;
}

struct pool_op *pool_fair_pop(struct pool_fair_queue *queue)
{
    struct pool_op *op = queue->first;
    if (heap_is_first(queue)) {
        op = queue->heap;
        queue->heap = meld_children(op->fair_child);
    } else if (op != NULL) {
        queue->first = op->next;
        queue->last = queue->first == NULL ? NULL : queue->last;
    } else {
        return NULL;
    }
    queue->count--;
    op->next = op->fair_child = NULL;
    return op;
}

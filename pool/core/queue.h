#pragma once
/* The queues of the core: one per shape, and two for key generation. All under one lock, which is
 * held for a few pointer moves at a time. Clients take turns in them (pool/fair.h): the shapes are
 * served by one set of workers and share a clock, either kind of key generation has its own. */

#include "pool/core/engine.h"
#include "pool/fair.h"

#define CORE_QUEUE_KEYGEN_SLOW  KC_SHAPE_COUNT       /* RSA: up to seconds */
#define CORE_QUEUE_KEYGEN_QUICK (KC_SHAPE_COUNT + 1) /* EC and oct */
#define CORE_QUEUES             (KC_SHAPE_COUNT + 2)

struct core_queues {
    struct pool_fair_queue queue[CORE_QUEUES];
    struct pool_fair_clock clocks[3];
    uint32_t mask; /* bit per queue that has something */
    unsigned total;
    int64_t earliest_ns; /* no operation in here has an earlier deadline */
};

void core_queues_init(struct core_queues *queues);
void core_queues_push(struct core_queues *queues, struct pool_op *op);

/** First of a queue, which is served now; NULL when it is empty. */
struct pool_op *core_queues_pop(struct core_queues *queues, unsigned index);

/** The shape of the operation whose turn it is; KC_SHAPE_COUNT when none waits. */
unsigned core_queues_next_shape(const struct core_queues *queues);

/** Moves what is late into `late`; sets earliest_ns anew. */
void core_queues_expire(struct core_queues *queues, int64_t now_ns, struct core_list *late);

#pragma once
/* The queues of the core: one per shape, and two for key generation. All under one lock, which is
 * held for a few pointer moves at a time. */

#include "pool/core/engine.h"

#define CORE_QUEUE_KEYGEN_SLOW  KC_SHAPE_COUNT       /* RSA: up to seconds */
#define CORE_QUEUE_KEYGEN_QUICK (KC_SHAPE_COUNT + 1) /* EC and oct */
#define CORE_QUEUES             (KC_SHAPE_COUNT + 2)

struct core_queue {
    struct core_list list;
    unsigned count;
};

struct core_queues {
    struct core_queue queue[CORE_QUEUES];
    uint32_t mask; /* bit per queue that has something */
    unsigned total;
    int64_t earliest_ns; /* no operation in here has an earlier deadline */
};

void core_queues_init(struct core_queues *queues);
void core_queues_push(struct core_queues *queues, struct pool_op *op);

/** First of a queue; NULL when it is empty. */
struct pool_op *core_queues_pop(struct core_queues *queues, unsigned index);

/** The shape whose first operation is the oldest; KC_SHAPE_COUNT when none waits. */
unsigned core_queues_oldest_shape(const struct core_queues *queues);

/** Moves what is late into `late`; sets earliest_ns anew. */
void core_queues_expire(struct core_queues *queues, int64_t now_ns, struct core_list *late);

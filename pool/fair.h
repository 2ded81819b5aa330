#pragma once
/* The order in which operations of several clients are served: start-time fair queueing. Each
 * client gets an equal share of *service time* (not of requests: an RSA-4096 signature costs many
 * ES256 ones), what it leaves unused goes to the others, and one client alone is served first come,
 * first served, for the price of a list. It gives the shares of deficit round robin without its
 * rounds, so that operations of several clients can be batched by shape and still be served in
 * their order.
 *
 * A client's operation is tagged with the virtual time at which its turn begins: now, or when the
 * client's operations before it have had theirs. The queue is ordered by the tag. Virtual time is
 * the tag of what was served last. */

#include "pool/op.h"

#define POOL_FAIR_FLOWS 256u /* clients with operations waiting at the same moment; more share */

/** One for each set of servers that clients compete for. Not thread-safe. */
struct pool_fair_clock {
    int64_t virtual_ns, last_ns; /* now; where the last flow ends */
    struct {
        uint64_t client;
        int64_t end_ns; /* virtual; in the past: the client has nothing waiting */
    } flows[POOL_FAIR_FLOWS];
};

/** Tags `op`, which costs `cost_ns`, by its client. */
void pool_fair_tag(struct pool_fair_clock *clock, struct pool_op *op, int64_t cost_ns);
/** Tags `op` to be served before all others, at nobody's cost. */
void pool_fair_tag_first(const struct pool_fair_clock *clock, struct pool_op *op);
/** `op` is served now. */
void pool_fair_serve(struct pool_fair_clock *clock, const struct pool_op *op);
/** Nothing waits: nobody owes anything. */
void pool_fair_idle(struct pool_fair_clock *clock);

/** Tagged operations by their tag, and within one tag by age. A run of rising tags is a list, the
 * rest a pairing heap. Chained by `next` and `fair_child`. */
struct pool_fair_queue {
    struct pool_op *first, *last, *heap;
    unsigned count;
};

void pool_fair_push(struct pool_fair_queue *queue, struct pool_op *op);
struct pool_op *pool_fair_first(const struct pool_fair_queue *queue);
/** Takes the first out; NULL when empty. */
struct pool_op *pool_fair_pop(struct pool_fair_queue *queue);

#pragma once
/* The core's threads: one bounded set of queues, workers that take batches from it, and two threads
 * that make keys. Shared by every core member of a pool.
 *
 * Natural batching: a worker that becomes free takes what waits of one shape, up to the kernel's
 * width; it never waits for company. Which shape: the one whose first operation has its turn
 * first among the clients that wait (pool/fair.h), so no client and no shape starves. How many: see
 * core_batch_size. */

#include "pool/pool_impl.h"

struct core_engine;

/** Starts the threads; `workers` 0: one per processor. */
KW_MUST_CHECK kw_status core_engine_create(struct core_engine **out, struct pool *pool,
                                           unsigned workers);

/** Ends the threads. The queues are empty by then: every port is gone. NULL is allowed. */
void core_engine_destroy(struct core_engine *engine);

unsigned core_engine_workers(const struct core_engine *engine);

/** Operations chained by `next`. */
struct core_list {
    struct pool_op *first, *last;
};

void core_list_push(struct core_list *list, struct pool_op *op);
struct pool_op *core_list_pop(struct core_list *list);

/** Hands over what a port gathered in a turn: one lock, as many wake-ups as idle workers can use.
 * They come back through pool_port_post_chain. `list` is empty afterwards. Any thread. */
void core_engine_submit(struct core_engine *engine, struct core_list *list);

/** Takes what is past its deadline out of the queues (KW_E_DEADLINE, posted to its port). Returns
 * the earliest deadline that still waits, INT64_MAX: none. Any thread. */
int64_t core_engine_expire(struct core_engine *engine, int64_t now_ns);

/** How many of `waiting` operations of a shape `width` lanes wide a worker takes when `idle` other
 *  workers have nothing to do. Below the kernel's break-even (about a third of its lanes)
 * operations run one after the other on the single path, so they are shared out among the idle
 * workers: two operations on two idle workers take the time of one. From break-even on all go into
 * one kernel call, which costs the same time for three as for eight: dividing it would double the
 * processor time for little, and the loops need the processors too. Pure. */
unsigned core_batch_size(unsigned waiting, unsigned width, unsigned idle);

/** Counts of one thread's batches; written by that thread alone. */
struct core_batch_counters {
    _Atomic uint64_t batches, lanes_sum, lanes[POOL_LANE_BUCKETS];
};
void core_count_batch(struct core_batch_counters *counters, size_t lanes);

/** Counters of a port's inline batches join the statistics, and are kept when they leave. */
struct core_inline_counters {
    struct core_batch_counters counters;
    struct core_inline_counters *next;
};
void core_engine_join(struct core_engine *engine, struct core_inline_counters *counters);
void core_engine_leave(struct core_engine *engine, struct core_inline_counters *counters);

/** Adds batches and lanes to `out`. Any thread. */
void core_engine_stats(struct core_engine *engine, struct pool_stats *out);

/** Operations that wait in the queues. Any thread. */
unsigned core_engine_waiting(struct core_engine *engine);

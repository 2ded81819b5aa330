#include "pool/core/engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/core/keygen.h"
#include "pool/core/queue.h"

#define BATCH_MAX   32
#define WORKERS_MAX 256
#define KEYGEN_NICE 5

struct core_worker {
    struct core_engine *engine;
    pthread_t thread;
    struct kc_scratch *scratch;
    struct core_batch_counters counters;
};

struct core_maker {
    struct core_engine *engine;
    pthread_t thread;
    pthread_cond_t work;
    unsigned queue;
    bool started;
};

struct core_engine {
    struct pool *pool;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct core_queues queues;
    unsigned idle;      /* workers that wait on `work` */
    unsigned signalled; /* of these, woken and not running yet */
    bool stop;
    _Atomic unsigned waiting; /* queues.total for readers without the lock */
    _Atomic int64_t earliest_ns;
    uint8_t width[KC_SHAPE_COUNT];

    unsigned worker_count, started;
    struct core_worker *workers;
    struct core_maker makers[2];

    struct core_inline_counters *joined; /* under lock */
    struct core_batch_counters left;     /* under lock */
};

/* ---- counting
 * ------------------------------------------------------------------------------------- */

void core_count_batch(struct core_batch_counters *counters, size_t lanes)
{
    size_t bucket = lanes < POOL_LANE_BUCKETS ? lanes - 1 : POOL_LANE_BUCKETS - 1;
    pool_count(&counters->batches, 1);
    pool_count(&counters->lanes_sum, lanes);
    pool_count(&counters->lanes[bucket], 1);
}

static void fold(struct core_batch_counters *into, struct core_batch_counters *from)
{
    pool_count(&into->batches, atomic_load_explicit(&from->batches, memory_order_relaxed));
    pool_count(&into->lanes_sum, atomic_load_explicit(&from->lanes_sum, memory_order_relaxed));
    for (unsigned i = 0; i < POOL_LANE_BUCKETS; i++) {
        pool_count(&into->lanes[i], atomic_load_explicit(&from->lanes[i], memory_order_relaxed));
    }
}

void core_engine_join(struct core_engine *engine, struct core_inline_counters *counters)
{
    pthread_mutex_lock(&engine->lock);
    counters->next = engine->joined;
    engine->joined = counters;
    pthread_mutex_unlock(&engine->lock);
}

void core_engine_leave(struct core_engine *engine, struct core_inline_counters *counters)
{
    pthread_mutex_lock(&engine->lock);
    for (struct core_inline_counters **at = &engine->joined; *at != NULL; at = &(*at)->next) {
        if (*at == counters) {
            *at = counters->next;
            fold(&engine->left, &counters->counters);
            break;
        }
    }
    pthread_mutex_unlock(&engine->lock);
}

void core_engine_stats(struct core_engine *engine, struct pool_stats *out)
{
    struct core_batch_counters sum = {0};
    pthread_mutex_lock(&engine->lock);
    fold(&sum, &engine->left);
    for (struct core_inline_counters *c = engine->joined; c != NULL; c = c->next) {
        fold(&sum, &c->counters);
    }
    for (unsigned i = 0; i < engine->started; i++) {
        fold(&sum, &engine->workers[i].counters);
    }
    pthread_mutex_unlock(&engine->lock);
    out->batches += sum.batches;
    out->batch_lanes_sum += sum.lanes_sum;
    for (unsigned i = 0; i < POOL_LANE_BUCKETS; i++) {
        out->batch_lanes[i] += sum.lanes[i];
    }
}

unsigned core_engine_waiting(struct core_engine *engine)
{
    return atomic_load_explicit(&engine->waiting, memory_order_relaxed);
}

unsigned core_engine_workers(const struct core_engine *engine)
{
    return engine->worker_count;
}

/* ---- in
 * ------------------------------------------------------------------------------------------- */

static unsigned break_even(unsigned width)
{
    return (width + 2) / 3;
}

unsigned core_batch_size(unsigned waiting, unsigned width, unsigned idle)
{
    if (width <= 1 || waiting <= 1) {
        return waiting == 0 ? 0 : 1;
    }
    if (waiting < break_even(width)) {
        return (waiting + idle) / (idle + 1);
    }
    return waiting < width ? waiting : width;
}

/* Lock held: how many workers what waits could keep busy. */
static unsigned workers_wanted(const struct core_engine *engine)
{
    unsigned wanted = 0;
    const uint32_t shapes = (1u << KC_SHAPE_COUNT) - 1;
    for (uint32_t mask = engine->queues.mask & shapes; mask != 0; mask &= mask - 1) {
        unsigned shape = (unsigned)__builtin_ctz(mask);
        unsigned count = engine->queues.queue[shape].count, width = engine->width[shape];
        wanted += count < break_even(width) ? count : (count + width - 1) / width;
    }
    return wanted;
}

/* Lock held. Only workers that sleep are woken: under load nobody sleeps and nothing is spent here.
 */
static void wake_workers(struct core_engine *engine)
{
    if (engine->idle == engine->signalled) {
        return;
    }
    unsigned wanted = workers_wanted(engine);
    while (engine->signalled < wanted && engine->signalled < engine->idle) {
        engine->signalled++;
        pthread_cond_signal(&engine->work);
    }
}

/* Lock held: what readers without the lock see. */
static void publish(struct core_engine *engine)
{
    atomic_store_explicit(&engine->waiting, engine->queues.total, memory_order_relaxed);
    atomic_store_explicit(&engine->earliest_ns, engine->queues.earliest_ns, memory_order_relaxed);
}

void core_engine_submit(struct core_engine *engine, struct core_list *list)
{
    struct pool_op *op;
    pthread_mutex_lock(&engine->lock);
    while ((op = core_list_pop(list)) != NULL) {
        core_queues_push(&engine->queues, op);
    }
    wake_workers(engine);
    for (unsigned i = 0; i < 2; i++) {
        if (engine->queues.mask >> engine->makers[i].queue & 1) {
            pthread_cond_signal(&engine->makers[i].work);
        }
    }
    publish(engine);
    pthread_mutex_unlock(&engine->lock);
}

/* ---- out
 * ------------------------------------------------------------------------------------------ */

/* Each port's share of a batch goes back in one piece. */
static void post_batch(struct pool_op **ops, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (ops[i] == NULL) {
            continue;
        }
        struct pool_port *port = ops[i]->port;
        struct core_list chain = {0};
        for (unsigned j = n; j-- > i;) { /* newest first, as the port expects */
            if (ops[j] != NULL && ops[j]->port == port) {
                core_list_push(&chain, ops[j]);
                ops[j] = NULL;
            }
        }
        pool_port_post_chain(port, chain.first, chain.last);
    }
}

int64_t core_engine_expire(struct core_engine *engine, int64_t now_ns)
{
    if (now_ns < atomic_load_explicit(&engine->earliest_ns, memory_order_relaxed)) {
        return atomic_load_explicit(&engine->earliest_ns, memory_order_relaxed);
    }
    struct core_list late = {0};
    pthread_mutex_lock(&engine->lock);
    core_queues_expire(&engine->queues, now_ns, &late);
    publish(engine);
    int64_t next = engine->queues.earliest_ns;
    pthread_mutex_unlock(&engine->lock);
    struct pool_op *op;
    while ((op = core_list_pop(&late)) != NULL) {
        op->lane.status = KW_E_DEADLINE;
        post_batch(&op, 1);
    }
    return next;
}

/* ---- workers
 * -------------------------------------------------------------------------------------- */

static void run_batch(struct core_worker *worker, struct pool_op **ops, unsigned n, unsigned shape)
{
    struct kc_lane_op *lanes[BATCH_MAX];
    unsigned live = 0;
    int64_t now = kw_now_ns();
    for (unsigned i = 0; i < n; i++) {
        if (ops[i]->deadline_ns <= now) {
            ops[i]->lane.status = KW_E_DEADLINE;
        } else {
            lanes[live++] = &ops[i]->lane;
        }
    }
    if (live > 0) {
        kc_lanes_run(lanes, live, (enum kc_shape)shape, worker->scratch);
        core_count_batch(&worker->counters, live);
    }
    post_batch(ops, n);
}

/* Lock held: the next batch; 0 when nothing waits. */
static unsigned take_batch(struct core_engine *engine, struct pool_op **ops, unsigned *shape)
{
    *shape = core_queues_next_shape(&engine->queues);
    if (*shape == KC_SHAPE_COUNT) {
        return 0;
    }
    unsigned n =
        core_batch_size(engine->queues.queue[*shape].count, engine->width[*shape], engine->idle);
    for (unsigned i = 0; i < n; i++) {
        ops[i] = core_queues_pop(&engine->queues, *shape);
    }
    publish(engine);
    return n;
}

static void *work(void *arg)
{
    struct core_worker *worker = arg;
    struct core_engine *engine = worker->engine;
    struct pool_op *ops[BATCH_MAX];
    unsigned shape;
    pthread_mutex_lock(&engine->lock);
    for (;;) {
        unsigned n = take_batch(engine, ops, &shape);
        if (n > 0) {
            pthread_mutex_unlock(&engine->lock);
            run_batch(worker, ops, n, shape);
            pthread_mutex_lock(&engine->lock);
            continue;
        }
        if (engine->stop) {
            break;
        }
        engine->idle++;
        pthread_cond_wait(&engine->work, &engine->lock);
        engine->idle--;
        if (engine->signalled > 0) {
            engine->signalled--;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void *make_keys(void *arg)
{
    struct core_maker *maker = arg;
    struct core_engine *engine = maker->engine;
    /* Best effort: a key is late by a little, signatures are not late at all. */
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), KEYGEN_NICE);
    pthread_mutex_lock(&engine->lock);
    while (!engine->stop) {
        struct pool_op *op = core_queues_pop(&engine->queues, maker->queue);
        if (op == NULL) {
            pthread_cond_wait(&maker->work, &engine->lock);
            continue;
        }
        publish(engine);
        pthread_mutex_unlock(&engine->lock);
        op->lane.status =
            op->deadline_ns <= kw_now_ns() ? KW_E_DEADLINE : core_keygen(engine->pool->domain, op);
        post_batch(&op, 1);
        pthread_mutex_lock(&engine->lock);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

/* ---- life
 * ----------------------------------------------------------------------------------------- */

static bool start_thread(pthread_t *thread, void *(*fn)(void *), void *arg, const char *name)
{
    sigset_t all, old;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(thread, NULL, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (started) {
        pthread_setname_np(*thread, name);
    }
    return started;
}

static kw_status start_workers(struct core_engine *engine)
{
    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct core_worker *worker = &engine->workers[i];
        char name[16];
        snprintf(name, sizeof name, "kw-core-%u", i % 1000);
        worker->engine = engine;
        worker->scratch = kc_scratch_create();
        if (worker->scratch == NULL) {
            return KW_E_NOMEM;
        }
        if (!start_thread(&worker->thread, work, worker, name)) {
            kc_scratch_destroy(worker->scratch);
            return KW_E_NOMEM;
        }
        engine->started++;
    }
    return KW_OK;
}

static kw_status start_makers(struct core_engine *engine)
{
    static const char *const names[] = {"kw-keygen-rsa", "kw-keygen"};
    for (unsigned i = 0; i < 2; i++) {
        struct core_maker *maker = &engine->makers[i];
        if (!start_thread(&maker->thread, make_keys, maker, names[i])) {
            return KW_E_NOMEM;
        }
        maker->started = true;
    }
    return KW_OK;
}

static unsigned default_workers(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)n;
}

static struct core_engine *alloc_engine(struct pool *pool, unsigned workers)
{
    struct core_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->workers = calloc(workers, sizeof *engine->workers);
    if (engine->workers == NULL) {
        free(engine);
        return NULL;
    }
    engine->pool = pool;
    engine->worker_count = workers;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->work, NULL);
    core_queues_init(&engine->queues);
    publish(engine);
    for (unsigned i = 0; i < 2; i++) {
        engine->makers[i].engine = engine;
        engine->makers[i].queue = i == 0 ? CORE_QUEUE_KEYGEN_SLOW : CORE_QUEUE_KEYGEN_QUICK;
        pthread_cond_init(&engine->makers[i].work, NULL);
    }
    for (unsigned shape = 0; shape < KC_SHAPE_COUNT; shape++) {
        unsigned width = kc_lanes_width((enum kc_shape)shape);
        engine->width[shape] = (uint8_t)(width < 1 ? 1 : width > BATCH_MAX ? BATCH_MAX : width);
    }
    return engine;
}

kw_status core_engine_create(struct core_engine **out, struct pool *pool, unsigned workers)
{
    workers = workers == 0 ? default_workers() : workers;
    if (workers > WORKERS_MAX) {
        return KW_E_INPUT;
    }
    struct core_engine *engine = alloc_engine(pool, workers);
    if (engine == NULL) {
        return KW_E_NOMEM;
    }
    kw_status status = start_workers(engine);
    if (status == KW_OK) {
        status = start_makers(engine);
    }
    if (status != KW_OK) {
        core_engine_destroy(engine);
        return status;
    }
    *out = engine;
    return KW_OK;
}

void core_engine_destroy(struct core_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    pthread_mutex_lock(&engine->lock);
    engine->stop = true;
    pthread_cond_broadcast(&engine->work);
    pthread_cond_signal(&engine->makers[0].work);
    pthread_cond_signal(&engine->makers[1].work);
    pthread_mutex_unlock(&engine->lock);
    for (unsigned i = 0; i < engine->started; i++) {
        pthread_join(engine->workers[i].thread, NULL);
        kc_scratch_destroy(engine->workers[i].scratch);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (engine->makers[i].started) {
            pthread_join(engine->makers[i].thread, NULL);
        }
        pthread_cond_destroy(&engine->makers[i].work);
    }
    pthread_cond_destroy(&engine->work);
    pthread_mutex_destroy(&engine->lock);
    free(engine->workers);
    free(engine);
}

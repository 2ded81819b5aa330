/* The in-process member. Cheap shapes run on the port's own thread, in batches gathered over the
 * turn; the rest goes to the engine's workers. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "pool/core/engine.h"
#include "pool/key.h"
#include "pool/port.h"

#define INLINE_BATCH 16

struct core_link {
    struct pool_port *port;
    struct kc_scratch *scratch;
    struct core_list cheap[KC_SHAPE_COUNT];
    uint32_t cheap_mask;
    struct core_list random;
    struct core_list for_workers;
    struct core_inline_counters counted;
};

static kw_status core_create(struct pool_member *member, const struct pool_member_config *config)
{
    (void)config;
    member->impl = member->pool->engine;
    return KW_OK;
}

static void core_destroy(struct pool_member *member)
{
    member->impl = NULL;
}

static kw_status core_attach(struct pool_member *member, struct pool_port *port, void **out)
{
    struct core_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return KW_E_NOMEM;
    }
    link->port = port;
    link->scratch = kc_scratch_create();
    if (link->scratch == NULL) {
        free(link);
        return KW_E_NOMEM;
    }
    core_engine_join(member->impl, &link->counted);
    *out = link;
    return KW_OK;
}

static void core_detach(struct pool_member *member, struct pool_port *port, void *arg)
{
    struct core_link *link = arg;
    (void)port;
    core_engine_leave(member->impl, &link->counted);
    kc_scratch_destroy(link->scratch);
    free(link);
}

static void core_submit(struct pool_member *member, void *arg, struct pool_op *op)
{
    struct core_link *link = arg;
    (void)member;
    if (op->lane.kind == KW_KIND_RANDOM) {
        core_list_push(&link->random, op);
    } else if (op->shape != KC_SHAPE_COUNT && kc_lanes_cheap(op->shape)) {
        core_list_push(&link->cheap[op->shape], op);
        link->cheap_mask |= 1u << op->shape;
    } else {
        core_list_push(&link->for_workers, op);
    }
}

static void run_cheap(struct pool_member *member, struct core_link *link, unsigned shape)
{
    struct pool_op *ops[INLINE_BATCH];
    struct kc_lane_op *lanes[INLINE_BATCH];
    struct core_list *list = &link->cheap[shape];
    while (list->first != NULL) {
        unsigned n = 0;
        while (n < INLINE_BATCH && list->first != NULL) {
            ops[n] = core_list_pop(list);
            lanes[n] = &ops[n]->lane;
            n++;
        }
        kc_lanes_run(lanes, n, (enum kc_shape)shape, link->scratch);
        core_count_batch(&link->counted.counters, n);
        link->port->now_ns = kw_now_ns();
        for (unsigned i = 0; i < n; i++) {
            pool_op_return(member, ops[i], POOL_VERDICT_DONE, NULL);
        }
    }
}

static void core_flush(struct pool_member *member, void *arg)
{
    struct core_link *link = arg;
    /* workers first: they run while this thread does the cheap part */
    if (link->for_workers.first != NULL) {
        core_engine_submit(member->impl, &link->for_workers);
    }
    uint32_t mask = link->cheap_mask;
    link->cheap_mask = 0;
    for (; mask != 0; mask &= mask - 1) {
        run_cheap(member, link, (unsigned)__builtin_ctz(mask));
    }
    struct pool_op *op;
    while ((op = core_list_pop(&link->random)) != NULL) {
        op->lane.status = kw_random(op->lane.out.data, op->lane.out.cap);
        op->lane.out.len = op->lane.status == KW_OK ? op->lane.out.cap : 0;
        pool_op_return(member, op, POOL_VERDICT_DONE, NULL);
    }
}

static int64_t core_expire(struct pool_member *member, void *link, int64_t now_ns)
{
    (void)link;
    return core_engine_expire(member->impl, now_ns);
}

/* Asked for configured core members only: what goes to the implicit one is not chosen. */
static bool core_can(const struct pool_member *member, const struct pool_op *op)
{
    if (op->lane.kind == KW_KIND_RANDOM) {
        return true;
    }
    if (!member->config.opens_hsm_keys) {
        return false;
    }
    /* keys that live on tokens alone have no blob to open */
    return op->lane.kind == KW_KIND_GENERATE ||
           (pool_key_core(op->key) != NULL && kc_key_has_private(pool_key_core(op->key)));
}

static void core_stats(struct pool_member *member, struct pool_member_stats *out)
{
    /* the queues are shared: the implicit core shows them */
    if (member == pool_core(member->pool)) {
        out->queued = core_engine_waiting(member->impl);
    }
}

const struct pool_member_type pool_member_core = {
    .kind = "core",
    .depth_min = 16,
    .depth_max = 64,
    .create = core_create,
    .destroy = core_destroy,
    .attach = core_attach,
    .detach = core_detach,
    .submit = core_submit,
    .flush = core_flush,
    .expire = core_expire,
    .can = core_can,
    .stats = core_stats,
};

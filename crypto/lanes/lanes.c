#include "crypto/lanes/lanes.h"

#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"

#define RUN_MAX 64 /* operations handed to a kernel at once */

static _Atomic uint64_t alarms;

kw_status kc_lanes_init(void)
{
    struct kc_cpu cpu;
    KW_TRY(kc_cpu_read(&cpu, getenv("KEYWARD_CPU")));
    kc_dispatch_fill(&cpu);
    return kc_selftest();
}

const char *kc_lanes_kernel(enum kc_shape shape)
{
    const struct kc_kernel *kernel = kc_dispatch_get(shape);
    return kernel ? kernel->name : "none";
}

unsigned kc_lanes_width(enum kc_shape shape)
{
    const struct kc_kernel *kernel = kc_dispatch_get(shape);
    return kernel ? kernel->width : 1;
}

uint32_t kc_lanes_cost_ns(enum kc_shape shape)
{
    const struct kc_kernel *kernel = kc_dispatch_get(shape);
    return kernel ? kernel->cost_ns : 0;
}

bool kc_lanes_cheap(enum kc_shape shape)
{
    const struct kc_kernel *kernel = kc_dispatch_get(shape);
    return kernel && kernel->cheap;
}

uint64_t kc_lanes_alarms(void)
{
    return atomic_load_explicit(&alarms, memory_order_relaxed);
}

void kc_alarm_raise(void)
{
    atomic_fetch_add_explicit(&alarms, 1, memory_order_relaxed);
}

/* Whether all that kc_lanes_shape looks at in `op` is as in `like`, with no less room. */
static bool same_facts(const struct kc_lane_op *op, const struct kc_lane_op *like)
{
    if (!op->key) {
        return false;
    }
    const struct kc_public *a = &op->key->pub, *b = &like->key->pub;
    return op->alg == like->alg && op->kind == like->kind && op->in.len == like->in.len &&
           op->iv.len == like->iv.len && op->aad.len == like->aad.len &&
           op->out.cap >= like->out.cap && a->bits == b->bits && a->kty == b->kty &&
           a->curve == b->curve && op->key->has_private == like->key->has_private;
}

/* Gathers what may run; answers the rest. */
static size_t admit(struct kc_lane_op **ready, struct kc_lane_op *const *ops, size_t n,
                    enum kc_shape shape)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct kc_lane_op *op = ops[i];
        op->valid = false;
        op->out.len = 0;
        /* many of a batch are of one kind: what held for the last one holds for them */
        if (count > 0 && same_facts(op, ready[count - 1])) {
            op->status = KW_OK;
            ready[count++] = op;
            continue;
        }
        enum kc_shape own;
        op->status = kc_lanes_shape(op, &own);
        if (op->status == KW_OK && own != shape) {
            op->status = KW_E_INTERNAL;
        }
        if (op->status == KW_OK) {
            ready[count++] = op;
        }
    }
    return count;
}

static void fail_all(struct kc_lane_op **ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ops[i]->status = KW_E_INTERNAL;
    }
}

void kc_lanes_run(struct kc_lane_op *const *ops, size_t n, enum kc_shape shape,
                  struct kc_scratch *scratch)
{
    const struct kc_kernel *kernel = kc_dispatch_get(shape);
    struct kc_lane_op *ready[RUN_MAX];
    /* The thread's error queue belongs to whoever runs TLS on it. */
    ERR_set_mark();
    for (size_t at = 0; at < n; at += RUN_MAX) {
        size_t part = n - at < RUN_MAX ? n - at : RUN_MAX;
        size_t count = admit(ready, ops + at, part, shape);
        if (kernel->scratch_len > scratch->kernel_len) {
            fail_all(ready, count); /* a scratch from before kc_lanes_init */
        } else if (count > 0) {
            kernel->run(ready, count, scratch);
        }
    }
    kc_scratch_reset(scratch);
    ERR_pop_to_mark();
}

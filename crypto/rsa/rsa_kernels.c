#include "crypto/rsa/rsa_kernels.h"

#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"
#include "crypto/rsa/public_one.h"
#include "crypto/rsa/rsa_x8.h"

/* Jobs of one batch below which OpenSSL one by one is faster: bench_rsa_break_even. */
#define MIN_PRIVATE_2048 3
#define MIN_OTHER        2
#define MIN_PUBLIC       5 /* fewer: kc_rsa_one_public, one by one */

/* --- what a key carries: a kc_rsa_private_ctx, or its public beginning alone --- */

static kw_status fill_context(void *ctx, const struct kc_key *key)
{
    const struct kc_public *pub = &key->pub;
    struct kw_span n = kw_span_of(pub->n, pub->n_len);
    struct kw_span e = kw_span_of(pub->e, pub->e_len);
    if (!key->rsa) {
        return kc_rsa_public_init(ctx, n, e);
    }
    const struct kc_rsa_private *rsa = key->rsa;
    const size_t half = pub->bits / 16;
    const struct kc_private_parts parts = {
        .n = n,
        .e = e,
        .p = kw_span_of(rsa->p, half),
        .q = kw_span_of(rsa->q, half),
        .dp = kw_span_of(rsa->dp, half),
        .dq = kw_span_of(rsa->dq, half),
        .qi = kw_span_of(rsa->qi, half),
    };
    return kc_rsa_private_init(ctx, &parts);
}

/** Unfit keys (uneven primes) get none and are served by OpenSSL. */
static kw_status build_context(void **out, const struct kc_key *key)
{
    *out = NULL;
    if (key->pub.kty != KW_KTY_RSA) {
        return KW_OK;
    }
    void *ctx = kw_secret_alloc(key->rsa ? sizeof(struct kc_rsa_private_ctx)
                                         : sizeof(struct kc_rsa_public_ctx));
    if (!ctx) {
        return KW_E_NOMEM;
    }
    kw_status status = fill_context(ctx, key);
    if (status != KW_OK) {
        kw_secret_free(ctx);
        return status == KW_E_UNSUPPORTED ? KW_OK : status;
    }
    *out = ctx;
    return KW_OK;
}

static const struct kc_key_extension extension = {build_context, kw_secret_free};

static const void *context_of(const struct kc_key *key)
{
    return key->slots[KC_KEY_SLOT_RSA].prepared;
}

/* --- modexp rows --- */

/** Splits off the jobs whose keys have no context: OpenSSL does those. */
static unsigned take_fit(struct kc_rsa_job **fit, struct kc_rsa_job *jobs, size_t n,
                         kc_modexp_fn *single, struct kc_scratch *scratch)
{
    unsigned count = 0;
    for (size_t i = 0; i < n; i++) {
        if (context_of(jobs[i].key)) {
            fit[count++] = &jobs[i];
        } else {
            single(&jobs[i], 1, scratch);
        }
    }
    return count;
}

static void private_lanes(struct kc_rsa_job **jobs, unsigned count, struct kc_scratch *scratch)
{
    struct kc_rsa_private_lane lanes[KC_RSA_LANES] = {{0}};
    for (unsigned i = 0; i < count; i++) {
        lanes[i] =
            (struct kc_rsa_private_lane){context_of(jobs[i]->key), jobs[i]->in, jobs[i]->out};
        jobs[i]->status = KW_OK;
    }
    kc_rsa_x8_private_unchecked(lanes, count, scratch->kernel);
}

static void public_lanes(struct kc_rsa_job **jobs, unsigned count, struct kc_scratch *scratch)
{
    struct kc_rsa_public_lane lanes[KC_RSA_LANES] = {{0}};
    for (unsigned i = 0; i < count; i++) {
        lanes[i] = (struct kc_rsa_public_lane){context_of(jobs[i]->key), jobs[i]->in, jobs[i]->out};
    }
    unsigned below = kc_rsa_x8_public(lanes, count, scratch->kernel);
    for (unsigned i = 0; i < count; i++) {
        jobs[i]->status = below >> i & 1 ? KW_OK : KW_E_INTERNAL;
    }
}

/** Eight at a time through `lanes`; a rest of fewer than `min` one by one through `single`. */
static void run(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch, unsigned min,
                void (*lanes)(struct kc_rsa_job **, unsigned, struct kc_scratch *),
                kc_modexp_fn *single)
{
    struct kc_rsa_job *fit[KC_RSA_BATCH];
    unsigned count = take_fit(fit, jobs, n, single, scratch);
    for (unsigned at = 0; at < count; at += KC_RSA_LANES) {
        unsigned part = count - at < KC_RSA_LANES ? count - at : KC_RSA_LANES;
        if (part >= min) {
            lanes(fit + at, part, scratch);
            continue;
        }
        for (unsigned i = 0; i < part; i++) {
            single(fit[at + i], 1, scratch);
        }
    }
}

/** The check is the caller's: kc_rsa_run_private makes it on the bytes that leave. */
static void private_modexp(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    unsigned min = jobs[0].key->pub.bits == 2048 ? MIN_PRIVATE_2048 : MIN_OTHER;
    run(jobs, n, scratch, min, private_lanes, kc_openssl_rsa_private);
}

/** Those without company, and keys without a context. */
static void public_single(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    for (size_t i = 0; i < n; i++) {
        const struct kc_rsa_public_ctx *key = context_of(jobs[i].key);
        if (!key) {
            kc_openssl_rsa_public(&jobs[i], 1, scratch);
            continue;
        }
        const struct kc_rsa_public_lane lane = {key, jobs[i].in, jobs[i].out};
        jobs[i].status = kc_rsa_one_public(&lane) ? KW_OK : KW_E_INTERNAL;
    }
}

static void public_modexp(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    run(jobs, n, scratch, MIN_PUBLIC, public_lanes, public_single);
}

/* Nanoseconds an operation on a 3.66 GHz Zen 4 core, eight lanes full, check included. */
#define ROW(shape, name, ns, cheap, run, modexp)                                                   \
    [shape] = {name " avx512ifma x8", KC_RSA_LANES, ns, cheap, run, modexp, KC_RSA_SCRATCH_BYTES}

static const struct kc_kernel rows[] = {
    ROW(KC_SHAPE_RSA2048_PRIVATE, "rsa2048-private", 96000, false, kc_rsa_run_private,
        private_modexp),
    ROW(KC_SHAPE_RSA3072_PRIVATE, "rsa3072-private", 355000, false, kc_rsa_run_private,
        private_modexp),
    ROW(KC_SHAPE_RSA4096_PRIVATE, "rsa4096-private", 810000, false, kc_rsa_run_private,
        private_modexp),
    ROW(KC_SHAPE_RSA2048_PUBLIC, "rsa2048-public", 3500, true, kc_rsa_run_public, public_modexp),
    ROW(KC_SHAPE_RSA3072_PUBLIC, "rsa3072-public", 7700, true, kc_rsa_run_public, public_modexp),
    ROW(KC_SHAPE_RSA4096_PUBLIC, "rsa4096-public", 13200, true, kc_rsa_run_public, public_modexp),
};

void kc_rsa_x8_register(const struct kc_cpu *cpu)
{
    bool fit = cpu->path == KC_CPU_AVX512 && cpu->avx512 && cpu->avx512_ifma && cpu->bmi2 &&
               kc_rsa_x8_supported();
    kc_key_extend(KC_KEY_SLOT_RSA, fit ? &extension : NULL);
    for (int shape = KC_SHAPE_RSA2048_PRIVATE; fit && shape <= KC_SHAPE_RSA4096_PUBLIC; shape++) {
        kc_dispatch_set((enum kc_shape)shape, &rows[shape]);
    }
}

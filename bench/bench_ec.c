/* ECDSA on one core: the lane interface against OpenSSL's EVP with a reused context, in turns.
 * Usage: bench_ec [ROUNDS [LANES]]    (default 9 rounds of 60 ms each, 8 lanes)
 * Prints operations per second, medians, and their ratio. Run it under taskset. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "crypto/keys/key_internal.h"
#include "crypto/lanes/lanes.h"

#define LANES      8
#define SLICE_NS   60000000
#define MAX_ROUNDS 99

struct subject {
    struct kc_key *key[LANES];
    struct kc_lane_op op[LANES];
    struct kc_lane_op *ops[LANES];
    uint8_t digest[LANES][64], out[LANES][132];
    enum kc_shape shape;
    struct kc_scratch *scratch;
    unsigned lanes;
    EVP_PKEY_CTX *ctx;
    uint8_t der[160];
    size_t der_len;
};

static bool ours(struct subject *s)
{
    kc_lanes_run(s->ops, s->lanes, s->shape, s->scratch);
    for (unsigned i = 0; i < s->lanes; i++)
        if (s->op[i].status != KW_OK || (s->op[i].kind == KW_KIND_VERIFY && !s->op[i].valid))
            return false;
    return true;
}

static bool theirs(struct subject *s)
{
    if (s->op[0].kind == KW_KIND_VERIFY)
        return EVP_PKEY_verify(s->ctx, s->der, s->der_len, s->digest[0], s->op[0].in.len) == 1;
    size_t len = sizeof s->der;
    return EVP_PKEY_sign(s->ctx, s->der, &len, s->digest[0], s->op[0].in.len) == 1;
}

static double rate(struct subject *s, bool (*step)(struct subject *), unsigned per_step)
{
    int64_t start = kw_now_ns(), now;
    uint64_t done = 0;
    do {
        if (!step(s)) {
            fprintf(stderr, "a step failed\n");
            exit(1);
        }
        done += per_step;
        now = kw_now_ns();
    } while (now - start < SLICE_NS);
    return (double)done * 1e9 / (double)(now - start);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static void compare(struct subject *s, const char *name, unsigned rounds)
{
    double mine[MAX_ROUNDS], other[MAX_ROUNDS], ratio[MAX_ROUNDS];
    for (unsigned i = 0; i < rounds; i++) {
        mine[i] = rate(s, ours, s->lanes);
        other[i] = rate(s, theirs, 1);
        ratio[i] = mine[i] / other[i];
    }
    double keyward = median(mine, rounds), openssl = median(other, rounds);
    printf("%-12s %-8s %10.0f/s  openssl %9.0f/s  ratio %6.2f\n", name, kc_lanes_kernel(s->shape),
           keyward, openssl, median(ratio, rounds));
}

static bool reuse_context(struct subject *s, int verify)
{
    EVP_PKEY_CTX_free(s->ctx);
    s->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s->key[0]->pkey, NULL);
    return s->ctx && (verify ? EVP_PKEY_verify_init(s->ctx) : EVP_PKEY_sign_init(s->ctx)) == 1;
}

static bool curve(struct subject *s, enum kw_alg alg, const char *name, unsigned rounds)
{
    const struct kw_alg_info *info = kw_alg_info(alg);
    char row[32];
    for (unsigned i = 0; i < s->lanes; i++) {
        s->digest[i][0] = (uint8_t)(i + 1);
        if (kc_key_generate(&s->key[i], KW_KTY_EC, 0, info->curve, 0) != KW_OK)
            return false;
        s->op[i] = (struct kc_lane_op){.key = s->key[i],
                                       .kind = KW_KIND_SIGN,
                                       .alg = alg,
                                       .in = kw_span_of(s->digest[i], info->digest_len),
                                       .out = {s->out[i], 0, sizeof s->out[i]}};
        s->ops[i] = &s->op[i];
    }
    if (kc_lanes_shape(&s->op[0], &s->shape) != KW_OK || !reuse_context(s, 0))
        return false;
    snprintf(row, sizeof row, "%s-sign", name);
    compare(s, row, rounds);
    s->der_len = sizeof s->der;
    if (!ours(s) ||
        EVP_PKEY_sign(s->ctx, s->der, &s->der_len, s->digest[0], info->digest_len) != 1 ||
        !reuse_context(s, 1))
        return false;
    for (unsigned i = 0; i < s->lanes; i++) {
        s->op[i].kind = KW_KIND_VERIFY;
        s->op[i].sig = kw_buf_span(&s->op[i].out);
    }
    if (kc_lanes_shape(&s->op[0], &s->shape) != KW_OK)
        return false;
    snprintf(row, sizeof row, "%s-verify", name);
    compare(s, row, rounds);
    for (unsigned i = 0; i < s->lanes; i++)
        kc_key_unref(s->key[i]);
    return true;
}

int main(int argc, char **argv)
{
    static struct subject s;
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 9;
    s.lanes = argc > 2 ? (unsigned)atoi(argv[2]) : LANES;
    if (rounds < 1 || rounds > MAX_ROUNDS || s.lanes < 1 || s.lanes > LANES) {
        fprintf(stderr, "usage: bench_ec [ROUNDS [LANES]]\n");
        return 2;
    }
    if (kc_lanes_init() != KW_OK || !(s.scratch = kc_scratch_create()))
        return 1;
    bool ok = curve(&s, KW_ALG_ES256, "p256", rounds) && curve(&s, KW_ALG_ES384, "p384", rounds) &&
              curve(&s, KW_ALG_ES512, "p521", rounds);
    EVP_PKEY_CTX_free(s.ctx);
    kc_scratch_destroy(s.scratch);
    return ok ? 0 : 1;
}

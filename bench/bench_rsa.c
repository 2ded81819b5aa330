/* RSA on eight lanes against OpenSSL one by one, on one core, in turn so that both see the same
 * machine.
 *
 *   bench_rsa [ROUNDS]      rows for the six shapes, medians of ROUNDS (default 7)
 *
 * Figures are per second of processor time. The anchor is EVP_PKEY_sign and EVP_PKEY_verify_recover
 * without padding on a context made once. */

#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "crypto/rsa/rsa_x8.h"

#if defined(__x86_64__)
#define SLICE_NS   KW_MS(40) /* how long each side runs before the other's turn */
#define MAX_ROUNDS 99

struct bench_key {
    EVP_PKEY *pkey;
    struct kc_rsa_private_ctx *ctx;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_rsa: %s\n", what);
    exit(1);
}

static struct kw_span part(EVP_PKEY *pkey, const char *name)
{
    BIGNUM *v = NULL;
    if (!EVP_PKEY_get_bn_param(pkey, name, &v)) {
        die(name);
    }
    uint8_t *bytes = malloc(KW_RSA_MAX_BYTES);
    size_t len = (size_t)BN_bn2bin(v, bytes);
    BN_free(v);
    return kw_span_of(bytes, len);
}

static struct bench_key make_key(unsigned bits)
{
    struct bench_key key = {EVP_RSA_gen(bits),
                            aligned_alloc(64, sizeof(struct kc_rsa_private_ctx))};
    struct kc_private_parts parts = {
        .n = part(key.pkey, OSSL_PKEY_PARAM_RSA_N),
        .e = part(key.pkey, OSSL_PKEY_PARAM_RSA_E),
        .p = part(key.pkey, OSSL_PKEY_PARAM_RSA_FACTOR1),
        .q = part(key.pkey, OSSL_PKEY_PARAM_RSA_FACTOR2),
        .dp = part(key.pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1),
        .dq = part(key.pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2),
        .qi = part(key.pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1),
    };
    if (kc_rsa_private_init(key.ctx, &parts) != KW_OK) {
        die("context");
    }
    return key;
}

/** Core cycles a second: a chain of additions takes one cycle each. The fastest of many runs. */
static double core_hz(void)
{
    double best = 0;
    for (int round = 0; round < 200; round++) {
        uint64_t x = 1;
        int64_t start = kw_now_ns();
        for (int i = 0; i < 20000; i++) {
            __asm__ volatile("add %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\t"
                             "add %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0\n\tadd %0,%0"
                             : "+r"(x));
        }
        double hz = 200000.0 * 1e9 / (double)(kw_now_ns() - start);
        best = hz > best ? hz : best;
    }
    return best;
}

/** One side of a comparison: runs once, returns how many operations that was. */
struct side {
    unsigned (*run)(struct side *side);
    const struct bench_key *keys;
    EVP_PKEY_CTX *evp;
    unsigned len;
    uint8_t in[KC_RSA_LANES][KW_RSA_MAX_BYTES], out[KC_RSA_LANES][KW_RSA_MAX_BYTES];
    void *scratch;
};

static unsigned run_private(struct side *side)
{
    struct kc_rsa_private_lane lanes[KC_RSA_LANES];
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        lanes[i] = (struct kc_rsa_private_lane){side->keys[i % 2].ctx, side->in[i], side->out[i]};
    }
    if (kc_rsa_x8_private(lanes, KC_RSA_LANES, side->scratch) != 0xff) {
        die("a lane failed");
    }
    return KC_RSA_LANES;
}

static unsigned run_public(struct side *side)
{
    struct kc_rsa_public_lane lanes[KC_RSA_LANES];
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        lanes[i] =
            (struct kc_rsa_public_lane){&side->keys[i % 2].ctx->pub, side->in[i], side->out[i]};
    }
    if (kc_rsa_x8_public(lanes, KC_RSA_LANES, side->scratch) != 0xff) {
        die("a lane failed");
    }
    return KC_RSA_LANES;
}

static unsigned run_evp_private(struct side *side)
{
    size_t len = side->len;
    if (EVP_PKEY_sign(side->evp, side->out[0], &len, side->in[0], side->len) != 1) {
        die("EVP_PKEY_sign");
    }
    return 1;
}

static unsigned run_evp_public(struct side *side)
{
    size_t len = side->len;
    if (EVP_PKEY_verify_recover(side->evp, side->out[0], &len, side->in[0], side->len) != 1) {
        die("EVP_PKEY_verify_recover");
    }
    return 1;
}

/** This thread's processor time: another program on the core costs neither side anything. */
static int64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/** Operations a second of processor time over one slice. */
static double measure(struct side *side)
{
    unsigned done = 0;
    int64_t start = cpu_ns();
    int64_t now;
    do {
        done += side->run(side);
        now = cpu_ns();
    } while (now - start < SLICE_NS);
    return done * 1e9 / (double)(now - start);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

/** Multiply-adds of one batch by the schoolbook: what the row's efficiency is counted in. */
static double public_work(double n)
{
    return 16 * (3 * n * n + 2 * n) + 2 * (4 * n * n + n);
}

static double private_work(double n)
{
    double windows = (n / 20 * 1024 - 1) / 5;
    double sqr = 3 * n * n + 2 * n;
    double mul = 4 * n * n + n;
    return 2 * ((windows * 5 + 15) * sqr + (windows + 16) * mul) + public_work(2 * n);
}

static void row(const char *name, struct side *ours, struct side *anchor, double work, int rounds,
                double hz)
{
    double fast[MAX_ROUNDS];
    double slow[MAX_ROUNDS];
    double ratio[MAX_ROUNDS];
    double busy[MAX_ROUNDS];
    for (int i = 0; i < rounds; i++) {
        slow[i] = measure(anchor);
        fast[i] = measure(ours);
        ratio[i] = fast[i] / slow[i];
        busy[i] = work / KC_RSA_LANES * fast[i] / hz;
    }
    printf("%-16s keyward %9.0f/s  OpenSSL %8.0f/s  ratio %5.2f  multiply-adds/cycle %.3f\n", name,
           median(fast, rounds), median(slow, rounds), median(ratio, rounds), median(busy, rounds));
    fflush(stdout);
}

static void bench_size(unsigned bits, int rounds, double hz, void *scratch)
{
    struct bench_key keys[2] = {make_key(bits), make_key(bits)};
    static struct side ours, anchor;
    ours = (struct side){.run = run_private, .keys = keys, .len = bits / 8, .scratch = scratch};
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        for (unsigned j = 1; j < bits / 8; j++) {
            ours.in[i][j] = (uint8_t)rand();
        }
    }
    anchor = ours;
    anchor.run = run_evp_private;
    anchor.evp = EVP_PKEY_CTX_new(keys[0].pkey, NULL);
    if (EVP_PKEY_sign_init(anchor.evp) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(anchor.evp, RSA_NO_PADDING) != 1) {
        die("anchor");
    }
    char name[32];
    snprintf(name, sizeof name, "rsa%u-private", bits);
    row(name, &ours, &anchor, private_work(bits / 2048.0 * 20), rounds, hz);

    EVP_PKEY_CTX_free(anchor.evp);
    ours.run = run_public;
    anchor.run = run_evp_public;
    anchor.evp = EVP_PKEY_CTX_new(keys[0].pkey, NULL);
    if (EVP_PKEY_verify_recover_init(anchor.evp) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(anchor.evp, RSA_NO_PADDING) != 1) {
        die("anchor");
    }
    snprintf(name, sizeof name, "rsa%u-public", bits);
    row(name, &ours, &anchor, public_work(bits / 2048.0 * 40), rounds, hz);
    EVP_PKEY_CTX_free(anchor.evp);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    if (rounds < 1 || rounds > MAX_ROUNDS) {
        die("rounds: 1 to 99");
    }
    if (!kc_rsa_x8_supported()) {
        die("this CPU has no AVX-512 IFMA");
    }
    void *scratch = aligned_alloc(64, KC_RSA_SCRATCH_BYTES);
    if (scratch == NULL) {
        die("memory");
    }
    memset(scratch, 0, KC_RSA_SCRATCH_BYTES);
    double hz = core_hz();
    bench_size(2048, rounds, hz, scratch);
    bench_size(3072, rounds, hz, scratch);
    bench_size(4096, rounds, hz, scratch);
    free(scratch);
    return 0;
}
#else
int main(void)
{
    puts("bench_rsa: the kernels are for x86-64");
    return 0;
}
#endif

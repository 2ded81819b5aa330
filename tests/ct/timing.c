/* Timing of the shipped code for two classes of secrets (dudect: Reparaz, Balasch, Verbauwhede
 * 2017).
 *
 *   timing CASE [MEASUREMENTS]
 *
 * CASE: rsa-private, rsa-exponent, oaep, v15, or the control `leaky`, which must be told apart.
 * Exit 0 when |t| < 4.5 for every crop (for the control: when some |t| > 10). Measurements of both
 * classes come in random order, on the same buffers; slow ones (interrupts) are cropped at several
 * limits taken from the first of them. */
#include <immintrin.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys/key_internal.h"
#include "crypto/padding/padding.h"
#include "crypto/rsa/rsa_x8.h"
#include "tests/support/draw.h"
#include "tests/support/rsa_maker.h"

#define K        256 /* bytes of the modulus */
#define CROPS    12
#define FIRST    5000 /* measurements that set the crops and are not counted */
#define LIMIT    4.5
#define CONTROL  10.0
#define SKIPPED  77
#define KEYS     6
#define PREPARED 64

struct sums {
    double n, mean, m2;
};

static struct sums sums[CROPS][2];
static double crop[CROPS];
static struct kt_draw draw = {0x5eed};
static EVP_MD_CTX *md;

/* What one measurement runs on: prepared before the clock starts. */
static uint8_t em[K], out[K], block[PREPARED][2][K];
static struct kc_rsa_private_ctx *key, *keys[KEYS];
static uint8_t rsa_in[KC_RSA_LANES][K], rsa_out[KC_RSA_LANES][K];
static void *scratch;

static void record(struct sums *s, double x)
{
    double delta = x - s->mean;
    s->n++;
    s->mean += delta / s->n;
    s->m2 += delta * (x - s->mean);
}

/* Welch's t of one crop; 0 while there is too little. */
static double welch(const struct sums *s)
{
    if (s[0].n < 100 || s[1].n < 100) {
        return 0;
    }
    double v0 = s[0].m2 / (s[0].n - 1) / s[0].n, v1 = s[1].m2 / (s[1].n - 1) / s[1].n;
    return v0 + v1 > 0 ? (s[0].mean - s[1].mean) / sqrt(v0 + v1) : 0;
}

/* --- the cases: prepare a measurement of a class, run it --- */

static void prepare_block(int class)
{
    memcpy(em, block[kt_draw_below(&draw, PREPARED)][class], K);
}

static void run_oaep(void)
{
    size_t len, good;
    if (kc_oaep_decode(out, &len, &good, em, K, KW_HASH_SHA256, md) != KW_OK) {
        abort();
    }
}

static void run_v15(void)
{
    size_t len;
    (void)kc_pkcs1_encrypt_decode(out, &len, em, K);
}

/* Stops at the end of the padding. */
static void run_leaky(void)
{
    size_t at = 2;
    while (at < K && ((volatile uint8_t *)em)[at] != 0) {
        at++;
    }
    memcpy(out, em + at, K - at);
}

/* Class 0: one input; class 1: any. The same key. */
static void prepare_input(int class)
{
    for (unsigned lane = 0; lane < KC_RSA_LANES; lane++) {
        uint8_t fresh[K];
        kt_draw_bytes(&draw, fresh, K);
        memset(rsa_in[lane], 0, K);
        rsa_in[lane][K - 1] = 2;
        for (unsigned i = 1; i < K; i++) {
            rsa_in[lane][i] ^= (uint8_t)(fresh[i] & -class);
        }
    }
}

/* Class 0: one key; class 1: any of the others. The same place in memory, the same input. */
static void prepare_key(int class)
{
    size_t at = 1 + kt_draw_below(&draw, KEYS - 1);
    memcpy(key, keys[at * (size_t) class], sizeof(*key));
}

static void run_rsa(void)
{
    struct kc_rsa_private_lane lanes[KC_RSA_LANES];
    for (unsigned lane = 0; lane < KC_RSA_LANES; lane++) {
        lanes[lane] = (struct kc_rsa_private_lane){key, rsa_in[lane], rsa_out[lane]};
    }
    kc_rsa_x8_private_unchecked(lanes, KC_RSA_LANES, scratch);
}

/* Class 0: right encodings of plaintexts of many lengths; class 1: blocks wrong in many ways. */
static bool make_blocks(bool oaep)
{
    for (size_t i = 0; i < PREPARED; i++) {
        uint8_t plain[K];
        kt_draw_bytes(&draw, plain, K);
        struct kw_span span = kw_span_of(plain, 1 + kt_draw_below(&draw, K - 80));
        kw_status status = oaep ? kc_oaep_encode(block[i][0], K, KW_HASH_SHA256, span, md)
                                : kc_pkcs1_encrypt_encode(block[i][0], K, span);
        if (status != KW_OK) {
            return false;
        }
        kt_draw_bytes(&draw, block[i][1], K);
        if (i % 2) { /* nearly right */
            memcpy(block[i][1], block[i][0], K);
            block[i][1][kt_draw_below(&draw, 3)] ^= 1;
        }
    }
    return true;
}

static bool make_rsa(void)
{
    struct kt_primes primes;
    size_t made = 0;
    if (!kc_rsa_x8_supported()) {
        puts("this processor lacks AVX-512 IFMA");
        exit(SKIPPED);
    }
    key = kw_secret_alloc(sizeof(*key));
    scratch = kw_secret_alloc(KC_RSA_SCRATCH_BYTES);
    if (!key || !scratch || !kt_primes_make(&primes, 4, 8 * K)) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < i && made < KEYS; j++, made++) {
            struct kc_key *made_key = kt_rsa_key(&primes, i, j, 65537);
            keys[made] = kw_secret_alloc(sizeof(*key));
            if (!made_key || !keys[made]) {
                return false;
            }
            const struct kc_rsa_private *rsa = made_key->rsa;
            const struct kc_private_parts parts = {
                .n = kw_span_of(rsa->n, K),
                .e = kw_span_of(made_key->pub.e, made_key->pub.e_len),
                .p = kw_span_of(rsa->p, K / 2),
                .q = kw_span_of(rsa->q, K / 2),
                .dp = kw_span_of(rsa->dp, K / 2),
                .dq = kw_span_of(rsa->dq, K / 2),
                .qi = kw_span_of(rsa->qi, K / 2)};
            if (kc_rsa_private_init(keys[made], &parts) != KW_OK) {
                return false;
            }
            kc_key_unref(made_key);
        }
    }
    kt_primes_free(&primes);
    memcpy(key, keys[0], sizeof(*key));
    prepare_input(1);
    return true;
}

static const struct test {
    const char *name;
    void (*prepare)(int class);
    void (*run)(void);
    size_t measurements;
} tests[] = {
    {"oaep", prepare_block, run_oaep, 1000000},      {"v15", prepare_block, run_v15, 1000000},
    {"rsa-private", prepare_input, run_rsa, 125000}, /* eight operations each */
    {"rsa-exponent", prepare_key, run_rsa, 125000},  {"leaky", prepare_block, run_leaky, 20000},
};

static bool open_case(const struct test *test)
{
    md = EVP_MD_CTX_new();
    return md && (test->run == run_rsa ? make_rsa() : make_blocks(test->run == run_oaep));
}

/* --- measuring --- */

static uint64_t ticks(void)
{
    unsigned core;
    _mm_lfence();
    uint64_t t = __rdtscp(&core);
    _mm_lfence();
    return t;
}

static double once(const struct test *test, int class)
{
    test->prepare(class);
    uint64_t start = ticks();
    test->run();
    return (double)(ticks() - start);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Limits at percentiles that come closer to the end, as in dudect; the last crops nothing. */
static void set_crops(const struct test *test, size_t first)
{
    static double seen[FIRST];
    for (size_t i = 0; i < first; i++) {
        seen[i] = once(test, (int)(kt_draw64(&draw) & 1));
    }
    qsort(seen, first, sizeof(*seen), ascending);
    for (size_t i = 0; i + 1 < CROPS; i++) {
        crop[i] =
            seen[(size_t)((double)(first - 1) * (1 - pow(0.5, 10.0 * (double)(i + 1) / CROPS)))];
    }
    crop[CROPS - 1] = HUGE_VAL;
}

static double worst(void)
{
    double most = 0;
    for (size_t i = 0; i < CROPS; i++) {
        most = fmax(most, fabs(welch(sums[i])));
    }
    return most;
}

static void pin(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        puts("not pinned to one processor");
    }
}

int main(int argc, char **argv)
{
    const struct test *test = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof(tests) / sizeof(tests[0]); i++) {
        test = strcmp(argv[1], tests[i].name) == 0 ? &tests[i] : test;
    }
    if (!test) {
        fputs("usage: timing oaep|v15|rsa-private|rsa-exponent|leaky [MEASUREMENTS]\n", stderr);
        return 2;
    }
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : test->measurements;
    pin();
    if (!open_case(test)) {
        fputs("the case cannot be set up\n", stderr);
        return 1;
    }
    set_crops(test, count / 10 < FIRST ? count / 10 + 1 : FIRST);
    for (size_t i = 0; i < count; i++) {
        int class = (int)(kt_draw64(&draw) & 1);
        double t = once(test, class);
        for (size_t c = 0; c < CROPS; c++) {
            if (t <= crop[c]) {
                record(&sums[c][class], t);
            }
        }
    }
    double most = worst();
    const struct sums *all = sums[CROPS - 1];
    printf("%s: %zu measurements, largest |t| %.2f, ticks %.0f and %.0f\n", test->name, count, most,
           all[0].mean, all[1].mean);
    return test->run == run_leaky ? most <= CONTROL : most >= LIMIT;
}

/* From how many jobs a partly filled batch of the eight RSA lanes pays.
 *
 *   bench_rsa_break_even [ROUNDS]
 *
 * Both sides are what crypto/rsa/rsa_kernels.c chooses between: the lanes with 1 to 8 of them
 * filled, and the OpenSSL path job by job, in turn, under two keys. Private results are not checked
 * here, for the check that follows is the same on both sides. Figures are medians of ROUNDS
 * (default 7), microseconds of processor time a batch. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"
#include "crypto/rsa/rsa_x8.h"

#define SLICE_NS   KW_MS(8) /* how long each side runs before the other's turn */
#define MAX_ROUNDS 99
#define KEYS       2

static struct kc_key *keys[KEYS];
static uint8_t in[KC_RSA_LANES][KW_RSA_MAX_BYTES], out[KC_RSA_LANES][KW_RSA_MAX_BYTES];
static struct kc_scratch *scratch;

static void die(const char *what)
{
    fprintf(stderr, "bench_rsa_break_even: %s\n", what);
    exit(1);
}

static const void *prepared(unsigned lane)
{
    return keys[lane % KEYS]->slots[KC_KEY_SLOT_RSA].prepared;
}

static void private_lanes(unsigned n)
{
    struct kc_rsa_private_lane lanes[KC_RSA_LANES];
    for (unsigned i = 0; i < n; i++) {
        lanes[i] = (struct kc_rsa_private_lane){prepared(i), in[i], out[i]};
    }
    kc_rsa_x8_private_unchecked(lanes, n, scratch->kernel);
}

static void public_lanes(unsigned n)
{
    struct kc_rsa_public_lane lanes[KC_RSA_LANES];
    for (unsigned i = 0; i < n; i++) {
        lanes[i] = (struct kc_rsa_public_lane){prepared(i), in[i], out[i]};
    }
    if (kc_rsa_x8_public(lanes, n, scratch->kernel) != (1u << n) - 1) {
        die("a lane failed");
    }
}

static void single(kc_modexp_fn *modexp, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct kc_rsa_job job = {keys[i % KEYS], in[i], out[i], KW_E_INTERNAL};
        modexp(&job, 1, scratch);
        if (job.status != KW_OK) {
            die("OpenSSL failed");
        }
    }
}

static void private_single(unsigned n)
{
    single(kc_openssl_rsa_private, n);
}

static void public_single(unsigned n)
{
    single(kc_openssl_rsa_public, n);
}

/** This thread's processor time: another program on the core costs neither side anything. */
static int64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/** Microseconds a call over one slice. */
static double measure(void (*run)(unsigned n), unsigned n)
{
    unsigned calls = 0;
    int64_t start = cpu_ns();
    int64_t now;
    do {
        run(n);
        calls++;
        now = cpu_ns();
    } while (now - start < SLICE_NS);
    return (double)(now - start) / 1000 / calls;
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

/** A row of OpenSSL's time over the lanes' for 1 to 8 jobs: above 1 the lanes pay. */
static void row(unsigned bits, const char *what, void (*lanes)(unsigned), void (*one)(unsigned),
                int rounds)
{
    unsigned from = 0;
    double batch = 0;
    double job = 0;
    printf("| rsa%u-%s |", bits, what);
    for (unsigned n = 1; n <= KC_RSA_LANES; n++) {
        double ours[MAX_ROUNDS];
        double theirs[MAX_ROUNDS];
        for (int i = 0; i < rounds; i++) {
            theirs[i] = measure(one, n);
            ours[i] = measure(lanes, n);
        }
        batch = median(ours, rounds);
        job = median(theirs, rounds) / n;
        printf(" %.2f |", n * job / batch);
        fflush(stdout);
        if (n * job <= batch) {
            from = 0;
        } else if (from == 0) {
            from = n;
        }
    }
    printf(" %.1f | %.1f | %u |\n", batch, job, from);
}

static void bench_size(unsigned bits, int rounds)
{
    for (unsigned i = 0; i < KEYS; i++) {
        if (kc_key_generate(&keys[i], KW_KTY_RSA, bits, KW_CURVE_NONE, 65537) != KW_OK ||
            !prepared(i)) {
            die("key");
        }
    }
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        for (unsigned j = 1; j < bits / 8; j++) { /* the top byte stays 0: below the modulus */
            in[i][j] = (uint8_t)rand();
        }
    }
    row(bits, "private", private_lanes, private_single, rounds);
    row(bits, "public", public_lanes, public_single, rounds);
    for (unsigned i = 0; i < KEYS; i++) {
        kc_key_unref(keys[i]);
    }
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
    if (kc_lanes_init() != KW_OK || !(scratch = kc_scratch_create())) {
        die("setup");
    }
    printf("| OpenSSL / lanes, jobs: | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | lanes, us a batch | "
           "OpenSSL, us a job | lanes pay from |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (unsigned bits = 2048; bits <= 4096; bits += 1024) {
        bench_size(bits, rounds);
    }
    kc_scratch_destroy(scratch);
    return 0;
}

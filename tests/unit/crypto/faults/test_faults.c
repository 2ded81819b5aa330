/* Single-bit faults in the private RSA operation, through kc_lanes_run: no wrong answer leaves, the
 * other lanes answer, the struck one is answered by another path, and the alarm counts.
 *
 *   test_faults [FAULTS [SEED]]
 *
 * The kernel's steps run one by one with a bit flipped in between: in a half-result of p or q, in
 * the table during the exponentiation, in a constant or exponent, in the recombined number, in the
 * bytes of the output; or a neighbour's right answer stands in for the lane's own. */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/scratch.h"
#include "tests/support/draw.h"
#include "tests/support/rsa_maker.h"
#include "tests/unit/crypto/faults/fault_exp.h"

#ifndef FAULTS
#define FAULTS 2000
#endif
#define SIZES 3
#define KEYS  8
#define LANES 8

enum place {
    HALF_P,
    HALF_Q,
    TABLE_P,
    TABLE_Q,
    CONSTANT,
    EXPONENT,
    COEFFICIENT,
    PRODUCT,
    OUTPUT,
    NEIGHBOUR,
    PLACES
};
static const char *const place_names[PLACES] = {"half-result of p",
                                                "half-result of q",
                                                "table of p",
                                                "table of q",
                                                "modulus or Montgomery constant",
                                                "exponent",
                                                "coefficient",
                                                "recombined number",
                                                "output",
                                                "a neighbour's answer"};

/* One operation with its one right answer. */
struct known {
    struct kc_key *key;
    enum kw_kind kind;
    enum kw_alg alg;
    uint8_t in[KW_RSA_MAX_BYTES], want[KW_RSA_MAX_BYTES];
    size_t in_len, want_len;
};

static struct known known[SIZES][2 * KEYS]; /* a signature and an unwrap of each key */
static struct kt_draw draw;
static struct {
    enum place place;
    unsigned lanes;    /* mask of the lanes that are struck, each by a bit of its own */
    bool armed, twice; /* twice: the second path is struck as well */
} fault;
static struct {
    size_t injected, noticed, redone, failed;
} tally[PLACES];
static size_t wrong_answers;

static const struct kc_kernel *original[SIZES];
static struct kc_kernel struck[SIZES];
static kc_modexp_fn *original_second;

static void flip_bytes(struct kc_rsa_job *job)
{
    size_t k = job->key->pub.bits / 8;
    job->out[kt_draw_below(&draw, k)] ^= (uint8_t)(1u << kt_draw_below(&draw, 8));
}

static bool is_struck(size_t lane)
{
    return fault.lanes >> lane & 1;
}

#if defined(__x86_64__)
static void flip(__m512i *slices, size_t count, unsigned lane)
{
    __m512i *at = slices + kt_draw_below(&draw, count);
    ((uint64_t *)at)[lane] ^= 1ULL << kt_draw_below(&draw, KC_DIGIT);
}

static void strike_before(struct kc_rsa_private_work *w, unsigned digits, unsigned lane)
{
    struct kc_rsa_half_work *half = kt_draw_below(&draw, 2) ? &w->p : &w->q;
    switch (fault.place) {
    case CONSTANT:
        flip(kt_draw_below(&draw, 2) ? half->m : half->r3, digits - 1, lane);
        break;
    case EXPONENT:
        ((uint64_t *)&half->exponent[kt_draw_below(&draw, digits * 8 / KC_TILE)])[lane] ^=
            1ULL << kt_draw_below(&draw, 64);
        break;
    case COEFFICIENT:
        flip(w->qinv, digits - 1, lane);
        break;
    default:
        break;
    }
}

static void half_with_table(struct kc_rsa_private_work *w, struct kc_rsa_half_work *half,
                            unsigned blocks, bool strike)
{
    unsigned windows = 512 * blocks / KC_RSA_WINDOW;
    for (unsigned lane = 0; lane < LANES; lane++) {
        ft_strike_table(
            strike && is_struck(lane) ? (int)kt_draw_below(&draw, KC_RSA_WINDOW * windows) : -1,
            lane, (unsigned)kt_draw_below(&draw, KC_RSA_ENTRIES),
            (unsigned)kt_draw_below(&draw, KC_TILE * blocks - 1),
            (unsigned)kt_draw_below(&draw, KC_DIGIT));
    }
    ft_private_half(w, half, blocks);
}

static void strike_number(bool here, __m512i *slices, size_t count)
{
    for (unsigned lane = 0; here && lane < LANES; lane++) {
        if (is_struck(lane)) {
            flip(slices, count, lane);
        }
    }
}

/* The steps of the kernel with the faults in between. */
static void struck_lanes(const struct kc_rsa_private_lane *lanes, unsigned count, void *scratch)
{
    struct kc_rsa_private_work *w = &((union kc_rsa_work *)scratch)->priv;
    const unsigned blocks = lanes[0].key->pub.blocks / 2, digits = KC_TILE * blocks;
    kc_rsa_private_load(w, lanes, count);
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (is_struck(lane)) {
            strike_before(w, digits, lane);
        }
    }
    half_with_table(w, &w->p, blocks, fault.place == TABLE_P);
    half_with_table(w, &w->q, blocks, fault.place == TABLE_Q);
    strike_number(fault.place == HALF_P, w->p.result, digits - 1);
    strike_number(fault.place == HALF_Q, w->q.result, digits - 1);
    kc_rsa_private_recombine(w, blocks);
    strike_number(fault.place == PRODUCT, w->x, 2 * digits - 2);
    kc_rsa_private_store(w, lanes, count);
    kc_rsa_private_wipe(w, blocks);
}

static bool steps(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    struct kc_rsa_private_lane lanes[LANES];
    for (size_t i = 0; i < n; i++) {
        const void *ctx = jobs[i].key->slots[KC_KEY_SLOT_RSA].prepared;
        if (!ctx || n > LANES) {
            return false;
        }
        lanes[i] = (struct kc_rsa_private_lane){ctx, jobs[i].in, jobs[i].out};
        jobs[i].status = KW_OK;
    }
    struck_lanes(lanes, (unsigned)n, scratch->kernel);
    return true;
}
#else
static bool steps(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    (void)jobs, (void)n, (void)scratch;
    return false;
}
#endif

static bool in_bytes(void)
{
    return fault.place == OUTPUT || fault.place == NEIGHBOUR;
}

/* Stands in the dispatch table for the private kernel of each size. */
static void struck_modexp(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    size_t size = jobs[0].key->pub.bits / 1024 - 2;
    bool strike = fault.armed;
    fault.armed = false;
    if (!strike || in_bytes() || !steps(jobs, n, scratch)) {
        original[size]->modexp(jobs, n, scratch);
    }
    uint8_t right[LANES][KW_RSA_MAX_BYTES];
    for (size_t i = 0; i < n && i < LANES; i++) {
        memcpy(right[i], jobs[i].out, jobs[0].key->pub.bits / 8);
    }
    for (size_t i = 0; strike && i < n && i < LANES; i++) {
        if (is_struck(i) && fault.place == NEIGHBOUR) {
            memcpy(jobs[i].out, right[(i + 1) % n], jobs[0].key->pub.bits / 8);
        } else if (is_struck(i) && fault.place == OUTPUT) {
            flip_bytes(&jobs[i]);
        }
    }
}

static void struck_second(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch)
{
    original_second(jobs, n, scratch);
    for (size_t i = 0; fault.twice && i < n; i++) {
        flip_bytes(&jobs[i]);
    }
}

/* The answer that is right, made by the lanes before any fault and checked by the public key. */
static bool learn(struct known *k, struct kc_scratch *scratch)
{
    struct kc_lane_op op = {.key = k->key,
                            .alg = k->alg,
                            .in = kw_span_of(k->in, k->in_len),
                            .out = {k->want, 0, sizeof(k->want)}};
    struct kc_lane_op *list = &op;
    uint8_t wrapped[KW_RSA_MAX_BYTES];
    enum kc_shape shape;
    op.kind = k->kind == KW_KIND_SIGN ? KW_KIND_SIGN : KW_KIND_WRAP;
    if (op.kind == KW_KIND_WRAP) {
        op.out = (struct kw_buf){wrapped, 0, sizeof(wrapped)};
    }
    if (kc_lanes_shape(&op, &shape) != KW_OK) {
        return false;
    }
    kc_lanes_run(&list, 1, shape, scratch);
    if (op.status != KW_OK) {
        return false;
    }
    if (op.kind == KW_KIND_SIGN) {
        k->want_len = op.out.len;
        return true;
    }
    memcpy(k->want, k->in, k->in_len); /* what was wrapped comes back */
    k->want_len = k->in_len;
    memcpy(k->in, wrapped, op.out.len);
    k->in_len = op.out.len;
    return true;
}

static bool prepare(struct kc_scratch *scratch)
{
    for (size_t size = 0; size < SIZES; size++) {
        struct kt_primes primes;
        size_t made = 0;
        if (!kt_primes_make(&primes, 5, 2048 + 1024 * (unsigned)size)) {
            return false;
        }
        for (size_t i = 0; i < 5 && made < KEYS; i++) {
            for (size_t j = 0; j < i && made < KEYS; j++) {
                struct kc_key *key =
                    made % 2 ? kt_rsa_key(&primes, i, j, 65537) : kt_rsa_key(&primes, j, i, 3);
                if (!key) {
                    return false;
                }
                for (size_t kind = 0; kind < 2; kind++) {
                    struct known *k = &known[size][2 * made + kind];
                    *k = (struct known){.key = kc_key_ref(key),
                                        .kind = kind ? KW_KIND_UNWRAP : KW_KIND_SIGN,
                                        .alg = kind ? KW_ALG_RSA_OAEP_256 : KW_ALG_RS256,
                                        .in_len = 32};
                    kt_draw_bytes(&draw, k->in, k->in_len);
                    if (!learn(k, scratch)) {
                        return false;
                    }
                }
                kc_key_unref(key);
                made++;
            }
        }
        kt_primes_free(&primes);
    }
    return true;
}

/* Looks at one answered lane. */
static void judge(const struct kc_lane_op *op, const struct known *k, bool was_struck)
{
    bool right = op->status == KW_OK && op->out.len == k->want_len &&
                 memcmp(op->out.data, k->want, k->want_len) == 0;
    bool failed = op->status == KW_E_INTERNAL && op->out.len == 0;
    if (right) {
        tally[fault.place].redone += was_struck;
        return;
    }
    if (!failed || !was_struck || !fault.twice) {
        wrong_answers++;
        fprintf(stderr, "%s: a lane %s was answered wrongly (status %d)\n",
                place_names[fault.place], was_struck ? "that was struck" : "beside", op->status);
        return;
    }
    tally[fault.place].failed++;
    /* a failed lane leaves nothing of the wrong result */
    for (size_t i = 0; i < k->key->pub.bits / 8; i++) {
        wrong_answers += op->out.data[i] != 0;
    }
}

/* One batch with faults; returns how many. */
static size_t inject(struct kc_scratch *scratch)
{
    struct kc_lane_op ops[LANES], *list[LANES];
    const struct known *of[LANES];
    uint8_t out[LANES][KW_RSA_MAX_BYTES];
    size_t at = kt_draw_below(&draw, 100), size = at < 96 ? 0 : at < 99 ? 1 : 2;
    for (size_t i = 0; i < LANES; i++) {
        const struct known *k = of[i] = &known[size][kt_draw_below(&draw, 2 * KEYS)];
        ops[i] = (struct kc_lane_op){.key = k->key,
                                     .kind = k->kind,
                                     .alg = k->alg,
                                     .in = kw_span_of(k->in, k->in_len),
                                     .out = {out[i], 0, sizeof(out[i])}};
        list[i] = &ops[i];
    }
    do { /* one to seven lanes: at least one neighbour answers undisturbed */
        fault.lanes = (unsigned)kt_draw_below(&draw, 255);
    } while (fault.lanes == 0);
    fault.place = (enum place)kt_draw_below(&draw, PLACES);
    fault.twice = kt_draw_below(&draw, 20) == 0;
    fault.armed = true;
    if (fault.place == NEIGHBOUR) { /* an equal neighbour is no fault */
        for (size_t i = 0; i < LANES; i++) {
            fault.lanes &= ~(unsigned)((of[i] == of[(i + 1) % LANES]) << i);
        }
    }
    uint64_t before = kc_lanes_alarms();
    kc_lanes_run(list, LANES, (enum kc_shape)(KC_SHAPE_RSA2048_PRIVATE + size), scratch);
    uint64_t alarms = kc_lanes_alarms() - before;
    size_t injected = (size_t)__builtin_popcount(fault.lanes);
    tally[fault.place].injected += injected;
    /* a lane that fails on both paths counts twice */
    tally[fault.place].noticed += fault.twice ? alarms / 2 : alarms;
    for (size_t i = 0; i < LANES; i++) {
        judge(&ops[i], of[i], is_struck(i));
    }
    if (alarms > (fault.twice ? 2 : 1) * injected) {
        wrong_answers++;
        fprintf(stderr, "%s: %llu alarms of %zu faults\n", place_names[fault.place],
                (unsigned long long)alarms, injected);
    }
    return injected;
}

/* A flip may land where nothing looks any more (a table entry that no later window picks); one in a
 * result is always seen. */
static bool seen_enough(enum place place)
{
    bool always = place == HALF_P || place == HALF_Q || place == PRODUCT || place == OUTPUT ||
                  place == NEIGHBOUR;
    return always ? tally[place].noticed == tally[place].injected : tally[place].noticed > 0;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : FAULTS;
    if (kw_random(&draw.state, sizeof(draw.state)) != KW_OK || kc_lanes_init() != KW_OK) {
        return 1;
    }
    if (argc > 2) {
        draw.state = strtoull(argv[2], NULL, 0);
    }
    printf("seed 0x%llx\n", (unsigned long long)draw.state);
    struct kc_scratch *scratch = kc_scratch_create();
    if (!scratch || !prepare(scratch)) {
        fputs("the keys cannot be made\n", stderr);
        return 1;
    }
    bool kernels = kc_lanes_width(KC_SHAPE_RSA2048_PRIVATE) > 1;
    for (size_t size = 0; size < SIZES; size++) {
        enum kc_shape shape = (enum kc_shape)(KC_SHAPE_RSA2048_PRIVATE + size);
        original[size] = kc_dispatch_get(shape);
        struck[size] = *original[size];
        struck[size].modexp = struck_modexp;
        kc_dispatch_set(shape, &struck[size]);
    }
    original_second = kc_dispatch_second();
    kc_dispatch_set_second(struck_second);
    for (size_t done = 0; done < count;) {
        done += inject(scratch);
    }
    bool enough = true;
    printf("%-32s %9s %9s %9s %9s\n", "single-bit fault in", "injected", "noticed", "redone",
           "failed");
    for (enum place place = HALF_P; place < PLACES; place++) {
        printf("%-32s %9zu %9zu %9zu %9zu\n", place_names[place], tally[place].injected,
               tally[place].noticed, tally[place].redone, tally[place].failed);
        /* without the kernels only the bytes of the output can be struck */
        enough &= (!kernels && place < OUTPUT) || tally[place].injected < 20 || seen_enough(place);
    }
    printf("%zu wrong answers left; kernel %s\n", wrong_answers,
           kc_lanes_kernel(KC_SHAPE_RSA2048_PRIVATE));
    for (size_t size = 0; size < SIZES; size++) {
        for (size_t i = 0; i < 2 * KEYS; i++) {
            kc_key_unref(known[size][i].key);
        }
    }
    kc_scratch_destroy(scratch);
    ERR_clear_error();
    return wrong_answers == 0 && enough ? 0 : 1;
}

#pragma once
/* The steps of the eight-lane RSA operations and the room they share, for rsa_x8.c and for the test
 * that puts faults between them. */

#include "crypto/rsa/fold.h"
#include "crypto/rsa/quad.h"
#include "crypto/rsa/rsa_x8.h"
#include "crypto/rsa/slices.h"

#define KC_RSA_WINDOW  5
#define KC_RSA_ENTRIES (1 << KC_RSA_WINDOW)
#define KC_HALF_DIGITS (KC_MAX_DIGITS / 2)
#define KC_HALF_WORDS  32

/** One public operation in lanes. */
struct kc_rsa_public_work {
    __m512i n[KC_MAX_DIGITS];
    __m512i r2[KC_MAX_DIGITS];
    __m512i x[KC_MAX_DIGITS];    /* the input; at the end the result, below n */
    __m512i base[KC_MAX_DIGITS]; /* the input in Montgomery form */
    __m512i power[KC_MAX_DIGITS];
    __m512i product[2 * KC_MAX_DIGITS];
    __m512i q[KC_MAX_DIGITS];
    __m512i left[KC_TILE];
    __m512i squares[2 * KC_MAX_DIGITS];
    __m512i differences[KC_MAX_DIGITS];
    uint64_t words[KC_RSA_LANES][KC_MAX_DIGITS];
};

/** One prime's half of a private operation in lanes. */
struct kc_rsa_half_work {
    __m512i m[KC_HALF_DIGITS];
    __m512i r1[KC_HALF_DIGITS];
    __m512i r3[KC_HALF_DIGITS];
    __m512i exponent[KC_HALF_WORDS];
    __m512i k0;
    __m512i result[KC_HALF_DIGITS]; /* in^exponent mod m, below m */
};

/** One private operation in lanes. The table is last: only what the key size uses is wiped. */
struct kc_rsa_private_work {
    __m512i x[KC_MAX_DIGITS]; /* the input; at the end the result */
    struct kc_rsa_half_work p, q;
    __m512i qinv[KC_HALF_DIGITS];
    __m512i power[KC_HALF_DIGITS];
    __m512i spare[KC_HALF_DIGITS];
    __m512i picked[KC_HALF_DIGITS]; /* the table entry for the next product */
    __m512i quotient[KC_HALF_DIGITS];
    __m512i left[KC_TILE];
    __m512i squares[2 * KC_HALF_DIGITS];
    __m512i differences[KC_HALF_DIGITS];
    union {
        struct kc_quad quad; /* two blocks */
        struct kc_fold fold; /* three or four */
    } reduction;             /* of the prime that is worked on */
    uint64_t words[KC_RSA_LANES][KC_MAX_DIGITS];
    __m512i table[KC_RSA_ENTRIES * KC_HALF_DIGITS];
};

union kc_rsa_work {
    struct kc_rsa_public_work pub;
    struct kc_rsa_private_work priv;
};

_Static_assert(sizeof(union kc_rsa_work) <= KC_RSA_SCRATCH_BYTES, "scratch is too small");

/** Key constants and inputs into lanes; lanes from `count` on repeat lane 0. */
void kc_rsa_private_load(struct kc_rsa_private_work *w, const struct kc_rsa_private_lane *lanes,
                         unsigned count);

/** half->result = x^exponent mod m by a fixed window of five bits; `blocks` of the prime. */
void kc_rsa_private_half(struct kc_rsa_private_work *w, struct kc_rsa_half_work *half,
                         unsigned blocks);

/** x from both halves: q-part + q * (qinv * (p-part - q-part) mod p) (RFC 8017 section 5.1.2). */
void kc_rsa_private_recombine(struct kc_rsa_private_work *w, unsigned blocks);

/** x to the bytes of the first `count` lanes' `out`. */
void kc_rsa_private_store(struct kc_rsa_private_work *w, const struct kc_rsa_private_lane *lanes,
                          unsigned count);

/** Wipes what an operation on primes of `blocks` leaves in the scratch. */
void kc_rsa_private_wipe(struct kc_rsa_private_work *w, unsigned blocks);

/** Raises each `out` to its public exponent and compares with `in`: the mask of lanes that agree.
 *  Uses and wipes the public part of the scratch. */
unsigned kc_rsa_private_check(const struct kc_rsa_private_lane *lanes, unsigned count,
                              struct kc_rsa_public_work *w);

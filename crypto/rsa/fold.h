#pragma once
/* Montgomery products modulo primes of 3 or 4 blocks (30 or 40 digits), with fewer multiply-adds
 * than the schoolbook.
 *
 * The two lowest blocks x0, x1 of a product leave it at once, by precomputed inverse powers:
 *     product / 2^1040 = higher blocks + x0 * a + x1 * b,  a = 2^-1040 mod m, b = 2^-520 mod m;
 * what is left above the prime's blocks goes the ordinary way, with quotients. Block j of the two
 * long products takes one tile, not two (Winograd's inner product):
 *     x0 a[j] + x1 b[j] = (x0 + b[j]) (x1 + a[j]) - x0 x1 - a[j] b[j],
 * where x0 x1 is the same for all j and a[j] b[j] belongs to the prime. The price are additions,
 * which run beside the multiplier. */

#include "crypto/rsa/mont.h"

#define KC_FOLD_BLOCKS 4
#define KC_FOLD_DIGITS (KC_TILE * KC_FOLD_BLOCKS)

/** Constants of eight primes and room; all owned by the caller, constants by kc_fold_prepare. */
struct kc_fold {
    __m512i a[KC_FOLD_DIGITS];
    __m512i b[KC_FOLD_DIGITS];
    __m512i ab[KC_FOLD_DIGITS + KC_TILE]; /* the sum of a[j] * b[j] * 2^(520 j) */
    /* room: */
    __m512i x[2 * KC_TILE];    /* the two blocks that leave */
    __m512i x0x1[2 * KC_TILE]; /* columns of their product */
};

/** Fills the constants. mont->blocks is 3 or 4. */
void kc_fold_prepare(struct kc_fold *fold, const struct kc_mont *mont);

/** r = a^2 / R mod m, below 3m + 1 for a below 4m, and the scan besides; scan may be NULL.
 *  r may be a; scan->out is neither. */
void kc_fold_sqr(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r, const __m512i *a,
                 const struct kc_scan *scan);

/** r = a * b / R mod m with the same bound. r may be a or b. */
void kc_fold_mul(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r, const __m512i *a,
                 const __m512i *b);

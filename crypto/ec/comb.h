#pragma once
/* Multiples of the generator and of other points.
 *
 * A scalar k is made odd (n - k for an even one, and the result's sign turned) and written with the
 * windows b_i of K = (k >> 1) + 2^(w t - 1): k is the sum of (2 b_i + 1 - 2^w) 2^(w i), for t
 * windows of w bits. Every digit is odd and below 2^w in size: none is zero, so nothing is ever
 * added to infinity and no lane does anything another lane does not.
 *
 * Exceptions. From the lowest window up, the sum before window i is odd and below 2^(w i), the term
 * added is at least 2^(w i): they are neither equal nor opposite as integers, and both stay below n
 * until the last window. There the sum is k itself, not 0; and the difference can be n for one
 * single k of the n - 1. That one ends with Z = 0 and is refused by whoever looks at Z.
 *
 * Table: per window and coordinate digit the 2^(w-1) odd multiples of 2^(w i) G, affine, Montgomery
 * form, digits unpacked. A lookup reads the whole window and picks by permutations of registers:
 * neither an address nor an instruction depends on the digit. */

#include "crypto/ec/curve.h"

#if KC_HAVE_EC

/** r = k G for k in [1, n - 1], plain digits. Constant time. Returns the lanes where the windows
 * that were looked up make up k: not so after a fault only. */
unsigned kc_ec_comb_p256(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k);
unsigned kc_ec_comb_p384(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k);
unsigned kc_ec_comb_p521(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k);

/** Fills curve->table; everything else in `curve` is set. */
void kc_ec_comb_build(const struct kc_ec_curve *curve);

/** K of the comment above, and the lanes whose k was even. */
__mmask8 kc_ec_recode(const struct kc_ec_curve *curve, __m512i *recoded, const __m512i *k,
                      unsigned top_bit);

/** Bits [at, at + count) of a number of `nd` digits. */
KC_EC_INLINE __m512i kc_ec_bits(const __m512i *k, unsigned nd, unsigned at, unsigned count)
{
    const unsigned digit = at / KC_EC_DIGIT, shift = at % KC_EC_DIGIT;
    __m512i v = _mm512_srl_epi64(k[digit], _mm_cvtsi32_si128((int)shift));
    if (shift + count > KC_EC_DIGIT && digit + 1 < nd)
        v = _mm512_or_si512(
            v, _mm512_sll_epi64(k[digit + 1], _mm_cvtsi32_si128((int)(KC_EC_DIGIT - shift))));
    return _mm512_and_si512(v, _mm512_set1_epi64((1ll << count) - 1));
}

#endif

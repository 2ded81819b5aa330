#pragma once
/* Point arithmetic on eight lanes, written once and instantiated for each number of digits.
 *
 * Formulas are the short incomplete ones: adding a point to itself, to its negative or to infinity
 * gives Z = 0. Z = 0 then stays: every later Z is a multiple of it. So a caller that finds Z != 0
 * at the end knows that no exception happened on the way; crypto/ec/comb.h says why there are
 * none to be expected.
 *
 * Sizes: a product is below 1.25 p. P-256 has four spare bits, so each difference is brought below
 * 1.01 p at once. The others have 32 and 51: a difference of products stays below 18 p, one with
 * a difference as its subtrahend below 70 p, and nothing needs to be folded. */

#include "crypto/ec/curve.h"

#if KC_HAVE_EC

KC_EC_INLINE void kc_fe_mul(const struct kc_ec_curve *c, __m512i *r, const __m512i *a,
                            const __m512i *b, unsigned nd)
{
    if (nd == 5)
        kc_ec_p256_mul(&c->p, r, a, b);
    else if (nd == 8)
        kc_ec_p384_mul(&c->p, r, a, b);
    else
        kc_ec_p521_mul(&c->p, r, a, b);
}

KC_EC_INLINE void kc_fe_sqr(const struct kc_ec_curve *c, __m512i *r, const __m512i *a, unsigned nd)
{
    if (nd == 5)
        kc_ec_p256_sqr(&c->p, r, a);
    else if (nd == 8)
        kc_ec_p384_sqr(&c->p, r, a);
    else
        kc_ec_p521_sqr(&c->p, r, a);
}

/** Carries, and for P-256 folds what lies above 2^256: 2^256 = 2^224 - 2^192 - 2^96 + 1. The top
 *  digit is read before the carries, which change it by less than 16; taking 16 off keeps the rest
 *  positive. */
KC_EC_INLINE void kc_fe_finish(__m512i *r, __m512i *t, unsigned nd)
{
    if (nd == 5) {
        const __m512i q = _mm512_srai_epi64(_mm512_sub_epi64(t[4], _mm512_set1_epi64(16)), 48);
        t[0] = _mm512_add_epi64(t[0], q);
        t[1] = _mm512_sub_epi64(t[1], _mm512_slli_epi64(q, 44));
        t[3] = _mm512_sub_epi64(t[3], _mm512_slli_epi64(q, 36));
        t[4] = _mm512_add_epi64(
            t[4], _mm512_sub_epi64(_mm512_slli_epi64(q, 16), _mm512_slli_epi64(q, 48)));
    }
    kc_ec_carry(r, t, nd);
}

/** r = a + b */
KC_EC_INLINE void kc_fe_add(__m512i *r, const __m512i *a, const __m512i *b, unsigned nd)
{
    __m512i t[KC_EC_DIGITS] KC_EC_RAW;
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) t[i] = _mm512_add_epi64(a[i], b[i]);
    kc_fe_finish(r, t, nd);
}

/** a << by; compilers keep a shift by 0. */
KC_EC_INLINE __m512i kc_fe_shift(__m512i a, unsigned by)
{
    return by == 0 ? a : _mm512_slli_epi64(a, by);
}

/** r = (a << up) - (b << shift) + base, where base is a multiple of p not below b << shift */
KC_EC_INLINE void kc_fe_sub(__m512i *r, const __m512i *a, unsigned up, const __m512i *b,
                            unsigned shift, const __m512i *base, unsigned nd)
{
    __m512i t[KC_EC_DIGITS] KC_EC_RAW;
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) t[i] = _mm512_add_epi64(
        _mm512_sub_epi64(kc_fe_shift(a[i], up), kc_fe_shift(b[i], shift)), base[i]);
    kc_fe_finish(r, t, nd);
}

/** r = a - b - (c << shift) + base */
KC_EC_INLINE void kc_fe_sub2(__m512i *r, const __m512i *a, const __m512i *b, const __m512i *c,
                             unsigned shift, const __m512i *base, unsigned nd)
{
    __m512i t[KC_EC_DIGITS] KC_EC_RAW;
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) t[i] = _mm512_add_epi64(
        _mm512_sub_epi64(_mm512_sub_epi64(a[i], b[i]), kc_fe_shift(c[i], shift)), base[i]);
    kc_fe_finish(r, t, nd);
}

/** y = -y where the mask is set */
KC_EC_INLINE void kc_fe_negate(const struct kc_ec_curve *c, __m512i *y, __mmask8 where, unsigned nd)
{
    __m512i t[KC_EC_DIGITS] KC_EC_RAW;
    KC_EC_UNROLL for (unsigned d = 0; d < nd; d++) t[d] =
        _mm512_mask_sub_epi64(y[d], where, c->p64[d], y[d]);
    kc_fe_finish(y, t, nd);
}

/** Shared end of both additions: from H, r = S2 - S1, U1, S1 and Z1 Z2 (in z) to the sum. */
KC_EC_INLINE void kc_point_sum(const struct kc_ec_curve *c, struct kc_ec_point *r, const __m512i *h,
                               const __m512i *slope, const __m512i *u1, const __m512i *s1,
                               const __m512i *z, unsigned nd)
{
    __m512i hh[KC_EC_DIGITS] KC_EC_RAW, hhh[KC_EC_DIGITS] KC_EC_RAW, v[KC_EC_DIGITS] KC_EC_RAW,
        t[KC_EC_DIGITS] KC_EC_RAW;
    kc_fe_sqr(c, hh, h, nd);
    kc_fe_sqr(c, t, slope, nd);
    kc_fe_mul(c, hhh, h, hh, nd);
    kc_fe_mul(c, v, u1, hh, nd);
    kc_fe_mul(c, r->z, z, h, nd);
    kc_fe_mul(c, hh, s1, hhh, nd);
    kc_fe_sub2(r->x, t, hhh, v, 1, c->p16, nd);
    kc_fe_sub(t, v, 0, r->x, 0, c->p64, nd);
    kc_fe_mul(c, t, slope, t, nd);
    kc_fe_sub(r->y, t, 0, hh, 0, c->p16, nd);
}

/** r += (x, y), affine: 8 products and 3 squares. */
KC_EC_INLINE void kc_point_add_affine(const struct kc_ec_curve *c, struct kc_ec_point *r,
                                      const __m512i *x, const __m512i *y, unsigned nd)
{
    __m512i zz[KC_EC_DIGITS] KC_EC_RAW, h[KC_EC_DIGITS] KC_EC_RAW, slope[KC_EC_DIGITS] KC_EC_RAW;
    kc_fe_sqr(c, zz, r->z, nd);
    kc_fe_mul(c, h, x, zz, nd);
    kc_fe_mul(c, zz, zz, r->z, nd);
    kc_fe_sub(h, h, 0, r->x, 0, c->p64, nd);
    kc_fe_mul(c, slope, y, zz, nd);
    kc_fe_sub(slope, slope, 0, r->y, 0, c->p64, nd);
    kc_point_sum(c, r, h, slope, r->x, r->y, r->z, nd);
}

/** r = a + b: 12 products and 4 squares. r may be a or b. */
KC_EC_INLINE void kc_point_add(const struct kc_ec_curve *c, struct kc_ec_point *r,
                               const struct kc_ec_point *a, const struct kc_ec_point *b,
                               unsigned nd)
{
    __m512i u1[KC_EC_DIGITS] KC_EC_RAW, s1[KC_EC_DIGITS] KC_EC_RAW, h[KC_EC_DIGITS] KC_EC_RAW,
        slope[KC_EC_DIGITS] KC_EC_RAW;
    __m512i z[KC_EC_DIGITS] KC_EC_RAW, zz[KC_EC_DIGITS] KC_EC_RAW;
    kc_fe_sqr(c, zz, b->z, nd);
    kc_fe_mul(c, u1, a->x, zz, nd);
    kc_fe_mul(c, zz, zz, b->z, nd);
    kc_fe_mul(c, s1, a->y, zz, nd);
    kc_fe_sqr(c, zz, a->z, nd);
    kc_fe_mul(c, h, b->x, zz, nd);
    kc_fe_mul(c, zz, zz, a->z, nd);
    kc_fe_mul(c, slope, b->y, zz, nd);
    kc_fe_mul(c, z, a->z, b->z, nd);
    kc_fe_sub(h, h, 0, u1, 0, c->p16, nd);
    kc_fe_sub(slope, slope, 0, s1, 0, c->p16, nd);
    kc_point_sum(c, r, h, slope, u1, s1, z, nd);
}

/** r = 2 a: 3 products and 5 squares. r may be a. */
KC_EC_INLINE void kc_point_double(const struct kc_ec_curve *c, struct kc_ec_point *r,
                                  const struct kc_ec_point *a, unsigned nd)
{
    __m512i delta[KC_EC_DIGITS] KC_EC_RAW, gamma[KC_EC_DIGITS] KC_EC_RAW,
        beta[KC_EC_DIGITS] KC_EC_RAW, alpha[KC_EC_DIGITS] KC_EC_RAW;
    __m512i t[KC_EC_DIGITS] KC_EC_RAW;
    kc_fe_sqr(c, delta, a->z, nd);
    kc_fe_sqr(c, gamma, a->y, nd);
    kc_fe_sub(alpha, a->x, 0, delta, 0, c->p16, nd);
    kc_fe_add(t, a->x, delta, nd);
    kc_fe_mul(c, beta, a->x, gamma, nd);
    kc_fe_mul(c, alpha, alpha, t, nd);
    kc_fe_add(t, alpha, alpha, nd);
    kc_fe_add(alpha, alpha, t, nd);
    kc_fe_add(t, a->y, a->z, nd);
    kc_fe_sqr(c, t, t, nd);
    kc_fe_sub2(r->z, t, gamma, delta, 0, c->p16, nd);
    kc_fe_sqr(c, t, alpha, nd);
    kc_fe_sub(r->x, t, 0, beta, 3, c->p16, nd);
    kc_fe_sub(beta, beta, 2, r->x, 0, c->p64, nd);
    kc_fe_sqr(c, gamma, gamma, nd);
    kc_fe_mul(c, beta, alpha, beta, nd);
    kc_fe_sub(r->y, beta, 0, gamma, 3, c->p16, nd);
}

#endif

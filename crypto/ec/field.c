#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

#define CONST(x) _mm512_set1_epi64((long long)(x))

/* Montgomery reduction clears one column at a time: q = -c / m mod 2^52, c += q m. With m = -1
 * modulo 2^52 (P-256, P-521), q is the column itself, and q m = q (m + 1) - q: the column turns
 * into its carry and only q (m + 1) is left to add. */

/* p + 1 = 2^96 + 2^192 + 2^256 - 2^224: digits 1, 3 and 4 */
KC_EC_INLINE void p256_reduce(__m512i *r, __m512i *c)
{
    const __m512i mask = CONST(KC_EC_MASK);
    const __m512i d1 = CONST(1ull << 44), d3 = CONST(1ull << 36);
    const __m512i d4 = CONST((1ull << 48) - (1ull << 16));
    KC_EC_UNROLL for (unsigned i = 0; i < 5; i++)
    {
        const __m512i q = _mm512_and_si512(c[i], mask);
        c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_srli_epi64(c[i], KC_EC_DIGIT));
        c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_and_si512(_mm512_slli_epi64(q, 44), mask));
        c[i + 2] = _mm512_madd52hi_epu64(c[i + 2], q, d1);
        c[i + 3] = _mm512_madd52lo_epu64(c[i + 3], q, d3);
        c[i + 4] = _mm512_madd52hi_epu64(c[i + 4], q, d3);
        c[i + 4] = _mm512_madd52lo_epu64(c[i + 4], q, d4);
        c[i + 5] = _mm512_madd52hi_epu64(c[i + 5], q, d4);
    }
    kc_ec_carry(r, c + 5, 5);
}

/* p = 2^384 - 2^128 - 2^96 + 2^32 - 1, -1/p = 2^32 + 1 modulo 2^52. The cleared column always gives
 * the carry that rounding it up would: its low 52 bits become zero. */
KC_EC_INLINE void p384_reduce(__m512i *r, __m512i *c)
{
    const __m512i mask = CONST(KC_EC_MASK);
    const __m512i d0 = CONST((1ull << 32) - 1), d7 = CONST(1ull << 20);
    KC_EC_UNROLL for (unsigned i = 0; i < 8; i++)
    {
        const __m512i q =
            _mm512_and_si512(_mm512_add_epi64(c[i], _mm512_slli_epi64(c[i], 32)), mask);
        const __m512i carry = _mm512_srai_epi64(_mm512_add_epi64(c[i], mask), KC_EC_DIGIT);
        const __m512i less1 = _mm512_and_si512(_mm512_slli_epi64(q, 44), mask);
        const __m512i less2 = _mm512_add_epi64(_mm512_srli_epi64(q, 8),
                                               _mm512_and_si512(_mm512_slli_epi64(q, 24), mask));
        c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_sub_epi64(carry, less1));
        c[i + 1] = _mm512_madd52hi_epu64(c[i + 1], q, d0);
        c[i + 2] = _mm512_sub_epi64(c[i + 2], less2);
        c[i + 3] = _mm512_sub_epi64(c[i + 3], _mm512_srli_epi64(q, 28));
        c[i + 7] = _mm512_madd52lo_epu64(c[i + 7], q, d7);
        c[i + 8] = _mm512_madd52hi_epu64(c[i + 8], q, d7);
    }
    kc_ec_carry(r, c + 8, 8);
}

/* p + 1 = 2^521: twice digit 10 */
KC_EC_INLINE void p521_reduce(__m512i *r, __m512i *c)
{
    const __m512i mask = CONST(KC_EC_MASK);
    KC_EC_UNROLL for (unsigned i = 0; i < 11; i++)
    {
        const __m512i q = _mm512_and_si512(c[i], mask);
        c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_srli_epi64(c[i], KC_EC_DIGIT));
        c[i + 10] = _mm512_add_epi64(c[i + 10], _mm512_add_epi64(q, q));
    }
    kc_ec_carry(r, c + 11, 11);
}

#define FIELD(name, nd)                                                                            \
    KC_EC void kc_ec_##name##_mul(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,     \
                                  const __m512i *b)                                                \
    {                                                                                              \
        (void)m;                                                                                   \
        __m512i c[2 * (nd)];                                                                       \
        kc_ec_product(c, a, b, (nd));                                                              \
        name##_reduce(r, c);                                                                       \
    }                                                                                              \
    KC_EC void kc_ec_##name##_sqr(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)     \
    {                                                                                              \
        (void)m;                                                                                   \
        __m512i c[2 * (nd)];                                                                       \
        kc_ec_square(c, a, (nd));                                                                  \
        name##_reduce(r, c);                                                                       \
    }

FIELD(p256, 5)
FIELD(p384, 8)
FIELD(p521, 11)

#endif

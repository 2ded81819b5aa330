#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

#define CONST(x) _mm512_set1_epi64((long long)(x))

/* Montgomery reduction clears one column at a time: q = -c / m mod 2^52, c += q m. With m = -1
 * modulo 2^52 (P-256, P-521), q is the column itself, and q m = q (m + 1) - q: the column turns
 * into its carry and only q (m + 1) is left to add. */

/* p + 1 = 2^96 + 2^192 + 2^256 - 2^224: digits 1, 3 and 4 */
KC_EC_INLINE void p256_reduce(__m512i *c, unsigned i)
{
    const __m512i mask = CONST(KC_EC_MASK);
    const __m512i d1 = CONST(1ull << 44), d3 = CONST(1ull << 36);
    const __m512i d4 = CONST((1ull << 48) - (1ull << 16));
    const __m512i q = _mm512_and_si512(c[i], mask);
    c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_srli_epi64(c[i], KC_EC_DIGIT));
    c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_and_si512(_mm512_slli_epi64(q, 44), mask));
    c[i + 2] = _mm512_madd52hi_epu64(c[i + 2], q, d1);
    c[i + 3] = _mm512_madd52lo_epu64(c[i + 3], q, d3);
    c[i + 4] = _mm512_madd52hi_epu64(c[i + 4], q, d3);
    c[i + 4] = _mm512_madd52lo_epu64(c[i + 4], q, d4);
    c[i + 5] = _mm512_madd52hi_epu64(c[i + 5], q, d4);
}

/* p = 2^384 - 2^128 - 2^96 + 2^32 - 1, -1/p = 2^32 + 1 modulo 2^52. The cleared column always gives
 * the carry that rounding it up would: its low 52 bits become zero. */
KC_EC_INLINE void p384_reduce(__m512i *c, unsigned i)
{
    const __m512i mask = CONST(KC_EC_MASK);
    const __m512i d0 = CONST((1ull << 32) - 1), d7 = CONST(1ull << 20);
    const __m512i q = _mm512_and_si512(_mm512_add_epi64(c[i], _mm512_slli_epi64(c[i], 32)), mask);
    const __m512i carry = _mm512_srai_epi64(_mm512_add_epi64(c[i], mask), KC_EC_DIGIT);
    const __m512i less1 = _mm512_and_si512(_mm512_slli_epi64(q, 44), mask);
    const __m512i less2 =
        _mm512_add_epi64(_mm512_srli_epi64(q, 8), _mm512_and_si512(_mm512_slli_epi64(q, 24), mask));
    c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_sub_epi64(carry, less1));
    c[i + 1] = _mm512_madd52hi_epu64(c[i + 1], q, d0);
    c[i + 2] = _mm512_sub_epi64(c[i + 2], less2);
    c[i + 3] = _mm512_sub_epi64(c[i + 3], _mm512_srli_epi64(q, 28));
    c[i + 7] = _mm512_madd52lo_epu64(c[i + 7], q, d7);
    c[i + 8] = _mm512_madd52hi_epu64(c[i + 8], q, d7);
}

/* p + 1 = 2^521: twice digit 10 */
KC_EC_INLINE void p521_reduce(__m512i *c, unsigned i)
{
    const __m512i mask = CONST(KC_EC_MASK);
    const __m512i q = _mm512_and_si512(c[i], mask);
    c[i + 1] = _mm512_add_epi64(c[i + 1], _mm512_srli_epi64(c[i], KC_EC_DIGIT));
    c[i + 10] = _mm512_add_epi64(c[i + 10], _mm512_add_epi64(q, q));
}

/* A column is cleared one row of products after it is complete: its chain of dependent instructions
 * runs beside the multiplications. */
#define FIELD(name, nd)                                                                            \
    KC_EC void kc_ec_##name##_mul(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,     \
                                  const __m512i *b)                                                \
    {                                                                                              \
        (void)m;                                                                                   \
        __m512i c[2 * (nd)];                                                                       \
        kc_ec_clear(c, (nd));                                                                      \
        KC_EC_UNROLL for (unsigned i = 0; i < (nd); i++)                                           \
        {                                                                                          \
            kc_ec_row(c, a, b, i, (nd));                                                           \
            if (i > 0)                                                                             \
                name##_reduce(c, i - 1);                                                           \
        }                                                                                          \
        name##_reduce(c, (nd)-1);                                                                  \
        kc_ec_carry(r, c + (nd), (nd));                                                            \
    }                                                                                              \
    KC_EC void kc_ec_##name##_sqr(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)     \
    {                                                                                              \
        (void)m;                                                                                   \
        __m512i c[2 * (nd)];                                                                       \
        KC_EC_UNROLL for (unsigned i = 0; i < (nd); i++) c[i] = kc_ec_square_column(a, i, (nd));   \
        KC_EC_UNROLL for (unsigned i = 0; i < (nd); i++) c[(nd) + i] = _mm512_setzero_si512();     \
        KC_EC_UNROLL for (unsigned i = 0; i < (nd); i++)                                           \
        {                                                                                          \
            c[(nd) + i] = _mm512_add_epi64(c[(nd) + i], kc_ec_square_column(a, (nd) + i, (nd)));   \
            name##_reduce(c, i);                                                                   \
        }                                                                                          \
        kc_ec_carry(r, c + (nd), (nd));                                                            \
    }

FIELD(p256, 5)
FIELD(p384, 8)
FIELD(p521, 11)

#endif

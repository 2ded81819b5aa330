#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

/* One step of Montgomery reduction for any modulus: clears column i. A cleared column always gives
 * the carry that rounding it up would, since its low 52 bits become zero. */
KC_EC_INLINE void reduce(const struct kc_ec_modulus *m, __m512i *c, unsigned i, unsigned nd)
{
    const __m512i mask = _mm512_set1_epi64(KC_EC_MASK);
    const __m512i q = _mm512_madd52lo_epu64(_mm512_setzero_si512(), c[i], m->k0);
    const __m512i carry = _mm512_srli_epi64(_mm512_add_epi64(c[i], mask), KC_EC_DIGIT);
    c[i + 1] = _mm512_add_epi64(c[i + 1], carry);
    KC_EC_UNROLL for (unsigned j = 1; j < nd; j++) c[i + j] =
        _mm512_madd52lo_epu64(c[i + j], q, m->m[j]);
    KC_EC_UNROLL for (unsigned j = 0; j < nd; j++) c[i + j + 1] =
        _mm512_madd52hi_epu64(c[i + j + 1], q, m->m[j]);
}

#define ORDER(nd)                                                                                  \
    KC_EC void kc_ec_n##nd##_mul(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,      \
                                 const __m512i *b)                                                 \
    {                                                                                              \
        __m512i c[2 * (nd)];                                                                       \
        kc_ec_clear(c, (nd));                                                                      \
        KC_EC_UNROLL for (unsigned i = 0; i < (nd); i++)                                           \
        {                                                                                          \
            kc_ec_row(c, a, b, i, (nd));                                                           \
            if (i > 0)                                                                             \
                reduce(m, c, i - 1, (nd));                                                         \
        }                                                                                          \
        reduce(m, c, (nd)-1, (nd));                                                                \
        kc_ec_carry(r, c + (nd), (nd));                                                            \
    }                                                                                              \
    KC_EC void kc_ec_n##nd##_sqr(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)      \
    {                                                                                              \
        m->mul(m, r, a, a);                                                                        \
    }

ORDER(5)
ORDER(8)
ORDER(11)

#endif

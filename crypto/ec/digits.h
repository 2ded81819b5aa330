#pragma once
/* Numbers of eight requests side by side: a number is a row of 52-bit digits, least significant
 * first, one zmm register a digit, one 64-bit lane a request. Every loop below has a constant count
 * once inlined; no branch and no address depends on data. */

#include "crypto/ec/target.h"

#include <stddef.h>
#include <stdint.h>

#define KC_EC_LANES  8
#define KC_EC_DIGIT  52 /* bits of a digit */
#define KC_EC_DIGITS 11 /* of the longest number, 521 bits */
#define KC_EC_MASK   ((1ull << KC_EC_DIGIT) - 1)

/** Splits a big-endian number of at most 128 bytes into `digits` digits of lane `lane`; `rows` is
 *  the lane view of as many registers. What lies above the digits is dropped. */
void kc_ec_digits_in(uint64_t (*rows)[KC_EC_LANES], unsigned digits, unsigned lane,
                     const uint8_t *bytes, size_t len);

/** Writes the low `len` bytes, big-endian, of a number whose digits are below 2^52. */
void kc_ec_digits_out(uint8_t *bytes, size_t len, uint64_t (*rows)[KC_EC_LANES], unsigned digits,
                      unsigned lane);

/** Wipes what registers were spilled to and temporaries lived in, below the caller's frame. */
void kc_ec_burn_stack(void);

#if KC_HAVE_EC

/** The lanes of a row of registers as plain words. */
static inline uint64_t (*kc_ec_rows(__m512i *v))[KC_EC_LANES]
{
    return (uint64_t(*)[KC_EC_LANES])(void *)v;
}

KC_EC_INLINE void kc_ec_clear(__m512i *c, unsigned nd)
{
    KC_EC_UNROLL for (unsigned i = 0; i < 2 * nd; i++) c[i] = _mm512_setzero_si512();
}

/** c += a[i] * b, at its place. All nd rows make 2 nd column sums below 2 nd 2^52. */
KC_EC_INLINE void kc_ec_row(__m512i *c, const __m512i *a, const __m512i *b, unsigned i, unsigned nd)
{
    const __m512i x = _mm512_load_si512(a + i);
    KC_EC_UNROLL for (unsigned j = 0; j < nd; j++) c[i + j] =
        _mm512_madd52lo_epu64(c[i + j], x, _mm512_load_si512(b + j));
    KC_EC_UNROLL for (unsigned j = 0; j < nd; j++) c[i + j + 1] =
        _mm512_madd52hi_epu64(c[i + j + 1], x, _mm512_load_si512(b + j));
}

/** Column k of a * a: products of different digits once, doubled, and the square of a digit. */
KC_EC_INLINE __m512i kc_ec_square_column(const __m512i *a, unsigned k, unsigned nd)
{
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) if (2 * i < k && k - i < nd) low =
        _mm512_madd52lo_epu64(low, _mm512_load_si512(a + i), _mm512_load_si512(a + k - i));
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) if (2 * i + 1 < k && k - 1 - i < nd) high =
        _mm512_madd52hi_epu64(high, _mm512_load_si512(a + i), _mm512_load_si512(a + k - 1 - i));
    low = _mm512_add_epi64(low, high);
    low = _mm512_add_epi64(low, low);
    const __m512i x = _mm512_load_si512(a + k / 2);
    return k % 2 ? _mm512_madd52hi_epu64(low, x, x) : _mm512_madd52lo_epu64(low, x, x);
}

/** r = c with every digit but the last below 2^52. Digits of c may be negative as long as the
 *  number is not; the last keeps what is above. */
KC_EC_INLINE void kc_ec_carry(__m512i *r, const __m512i *c, unsigned nd)
{
    const __m512i mask = _mm512_set1_epi64(KC_EC_MASK);
    __m512i carry = _mm512_setzero_si512();
    KC_EC_UNROLL for (unsigned i = 0; i < nd - 1; i++)
    {
        const __m512i sum = _mm512_add_epi64(c[i], carry);
        carry = _mm512_srai_epi64(sum, KC_EC_DIGIT);
        _mm512_store_si512(r + i, _mm512_and_si512(sum, mask));
    }
    _mm512_store_si512(r + nd - 1, _mm512_add_epi64(c[nd - 1], carry));
}

/** r = a - b with digits below 2^52; the lanes where it would be negative (r is then meaningless).
 */
KC_EC_INLINE __mmask8 kc_ec_minus(__m512i *r, const __m512i *a, const __m512i *b, unsigned nd)
{
    __m512i d[KC_EC_DIGITS];
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) d[i] =
        _mm512_sub_epi64(_mm512_load_si512(a + i), _mm512_load_si512(b + i));
    kc_ec_carry(r, d, nd);
    return _mm512_movepi64_mask(_mm512_load_si512(r + nd - 1));
}

/** r = a mod m for a < 2m with digits below 2^52. r may be a. */
KC_EC_INLINE void kc_ec_below(__m512i *r, const __m512i *a, const __m512i *m, unsigned nd)
{
    __m512i less[KC_EC_DIGITS];
    const __mmask8 borrow = kc_ec_minus(less, a, m, nd);
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++)
        _mm512_store_si512(r + i, _mm512_mask_mov_epi64(less[i], borrow, _mm512_load_si512(a + i)));
}

/** Lanes where a and b are the same digits. */
KC_EC_INLINE __mmask8 kc_ec_same(const __m512i *a, const __m512i *b, unsigned nd)
{
    __m512i differ = _mm512_setzero_si512();
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) differ = _mm512_or_si512(
        differ, _mm512_xor_si512(_mm512_load_si512(a + i), _mm512_load_si512(b + i)));
    return _mm512_cmpeq_epi64_mask(differ, _mm512_setzero_si512());
}

/** Lanes where a is zero. */
KC_EC_INLINE __mmask8 kc_ec_zero(const __m512i *a, unsigned nd)
{
    __m512i any = _mm512_setzero_si512();
    KC_EC_UNROLL for (unsigned i = 0; i < nd; i++) any =
        _mm512_or_si512(any, _mm512_load_si512(a + i));
    return _mm512_cmpeq_epi64_mask(any, _mm512_setzero_si512());
}

#endif

#include "crypto/ec/comb.h"

#include "crypto/ec/point.h"

#if KC_HAVE_EC

#define VECTOR 8 /* table entries in a register */

KC_EC __mmask8 kc_ec_recode(const struct kc_ec_curve *curve, __m512i *recoded, const __m512i *k,
                            unsigned top_bit)
{
    const unsigned nd = curve->nd;
    const __m512i one = _mm512_set1_epi64(1);
    const __mmask8 even = _mm512_testn_epi64_mask(_mm512_load_si512(k), one);
    __m512i odd[KC_EC_DIGITS + 1];
    (void)kc_ec_minus(odd, curve->n.m, k, nd);
    for (unsigned i = 0; i < nd; i++)
        odd[i] = _mm512_mask_mov_epi64(k[i], even, odd[i]);
    odd[nd] = _mm512_setzero_si512();
    for (unsigned i = 0; i < nd; i++) {
        const __m512i above = _mm512_slli_epi64(_mm512_and_si512(odd[i + 1], one), KC_EC_DIGIT - 1);
        recoded[i] = _mm512_or_si512(_mm512_srli_epi64(odd[i], 1), above);
    }
    const unsigned at = top_bit / KC_EC_DIGIT;
    recoded[at] = _mm512_or_si512(recoded[at], _mm512_set1_epi64(1ll << top_bit % KC_EC_DIGIT));
    return even;
}

/* The way back: ors `bits`, that were at `at`, into a number. */
KC_EC_INLINE void put_back(__m512i *k, __m512i bits, unsigned nd, unsigned at, unsigned count)
{
    const unsigned digit = at / KC_EC_DIGIT, shift = at % KC_EC_DIGIT;
    const __m512i mask = _mm512_set1_epi64(KC_EC_MASK);
    const __m512i low = _mm512_sll_epi64(bits, _mm_cvtsi32_si128((int)shift));
    k[digit] = _mm512_or_si512(k[digit], _mm512_and_si512(low, mask));
    if (shift + count > KC_EC_DIGIT && digit + 1 < nd)
        k[digit + 1] = _mm512_or_si512(k[digit + 1], _mm512_srli_epi64(low, KC_EC_DIGIT));
}

/* Entry `index` of a column of `entries` words, each lane its own: two registers at a time are a
 * table of sixteen, the rest is choice between such tables. */
KC_EC_INLINE __m512i pick(const uint64_t *column, __m512i index, const __mmask8 *choice,
                          unsigned entries)
{
    __m512i v[8];
    unsigned tables = entries / (2 * VECTOR);
    KC_EC_UNROLL for (unsigned i = 0; i < tables; i++) v[i] =
        _mm512_permutex2var_epi64(_mm512_load_si512(column + 2 * VECTOR * i), index,
                                  _mm512_load_si512(column + 2 * VECTOR * i + VECTOR));
    if (tables == 8) {
        KC_EC_UNROLL for (unsigned i = 0; i < 4; i++) v[i] =
            _mm512_mask_mov_epi64(v[i], choice[2], v[i + 4]);
    }
    if (tables >= 4) {
        KC_EC_UNROLL for (unsigned i = 0; i < 2; i++) v[i] =
            _mm512_mask_mov_epi64(v[i], choice[1], v[i + 2]);
    }
    return tables >= 2 ? _mm512_mask_mov_epi64(v[0], choice[0], v[1]) : v[0];
}

/* The point of window `i` of the recoded scalar `k`. */
KC_EC_INLINE void entry(const struct kc_ec_curve *curve, __m512i *x, __m512i *y, __m512i *used,
                        const __m512i *k, unsigned i, unsigned nd, unsigned w)
{
    const unsigned entries = 1u << (w - 1);
    const uint64_t *window = curve->table + (size_t)i * 2 * nd * entries;
    __m512i bits = kc_ec_bits(k, nd, i * w, w);
    put_back(used, bits, nd, i * w, w);
    /* upper half: 2 (b - 2^(w-1)) + 1; lower half: the negative of the mirror image */
    const __mmask8 negative = _mm512_testn_epi64_mask(bits, _mm512_set1_epi64(entries));
    const __m512i ones = _mm512_set1_epi64(-1);
    const __m512i index = _mm512_mask_xor_epi64(bits, negative, bits, ones);
    const __mmask8 choice[3] = {_mm512_test_epi64_mask(index, _mm512_set1_epi64(16)),
                                _mm512_test_epi64_mask(index, _mm512_set1_epi64(32)),
                                _mm512_test_epi64_mask(index, _mm512_set1_epi64(64))};
    KC_EC_UNROLL for (unsigned d = 0; d < nd; d++) x[d] =
        pick(window + (size_t)d * entries, index, choice, entries);
    __m512i t[KC_EC_DIGITS] KC_EC_RAW;
    KC_EC_UNROLL for (unsigned d = 0; d < nd; d++)
    {
        t[d] = pick(window + (size_t)(nd + d) * entries, index, choice, entries);
        t[d] = _mm512_mask_sub_epi64(t[d], negative, curve->p.m[d], t[d]);
    }
    kc_ec_carry(y, t, nd);
}

KC_EC_INLINE unsigned comb(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k,
                           unsigned nd, unsigned w)
{
    __m512i recoded[KC_EC_DIGITS] KC_EC_RAW, used[KC_EC_DIGITS] KC_EC_RAW,
        x[KC_EC_DIGITS] KC_EC_RAW, y[KC_EC_DIGITS] KC_EC_RAW;
    const unsigned count = curve->windows;
    const __mmask8 even = kc_ec_recode(curve, recoded, k, count * w - 1);
    for (unsigned d = 0; d < nd; d++)
        used[d] = _mm512_setzero_si512();
    entry(curve, r->x, r->y, used, recoded, 0, nd, w);
    kc_ec_copy(r->z, curve->p.one, nd);
    for (unsigned i = 1; i < count; i++) {
        entry(curve, x, y, used, recoded, i, nd, w);
        kc_point_add_affine(curve, r, x, y, nd);
    }
    kc_fe_negate(curve, r->y, even, nd);
    (void)kc_ec_recode(curve, x, k, count * w - 1);
    return kc_ec_same(used, x, nd);
}

#define COMB(name, nd, w)                                                                          \
    KC_EC unsigned kc_ec_comb_##name(const struct kc_ec_curve *curve, struct kc_ec_point *r,       \
                                     const __m512i *k)                                             \
    {                                                                                              \
        return comb(curve, r, k, (nd), (w));                                                       \
    }

COMB(p256, 5, KC_EC_P256_WINDOW)
COMB(p384, 8, KC_EC_P384_WINDOW)
COMB(p521, 11, KC_EC_P521_WINDOW)

#endif

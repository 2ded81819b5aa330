#include "crypto/ec/times.h"

#include "crypto/ec/comb.h"
#include "crypto/ec/point.h"

#if KC_HAVE_EC

#define W       KC_EC_TIMES_WINDOW
#define ENTRIES KC_EC_TIMES_ENTRIES

/* v[0..nd) of the entry of each lane: reading all sixteen is faster than gathering. */
KC_EC_INLINE void pick(__m512i *to, const struct kc_ec_point *table, size_t coordinate,
                       const __mmask8 *which, unsigned nd)
{
    for (unsigned d = 0; d < nd; d++) {
        __m512i v = _mm512_setzero_si512();
        KC_EC_UNROLL for (unsigned j = 0; j < ENTRIES; j++)
        {
            const __m512i *from = (const __m512i *)(const void *)&table[j] + coordinate + d;
            v = _mm512_mask_mov_epi64(v, which[j], _mm512_load_si512(from));
        }
        _mm512_store_si512(to + d, v);
    }
}

/* work->picked = the term of window `i` (crypto/ec/comb.h: digits are odd). */
KC_EC_INLINE void term(const struct kc_ec_curve *c, struct kc_ec_times_work *work, unsigned i,
                       unsigned nd)
{
    const unsigned at = i * W, digit = at / KC_EC_DIGIT, shift = at % KC_EC_DIGIT;
    __m512i bits = _mm512_srl_epi64(work->recoded[digit], _mm_cvtsi32_si128((int)shift));
    if (shift + W > KC_EC_DIGIT && digit + 1 < nd)
        bits =
            _mm512_or_si512(bits, _mm512_sll_epi64(work->recoded[digit + 1],
                                                   _mm_cvtsi32_si128((int)(KC_EC_DIGIT - shift))));
    const __mmask8 negative = _mm512_testn_epi64_mask(bits, _mm512_set1_epi64(ENTRIES));
    bits = _mm512_mask_xor_epi64(bits, negative, bits, _mm512_set1_epi64(-1));
    bits = _mm512_and_si512(bits, _mm512_set1_epi64(ENTRIES - 1));
    __mmask8 which[ENTRIES];
    KC_EC_UNROLL for (unsigned j = 0; j < ENTRIES; j++) which[j] =
        _mm512_cmpeq_epi64_mask(bits, _mm512_set1_epi64(j));
    pick(work->picked.x, work->table, 0, which, nd);
    pick(work->picked.y, work->table, KC_EC_DIGITS, which, nd);
    pick(work->picked.z, work->table, 2 * (size_t)KC_EC_DIGITS, which, nd);
    kc_fe_negate(c, work->picked.y, negative, nd);
}

KC_EC_INLINE void times(const struct kc_ec_curve *c, struct kc_ec_point *r,
                        const struct kc_ec_point *q, const __m512i *k,
                        struct kc_ec_times_work *work, unsigned nd)
{
    const unsigned windows = c->bits / W + 1;
    const __mmask8 even = kc_ec_recode(c, work->recoded, k, windows * W - 1);
    work->table[0] = *q;
    kc_ec_point_double(c, r, q);
    for (unsigned j = 1; j < ENTRIES; j++)
        kc_ec_point_add(c, &work->table[j], &work->table[j - 1], r);
    term(c, work, windows - 1, nd);
    *r = work->picked;
    for (unsigned i = windows - 1; i-- > 0;) {
        for (unsigned j = 0; j < W; j++)
            kc_ec_point_double(c, r, r);
        term(c, work, i, nd);
        kc_ec_point_add(c, r, r, &work->picked);
    }
    kc_fe_negate(c, r->y, even, nd);
}

KC_EC void kc_ec_times(const struct kc_ec_curve *curve, struct kc_ec_point *r,
                       const struct kc_ec_point *q, const __m512i *k, struct kc_ec_times_work *work)
{
    if (curve->nd == 5)
        times(curve, r, q, k, work, 5);
    else if (curve->nd == 8)
        times(curve, r, q, k, work, 8);
    else
        times(curve, r, q, k, work, 11);
}

#endif

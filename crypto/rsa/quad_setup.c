#if defined(__x86_64__)
#include "crypto/rsa/quad.h"

#include <stdbool.h>

#include "crypto/rsa/quad_tile.h"

/* What quad.c works on: constants of primes, numbers in blocks and back, masks of a lookup. */

KC_IFMA void kc_quad_pick(struct kc_pick *pick, __m512i *out, const __m512i *table,
                          const __m512i *index)
{
    const __m512i group = _mm512_srli_epi64(*index, 3);
    pick->table = table;
    pick->out = out;
    for (unsigned i = 0; i < 3; i++) {
        pick->bit[i] = _mm512_test_epi64_mask(*index, _mm512_set1_epi64(1LL << i));
        pick->group[i] = _mm512_cmpeq_epi64_mask(group, _mm512_set1_epi64(i + 1));
    }
}

/** The bits of digit i of a packed number. */
static unsigned digit_bits(unsigned i)
{
    return i % SIDE + 1 < SIDE ? KC_DIGIT : KC_QUAD_TOP;
}

/** Where they begin. */
static unsigned digit_place(unsigned i)
{
    return KC_QUAD_BITS * (i / SIDE) + KC_DIGIT * (i % SIDE);
}

KC_IFMA void kc_quad_pack(__m512i *r, const __m512i *a)
{
    for (unsigned i = 0; i < KC_QUAD_DIGITS; i++) {
        const unsigned from = digit_place(i) / KC_DIGIT;
        const unsigned shift = digit_place(i) % KC_DIGIT;
        __m512i digit = _mm512_srl_epi64(a[from], _mm_cvtsi32_si128((int)shift));
        if (from + 1 < KC_QUAD_DIGITS) {
            digit = _mm512_or_si512(
                digit, _mm512_sll_epi64(a[from + 1], _mm_cvtsi32_si128((int)(KC_DIGIT - shift))));
        }
        r[i] = _mm512_and_si512(digit, low_bits(digit_bits(i)));
    }
}

KC_IFMA void kc_quad_unpack(__m512i *r, const __m512i *a)
{
    for (unsigned i = 0; i < KC_QUAD_DIGITS; i++) {
        r[i] = _mm512_setzero_si512();
    }
    for (unsigned i = 0; i < KC_QUAD_DIGITS; i++) {
        const unsigned to = digit_place(i) / KC_DIGIT;
        const unsigned shift = digit_place(i) % KC_DIGIT;
        __m512i low = _mm512_sll_epi64(a[i], _mm_cvtsi32_si128((int)shift));
        __m512i high = _mm512_srl_epi64(a[i], _mm_cvtsi32_si128((int)(KC_DIGIT - shift)));
        r[to] =
            add(r[to], _mm512_and_si512(low, low_bits(KC_DIGIT))); /* bits of their own: no carry */
        r[to + 1] = add(r[to + 1], high);
    }
}

KC_IFMA void kc_quad_power_of_two(__m512i *r, unsigned power)
{
    for (unsigned i = 0; i < KC_QUAD_DIGITS; i++) {
        const unsigned above = power - digit_place(i);
        const bool here = power >= digit_place(i) && above < digit_bits(i);
        r[i] = _mm512_set1_epi64(here ? 1LL << above : 0);
    }
}

/** power = 2^(-257 * (3 - k)) mod m as blocks. */
KC_IFMA static void inverse_power(__m512i *power, const struct kc_mont *mont, unsigned k)
{
    const unsigned blocks = k == 0 ? 2 : 1; /* of 520 bits that are divided by */
    const unsigned bit = 520 * blocks - KC_QUAD_BITS * (3 - k);
    __m512i wide[2 * KC_QUAD_DIGITS];
    __m512i result[KC_QUAD_DIGITS];
    for (unsigned i = 0; i < 2 * KC_QUAD_DIGITS; i++) {
        wide[i] = _mm512_set1_epi64(i == bit / KC_DIGIT ? 1LL << bit % KC_DIGIT : 0);
    }
    if (blocks == 2) {
        kc_mont_redc(mont, result, wide);
    } else {
        kc_mont_divide(mont, 1, result, wide);
    }
    kc_quad_pack(power, result);
}

KC_IFMA void kc_quad_prepare(struct kc_quad *quad, const struct kc_mont *mont)
{
    __m512i c[2 * SIDE], y[SIDE];
    struct block block;
    kc_quad_pack(quad->m, mont->m);
    quad->k0 = mont->k0;
    inverse_power(quad->c0, mont, 0);
    inverse_power(quad->c1, mont, 1);
    inverse_power(quad->c2, mont, 2);
    zero10(c);
    for (unsigned j = 0; j <= 4; j++) {
        if (j < 4) {
            load5(y, BLOCK(quad->c1, j));
            tile(c, LEFT(BLOCK(quad->c0, j)), y, ALONE);
        }
        if (j > 0 && j < 4) {
            load5(y, BLOCK(quad->m, j));
            tile(c, LEFT(BLOCK(quad->c2, j)), y, ALONE);
        }
        finish(c, &block, BLOCK(quad->twins, j));
#define PUT(i) put_digit(i, &block, c);
        EACH(PUT)
#undef PUT
    }
}
#endif

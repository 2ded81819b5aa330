#if defined(__x86_64__)
#define KC_UNROLL
#define KC_KARATSUBA 0 /* its gain is lost to spills in loops */
#include "crypto/rsa/mont_wide.h"
#include "crypto/rsa/mont_product.h"

KC_IFMA void kc_mont_sqr_wide(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    mont_product(mont, mont->blocks, SQUARE, r, a, a);
}

KC_IFMA void kc_mont_mul_wide(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                              const __m512i *b)
{
    mont_product(mont, mont->blocks, MULTIPLY, r, a, b);
}

KC_IFMA_INLINE void add_digits10(struct kc_cols *s, const __m512i *a)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
#define ADD(i)                                                                                     \
    s->c[i] = _mm512_add_epi64(s->c[i], _mm512_and_si512(_mm512_load_si512(a + (i)), low));
    KC_EACH10(ADD)
#undef ADD
}

KC_IFMA void kc_mont_redc(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    const unsigned blocks = mont->blocks;
    struct kc_cols s;
    kc_cols_zero(&s);
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        add_digits10(&s, a + KC_TILE * k);
        if (k < blocks) {
            reduce_low(&s, mont, k);
        } else {
            reduce_high(&s, mont, blocks, blocks, k, r + KC_TILE * (k - blocks));
        }
        kc_cols_shift(&s);
    }
    add_digits10(&s, a + KC_TILE * (2 * blocks - 1));
    (void)finish_columns(r + KC_TILE * (blocks - 1), s.c);
}

KC_IFMA void kc_mont_divide(const struct kc_mont *mont, unsigned low, __m512i *r, const __m512i *a)
{
    const unsigned blocks = mont->blocks;
    struct kc_cols s;
    kc_cols_zero(&s);
    for (unsigned k = 0; k < blocks + low - 1; k++) {
        if (k < blocks) {
            add_digits10(&s, a + KC_TILE * k);
        }
        if (k < low) {
            reduce_low(&s, mont, k);
        } else {
            reduce_high(&s, mont, blocks, low, k, r + KC_TILE * (k - low));
        }
        kc_cols_shift(&s);
    }
    (void)finish_columns(r + KC_TILE * (blocks - 1), s.c);
}

KC_IFMA void kc_plain_mul(unsigned blocks, __m512i *r, const __m512i *a, const __m512i *b)
{
    struct kc_cols s;
    kc_cols_zero(&s);
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        multiply_column(&s, blocks, k, a, b);
        s.c[KC_TILE] = _mm512_add_epi64(s.c[KC_TILE], finish_columns(r + KC_TILE * k, s.c));
        kc_cols_shift(&s);
    }
    (void)finish_columns(r + KC_TILE * (2 * blocks - 1), s.c);
}

KC_IFMA void kc_mont_below(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    const unsigned digits = KC_TILE * mont->blocks;
    __m512i borrow = _mm512_setzero_si512();
    KC_UNROLL
    for (unsigned i = 0; i < digits; i++) {
        __m512i d = _mm512_sub_epi64(_mm512_and_si512(a[i], low), mont->m[i]);
        borrow = _mm512_srai_epi64(_mm512_add_epi64(d, borrow), KC_DIGIT);
    }
    __mmask8 keep = _mm512_movepi64_mask(borrow);
    borrow = _mm512_setzero_si512();
    KC_UNROLL
    for (unsigned i = 0; i < digits; i++) {
        __m512i value = _mm512_and_si512(a[i], low);
        __m512i d = _mm512_add_epi64(_mm512_sub_epi64(value, mont->m[i]), borrow);
        borrow = _mm512_srai_epi64(d, KC_DIGIT);
        r[i] = _mm512_mask_mov_epi64(_mm512_and_si512(d, low), keep, value);
    }
}
#endif

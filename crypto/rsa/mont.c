#if defined(__x86_64__)
#include "crypto/rsa/mont.h"

/* A product is built block column by block column (ten digits), each held in registers from its
 * first multiply-add to its last: products of the factors, then quotient times modulus, then either
 * the ten quotient digits that clear it (lower half) or ten digits of the result (upper half). */

enum product { SQUARE, MULTIPLY };

/** Column block k of a * b: the sum of a[i] * b[k - i]. */
KC_IFMA_INLINE void multiply_column(struct kc_cols *s, unsigned blocks, unsigned k,
                                    const __m512i *a, const __m512i *b)
{
    unsigned first = k < blocks ? 0 : k - blocks + 1;
    unsigned last = k < blocks ? k : blocks - 1;
    for (unsigned i = first; i <= last; i++) {
        kc_tile_mul(s, a + KC_TILE * i, b + KC_TILE * (k - i));
    }
}

/** Column block k of a * a: each mixed product once, doubled; `scans` of its tiles do lookups. */
KC_IFMA_INLINE void square_column(struct kc_cols *s, unsigned blocks, unsigned k, const __m512i *a,
                                  const struct kc_scan *scan)
{
    for (unsigned i = k < blocks ? 0 : k - blocks + 1; 2 * i < k; i++) {
        if (scan && k < blocks && i == 0) {
            kc_tile_mul_scan(s, a, a + KC_TILE * k, scan, KC_TILE * (k - 1), KC_TILE * blocks);
        } else {
            kc_tile_mul(s, a + KC_TILE * i, a + KC_TILE * (k - i));
        }
    }
    if (k % 2 == 0) {
        const __m512i *middle = a + KC_TILE * (k / 2);
        kc_tile_cross(s, middle);
        kc_cols_double(s);
        kc_tile_diagonal(s, middle);
    } else {
        kc_cols_double(s);
    }
}

/** Clears column block k < blocks: makes quotient block k. */
KC_IFMA_INLINE void reduce_low(struct kc_cols *s, const struct kc_mont *mont, unsigned blocks,
                               unsigned k, const struct kc_scan *scan)
{
    for (unsigned i = 0; i < k; i++) {
        if (scan && i == 0 && k == 1) {
            kc_tile_mul_scan(s, mont->q, mont->m + KC_TILE * k, scan, KC_TILE * (blocks - 1),
                             KC_TILE * blocks);
        } else {
            kc_tile_mul(s, mont->q + KC_TILE * i, mont->m + KC_TILE * (k - i));
        }
    }
    kc_tile_reduce(s, mont->q + KC_TILE * k, mont->m, mont->k0);
}

/** Finishes column block k >= blocks: ten digits of the result. */
KC_IFMA_INLINE void reduce_high(struct kc_cols *s, const struct kc_mont *mont, unsigned blocks,
                                unsigned k, __m512i *r)
{
    unsigned i = k - blocks + 1;
    for (; i + 1 < blocks; i++) {
        kc_tile_mul(s, mont->q + KC_TILE * i, mont->m + KC_TILE * (k - i));
    }
    kc_tile_mul_out(s, r, mont->q + KC_TILE * i, mont->m + KC_TILE * (k - i));
}

/** Ten digits from ten columns: passes the carries on. */
KC_IFMA_INLINE void finish_columns(__m512i *r, const __m512i *left)
{
    __m512i carry = _mm512_setzero_si512();
#define FINISH(i)                                                                                  \
    do {                                                                                           \
        __m512i sum = _mm512_add_epi64(_mm512_load_si512(left + (i)), carry);                      \
        _mm512_store_si512(r + (i), sum);                                                          \
        carry = _mm512_srli_epi64(sum, KC_DIGIT);                                                  \
    } while (0);
    KC_EACH10(FINISH)
#undef FINISH
}

KC_IFMA_INLINE void mont_product(const struct kc_mont *mont, const unsigned blocks,
                                 const enum product product, __m512i *r, const __m512i *a,
                                 const __m512i *b, const struct kc_scan *scan)
{
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        struct kc_cols s;
        kc_cols_zero(&s);
        if (product == SQUARE) {
            square_column(&s, blocks, k, a, scan);
        } else {
            multiply_column(&s, blocks, k, a, b);
        }
        if (k > 0) {
            kc_cols_take(&s, mont->left);
        }
        if (k < blocks) {
            reduce_low(&s, mont, blocks, k, scan);
        } else {
            reduce_high(&s, mont, blocks, k, r + KC_TILE * (k - blocks));
        }
        kc_cols_leave(&s, mont->left);
    }
    finish_columns(r + KC_TILE * (blocks - 1), mont->left);
}

/* One set of functions for each size that occurs: the block count is a constant in each. */
#define KC_MONT_SIZE(n)                                                                            \
    KC_IFMA static void sqr_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a)          \
    {                                                                                              \
        mont_product(mont, n, SQUARE, r, a, a, NULL);                                              \
    }                                                                                              \
    KC_IFMA static void sqr_scan_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a,     \
                                     const struct kc_scan *scan)                                   \
    {                                                                                              \
        mont_product(mont, n, SQUARE, r, a, a, scan);                                              \
    }                                                                                              \
    KC_IFMA static void mul_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a,          \
                                const __m512i *b)                                                  \
    {                                                                                              \
        mont_product(mont, n, MULTIPLY, r, a, b, NULL);                                            \
    }

KC_MONT_SIZE(2)
KC_MONT_SIZE(3)
KC_MONT_SIZE(4)
KC_MONT_SIZE(6)
KC_MONT_SIZE(8)

#define KC_MONT_DISPATCH(call, ...)                                                                \
    switch (mont->blocks) {                                                                        \
    case 2:                                                                                        \
        call##_2(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 3:                                                                                        \
        call##_3(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 4:                                                                                        \
        call##_4(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 6:                                                                                        \
        call##_6(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    default:                                                                                       \
        call##_8(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    }

KC_IFMA void kc_mont_sqr(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    KC_MONT_DISPATCH(sqr, mont, r, a)
}

KC_IFMA void kc_mont_sqr_scan(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                              const struct kc_scan *scan)
{
    KC_MONT_DISPATCH(sqr_scan, mont, r, a, scan)
}

KC_IFMA void kc_mont_mul(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                         const __m512i *b)
{
    KC_MONT_DISPATCH(mul, mont, r, a, b)
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
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        kc_cols_zero(&s);
        add_digits10(&s, a + KC_TILE * k);
        if (k > 0) {
            kc_cols_take(&s, mont->left);
        }
        if (k < blocks) {
            reduce_low(&s, mont, blocks, k, NULL);
        } else {
            reduce_high(&s, mont, blocks, k, r + KC_TILE * (k - blocks));
        }
        kc_cols_leave(&s, mont->left);
    }
    kc_cols_zero(&s);
    add_digits10(&s, a + KC_TILE * (2 * blocks - 1));
    kc_cols_take(&s, mont->left);
    finish_columns(r + KC_TILE * (blocks - 1), s.c);
}

KC_IFMA void kc_plain_mul(unsigned blocks, __m512i *r, const __m512i *a, const __m512i *b,
                          __m512i *left)
{
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        struct kc_cols s;
        kc_cols_zero(&s);
        multiply_column(&s, blocks, k, a, b);
        if (k > 0) {
            kc_cols_take(&s, left);
        }
        finish_columns(r + KC_TILE * k, s.c);
        s.c[KC_TILE] = _mm512_add_epi64(
            s.c[KC_TILE], _mm512_srli_epi64(r[KC_TILE * k + KC_TILE - 1], KC_DIGIT));
        kc_cols_leave(&s, left);
    }
    finish_columns(r + KC_TILE * (2 * blocks - 1), left);
}

KC_IFMA void kc_mont_below(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    const unsigned digits = KC_TILE * mont->blocks;
    __m512i borrow = _mm512_setzero_si512();
    for (unsigned i = 0; i < digits; i++) {
        __m512i d = _mm512_sub_epi64(_mm512_and_si512(a[i], low), mont->m[i]);
        borrow = _mm512_srai_epi64(_mm512_add_epi64(d, borrow), KC_DIGIT);
    }
    __mmask8 keep = _mm512_movepi64_mask(borrow);
    borrow = _mm512_setzero_si512();
    for (unsigned i = 0; i < digits; i++) {
        __m512i value = _mm512_and_si512(a[i], low);
        __m512i d = _mm512_add_epi64(_mm512_sub_epi64(value, mont->m[i]), borrow);
        borrow = _mm512_srai_epi64(d, KC_DIGIT);
        r[i] = _mm512_mask_mov_epi64(_mm512_and_si512(d, low), keep, value);
    }
}
#endif

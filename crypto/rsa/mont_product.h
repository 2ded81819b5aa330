#pragma once
/* The product modulo m, for mont.c and mont_wide.c. Before they include it they define
 *   KC_UNROLL    what stands before the loops over blocks: small sizes are unrolled wholly (gcc
 * keeps the columns in registers then), large ones are loops (their code would not fit the
 *                instruction cache);
 *   KC_KARATSUBA whether squarings take mixed products from squares. */

#include "crypto/rsa/mont.h"

#ifndef KC_UNROLL
#define KC_UNROLL
#endif
#ifndef KC_KARATSUBA
#define KC_KARATSUBA 0
#endif

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
    KC_UNROLL
    for (unsigned i = first; i <= last; i++) {
        kc_tile_mul(s, a + KC_TILE * i, b + KC_TILE * (k - i));
    }
}

/** Squares block i of a; leaves the columns in `s` and in squares[i]. */
KC_IFMA_INLINE void square_block(struct kc_cols *s, const __m512i *a, __m512i *squares, unsigned i)
{
    __m512i x[KC_TILE];
    kc_load10(x, a + KC_TILE * i);
    kc_cols_zero(s);
    kc_tile_square(s, x);
    kc_cols_save(s, squares + 2 * KC_TILE * i);
}

/** s = the sum of 2 a[i] a[k - i] for i from `first` below k / 2. A mixed product comes from three
 *  squares (Karatsuba): 2 a[i] a[j] = a[i]^2 + a[j]^2 - (a[i] - a[j])^2, the first two of which are
 *  there anyway. The difference is e or, where `sign` is set, -(e + 1): (e + 1)^2 = e^2 + 2e + 1.
 */
KC_IFMA_INLINE void mixed_products(struct kc_cols *s, unsigned first, unsigned k, const __m512i *a,
                                   const struct kc_mont *mont)
{
    const unsigned last = (k - 1) / 2;
    __m512i *squares = mont->squares;
    __m512i one = _mm512_setzero_si512();
    __m512i e[KC_TILE];
    kc_cols_zero(s);
    KC_UNROLL
    for (unsigned i = first; i <= last; i++) {
        __m512i sign = kc_difference(e, a + KC_TILE * i, a + KC_TILE * (k - i));
        kc_cols_add_where(s, e, sign);
        one = _mm512_sub_epi64(one, sign);
        if (i < last) {
            kc_tile_cross(s, e);
            kc_save10(mont->differences + KC_TILE * (i - first), e);
        } else {
            kc_tile_square(s, e);
        }
    }
    s->c[0] = _mm512_add_epi64(s->c[0], one);
    KC_UNROLL
    for (unsigned i = first; i < last; i++) {
        kc_load10(e, mont->differences + KC_TILE * (i - first));
        kc_tile_diagonal(s, e);
    }
    kc_cols_from_sum(s, squares + 2 * KC_TILE * first, squares + 2 * KC_TILE * (k - first));
    KC_UNROLL
    for (unsigned i = first + 1; i <= last; i++) {
        kc_cols_add(s, squares + 2 * KC_TILE * i);
        kc_cols_add(s, squares + 2 * KC_TILE * (k - i));
    }
}

/** The same sum from the products themselves; for even k with the square of the middle block. */
KC_IFMA_INLINE void plain_products(struct kc_cols *s, unsigned first, unsigned k, const __m512i *a)
{
    kc_cols_zero(s);
    for (unsigned i = first; 2 * i < k; i++) {
        kc_tile_mul(s, a + KC_TILE * i, a + KC_TILE * (k - i));
    }
    if (k % 2 == 0) {
        __m512i x[KC_TILE];
        kc_load10(x, a + KC_TILE * (k / 2));
        kc_tile_square(s, x);
    } else {
        kc_cols_double(s);
    }
}

/** Adds column block k of a * a. */
KC_IFMA_INLINE void square_column(struct kc_cols *s, unsigned blocks, unsigned k, const __m512i *a,
                                  const struct kc_mont *mont)
{
    __m512i *squares = mont->squares;
    const unsigned first = k < blocks ? 0 : k - blocks + 1;
    if (!KC_KARATSUBA) {
        kc_cols_leave(s, mont->left);
        plain_products(s, first, k, a);
        kc_cols_take(s, mont->left);
        return;
    }
    if (k == 0) {
        square_block(s, a, squares, 0);
        return;
    }
    if (2 * first < k) {
        kc_cols_leave(s, mont->left);
        if (k < blocks) {
            square_block(s, a, squares, k);
        }
        mixed_products(s, first, k, a, mont);
        kc_cols_take(s, mont->left);
    }
    if (k % 2 == 0) {
        kc_cols_add(s, squares + KC_TILE * k);
    }
}

/** Clears column block k: makes quotient block k. */
KC_IFMA_INLINE void reduce_low(struct kc_cols *s, const struct kc_mont *mont, unsigned k)
{
    KC_UNROLL
    for (unsigned i = 0; i < k; i++) {
        kc_tile_mul(s, mont->q + KC_TILE * i, mont->m + KC_TILE * (k - i));
    }
    kc_tile_reduce(s, mont->q + KC_TILE * k, mont->m, mont->k0, NULL, 0, 0, 1);
}

/** Finishes column block k, above the `low` quotient blocks: ten digits of the result. */
KC_IFMA_INLINE void reduce_high(struct kc_cols *s, const struct kc_mont *mont, unsigned blocks,
                                unsigned low, unsigned k, __m512i *r)
{
    unsigned i = k < blocks ? 0 : k - blocks + 1;
    KC_UNROLL
    for (; i + 1 < low; i++) {
        kc_tile_mul(s, mont->q + KC_TILE * i, mont->m + KC_TILE * (k - i));
    }
    kc_tile_mul_out(s, r, mont->q + KC_TILE * i, mont->m + KC_TILE * (k - i), NULL, 0, 0, 1);
}

/** Ten digits from ten columns: passes the carries on and returns the last. */
KC_IFMA_INLINE __m512i finish_columns(__m512i *r, const __m512i *columns)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    __m512i carry = _mm512_setzero_si512();
#define FINISH(i)                                                                                  \
    do {                                                                                           \
        __m512i sum = _mm512_add_epi64(columns[i], carry);                                         \
        _mm512_store_si512(r + (i), _mm512_and_si512(sum, low));                                   \
        carry = _mm512_srai_epi64(sum, KC_DIGIT);                                                  \
    } while (0);
    KC_EACH10(FINISH)
#undef FINISH
    return carry;
}

KC_IFMA_INLINE void mont_product(const struct kc_mont *mont, const unsigned blocks,
                                 const enum product product, __m512i *r, const __m512i *a,
                                 const __m512i *b)
{
    struct kc_cols s;
    kc_cols_zero(&s);
    KC_UNROLL
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        if (product == SQUARE) {
            square_column(&s, blocks, k, a, mont);
        } else {
            multiply_column(&s, blocks, k, a, b);
        }
        if (k < blocks) {
            reduce_low(&s, mont, k);
        } else {
            reduce_high(&s, mont, blocks, blocks, k, r + KC_TILE * (k - blocks));
        }
        kc_cols_shift(&s);
    }
    (void)finish_columns(r + KC_TILE * (blocks - 1), s.c);
}

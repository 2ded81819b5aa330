#if defined(__x86_64__)
#if defined(__clang__)
#define KC_UNROLL /* clang keeps the columns in registers as it is */
#else
#define KC_UNROLL _Pragma("GCC unroll 16")
#endif
#define KC_KARATSUBA 1
#include "crypto/rsa/fold.h"
#include "crypto/rsa/mont_product.h"

/** out = x + y, ten digits each; returns the digit of ones where a carry is left, else zero. */
KC_IFMA_INLINE __m512i sum10(__m512i *out, const __m512i *x, const __m512i *y)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    __m512i carry = _mm512_setzero_si512();
#define SUM(i)                                                                                     \
    do {                                                                                           \
        __m512i sum = _mm512_add_epi64(_mm512_load_si512(x + (i)), _mm512_load_si512(y + (i)));    \
        sum = _mm512_add_epi64(sum, carry);                                                        \
        kc_store_late(out + (i), sum); /* its carry stays in the upper bits, which nothing reads */\
        carry = _mm512_srli_epi64(sum, KC_DIGIT);                                                  \
    } while (0);
    KC_EACH10(SUM)
#undef SUM
    return _mm512_and_si512(_mm512_sub_epi64(_mm512_setzero_si512(), carry), low);
}

/** cols += (x + carried x) * (y + carried y) without the product of both carries, which belongs to
 *  column 20: the caller's. */
KC_IFMA_INLINE void tile_of_sums(struct kc_cols *s, const __m512i *x, __m512i x_carry,
                                 const __m512i *y, __m512i y_carry, const struct kc_scan *scan,
                                 unsigned d, unsigned end, unsigned stride)
{
    if (scan) {
        kc_tile_mul_scan(s, x, y, scan, d, end, stride);
    } else {
        kc_tile_mul(s, x, y);
    }
#define CARRY(i)                                                                                   \
    s->c[KC_TILE + (i)] = _mm512_add_epi64(                                                        \
        _mm512_add_epi64(s->c[KC_TILE + (i)],                                                      \
                         _mm512_and_si512(_mm512_load_si512(y + (i)), x_carry)),                   \
        _mm512_and_si512(_mm512_load_si512(x + (i)), y_carry));
    KC_EACH10(CARRY)
#undef CARRY
}

/** What two carries add to the column above a tile. */
KC_IFMA_INLINE __m512i carries_product(__m512i x, __m512i y)
{
    return _mm512_srli_epi64(_mm512_and_si512(x, y), KC_DIGIT - 1);
}

KC_IFMA_INLINE void subtract10(struct kc_cols *s, const __m512i *digits)
{
#define SUBTRACT(i) s->c[i] = _mm512_sub_epi64(s->c[i], _mm512_load_si512(digits + (i)));
    KC_EACH10(SUBTRACT)
#undef SUBTRACT
}

KC_IFMA_INLINE void subtract20(struct kc_cols *s, const __m512i *columns)
{
#define SUBTRACT(i) s->c[i] = _mm512_sub_epi64(s->c[i], _mm512_load_si512(columns + (i)));
    KC_EACH20(SUBTRACT)
#undef SUBTRACT
}

/** Block k < 2 of a product is complete: takes it out, and makes its sums with the constants. */
KC_IFMA_INLINE void take_block(struct kc_fold *fold, struct kc_cols *s, unsigned blocks, unsigned k)
{
    __m512i *x = fold->x + KC_TILE * k;
    const __m512i *constant = k == 0 ? fold->b : fold->a;
    s->c[KC_TILE] = _mm512_add_epi64(s->c[KC_TILE], finish_columns(x, s->c));
    KC_UNROLL
    for (unsigned j = 0; j < blocks; j++) {
        fold->carry[k][j] =
            sum10(fold->left[k] + KC_TILE * j, x, constant + KC_TILE * j);
    }
    kc_cols_shift(s);
}

/** Columns of x0 * x1, aside. */
KC_IFMA_INLINE void cross_blocks(struct kc_fold *fold, const struct kc_mont *mont,
                                 struct kc_cols *s)
{
    kc_cols_leave(s, mont->left);
    kc_cols_zero(s);
    kc_tile_mul(s, fold->x, fold->x + KC_TILE);
    kc_cols_save(s, fold->x0x1);
    kc_cols_zero(s);
    kc_cols_take(s, mont->left);
}

/** Adds block j of x0 * a + x1 * b. */
KC_IFMA_INLINE void fold_block(struct kc_fold *fold, struct kc_cols *s, unsigned blocks, unsigned j,
                               const struct kc_scan *scan)
{
    if (j <= blocks) {
        subtract10(s, fold->ab + KC_TILE * j);
    }
    if (j < blocks) {
        tile_of_sums(s, fold->left[0] + KC_TILE * j, fold->carry[0][j], fold->left[1] + KC_TILE * j,
                     fold->carry[1][j], scan, KC_TILE * j, KC_TILE * (j + 1), KC_TILE * blocks);
        subtract20(s, fold->x0x1);
    }
    if (j > 0 && j <= blocks) {
        s->c[KC_TILE] = _mm512_add_epi64(
            s->c[KC_TILE], carries_product(fold->carry[0][j - 1], fold->carry[1][j - 1]));
    }
}

/** Adds column block k of a * b, mixed products from sums (Karatsuba):
 *  a[i] b[j] + a[j] b[i] = (a[i] + a[j]) (b[i] + b[j]) - a[i] b[i] - a[j] b[j].
 *  `above` is what the carries of block k - 1 put on column 10 and becomes those of block k. */
KC_IFMA_INLINE void mixed_column(struct kc_cols *s, struct kc_fold *fold,
                                 const struct kc_mont *mont, unsigned blocks, unsigned k,
                                 const __m512i *a, const __m512i *b, __m512i *above)
{
    const unsigned first = k < blocks ? 0 : k - blocks + 1;
    __m512i *products = mont->squares;
    if (k < blocks) {
        kc_cols_leave(s, mont->left);
        kc_cols_zero(s);
        kc_tile_mul(s, a + KC_TILE * k, b + KC_TILE * k);
        kc_cols_save(s, products + 2 * KC_TILE * k);
        kc_cols_zero(s);
        kc_cols_take(s, mont->left);
    }
    s->c[KC_TILE] = _mm512_add_epi64(s->c[KC_TILE], *above);
    *above = _mm512_setzero_si512();
    KC_UNROLL
    for (unsigned i = first; 2 * i < k; i++) {
        const unsigned j = k - i;
        __m512i x = sum10(fold->pair[0], a + KC_TILE * i, a + KC_TILE * j);
        __m512i y = sum10(fold->pair[1], b + KC_TILE * i, b + KC_TILE * j);
        tile_of_sums(s, fold->pair[0], x, fold->pair[1], y, NULL, 0, 0, 0);
        *above = _mm512_add_epi64(*above, carries_product(x, y));
        subtract20(s, products + 2 * KC_TILE * i);
        subtract20(s, products + 2 * KC_TILE * j);
    }
    if (k % 2 == 0) {
        kc_cols_add(s, products + KC_TILE * k);
    }
}

KC_IFMA_INLINE void fold_product(struct kc_fold *fold, const struct kc_mont *mont,
                                 const unsigned blocks, const enum product product, __m512i *r,
                                 const __m512i *a, const __m512i *b, const struct kc_scan *scan)
{
    const unsigned low = blocks - 2; /* quotient blocks */
    __m512i above = _mm512_setzero_si512();
    struct kc_cols s;
    kc_cols_zero(&s);
    KC_UNROLL
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        if (product == SQUARE) {
            square_column(&s, blocks, k, a, mont);
        } else {
            mixed_column(&s, fold, mont, blocks, k, a, b, &above);
        }
        if (k < 2) {
            take_block(fold, &s, blocks, k);
            if (k == 1) {
                cross_blocks(fold, mont, &s);
            }
            continue;
        }
        fold_block(fold, &s, blocks, k - 2, scan);
        if (k - 2 < low) {
            reduce_low(&s, mont, blocks, k - 2, NULL);
        } else {
            reduce_high(&s, mont, blocks, low, k - 2, r + KC_TILE * (k - blocks), NULL);
        }
        kc_cols_shift(&s);
    }
    if (blocks == 3) {
        subtract10(&s, fold->ab + KC_TILE * blocks);
    }
    (void)finish_columns(r + KC_TILE * (blocks - 1), s.c);
}

/* The block count is a constant in each. */
KC_IFMA static void sqr_3(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                          const __m512i *a)
{
    fold_product(fold, mont, 3, SQUARE, r, a, a, NULL);
}

KC_IFMA static void sqr_4(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                          const __m512i *a)
{
    fold_product(fold, mont, 4, SQUARE, r, a, a, NULL);
}

KC_IFMA static void sqr_scan_3(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                               const __m512i *a, const struct kc_scan *scan)
{
    fold_product(fold, mont, 3, SQUARE, r, a, a, scan);
}

KC_IFMA static void sqr_scan_4(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                               const __m512i *a, const struct kc_scan *scan)
{
    fold_product(fold, mont, 4, SQUARE, r, a, a, scan);
}

KC_IFMA static void mul_3(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                          const __m512i *a, const __m512i *b)
{
    fold_product(fold, mont, 3, MULTIPLY, r, a, b, NULL);
}

KC_IFMA static void mul_4(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                          const __m512i *a, const __m512i *b)
{
    fold_product(fold, mont, 4, MULTIPLY, r, a, b, NULL);
}

KC_IFMA void kc_fold_sqr(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                         const __m512i *a, const struct kc_scan *scan)
{
    if (scan) {
        (mont->blocks == 3 ? sqr_scan_3 : sqr_scan_4)(fold, mont, r, a, scan);
    } else {
        (mont->blocks == 3 ? sqr_3 : sqr_4)(fold, mont, r, a);
    }
}

KC_IFMA void kc_fold_mul(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                         const __m512i *a, const __m512i *b)
{
    (mont->blocks == 3 ? mul_3 : mul_4)(fold, mont, r, a, b);
}

KC_IFMA void kc_fold_prepare(struct kc_fold *fold, const struct kc_mont *mont)
{
    __m512i *one = fold->left[0];
    struct kc_cols s;
    for (unsigned d = 0; d < KC_TILE * mont->blocks; d++) {
        one[d] = _mm512_set1_epi64(d == 0);
    }
    kc_mont_divide(mont, 2, fold->a, one);
    kc_mont_divide(mont, 1, fold->b, one);
    kc_cols_zero(&s);
    for (unsigned j = 0; j < mont->blocks; j++) {
        kc_tile_mul(&s, fold->a + KC_TILE * j, fold->b + KC_TILE * j);
        s.c[KC_TILE] = _mm512_add_epi64(s.c[KC_TILE], finish_columns(fold->ab + KC_TILE * j, s.c));
        kc_cols_shift(&s);
    }
    (void)finish_columns(fold->ab + KC_TILE * mont->blocks, s.c);
}
#endif

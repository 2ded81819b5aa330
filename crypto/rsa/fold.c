#if defined(__x86_64__)
#if defined(__clang__)
#define KC_UNROLL /* clang keeps the columns in registers as it is */
#else
#define KC_UNROLL _Pragma("GCC unroll 16")
#endif
#define KC_KARATSUBA 1
#include "crypto/rsa/fold.h"
#include "crypto/rsa/mont_product.h"

/* A scan goes along with the tiles of sums and quotients, a digit every second row: its entries
 * come from the second-level cache, which cannot bring them faster. */
#define SCAN_EVERY  2
#define SCAN_DIGITS (KC_TILE / SCAN_EVERY) /* of a tile */

/** What a tile of sums does beside its multiply-adds, a little in each row. */
struct beside {
    const __m512i *minus;       /* twenty columns to take off, or NULL */
    const struct kc_scan *scan; /* or NULL; SCAN_DIGITS digits from d on */
    unsigned d, stride;
};

/** cols += (x + u) * (y + v), ten digits each; returns what the carries out of both sums add to
 *  column 20. The right sum is made in registers, the left one digit by digit, row by row: neither
 *  is stored, for bursts of stores hold the multiplier up. */
KC_IFMA_INLINE __m512i tile_of_sums(struct kc_cols *s, const __m512i *x, const __m512i *u,
                                    const __m512i *y, const __m512i *v, struct beside beside)
{
    const struct kc_scan scan = beside.scan ? *beside.scan : (struct kc_scan){0};
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    __m512i right[KC_TILE];
    __m512i carry = _mm512_setzero_si512();
#define SUM(i)                                                                                     \
    right[i] = _mm512_add_epi64(_mm512_load_si512(y + (i)), _mm512_load_si512(v + (i)));           \
    right[i] = _mm512_add_epi64(right[i], carry);                                                  \
    carry = _mm512_srli_epi64(right[i], KC_DIGIT);
    KC_EACH10(SUM)
#undef SUM
    const __m512i right_carry =
        _mm512_and_si512(_mm512_sub_epi64(_mm512_setzero_si512(), carry), low);
    carry = _mm512_setzero_si512();
#define ROW(i)                                                                                     \
    do {                                                                                           \
        __m512i left = _mm512_add_epi64(_mm512_load_si512(x + (i)), _mm512_load_si512(u + (i)));   \
        left = _mm512_add_epi64(left, carry);                                                      \
        carry = _mm512_srli_epi64(left, KC_DIGIT);                                                 \
        if (beside.minus) {                                                                        \
            s->c[i] = _mm512_sub_epi64(s->c[i], _mm512_load_si512(beside.minus + (i)));            \
            s->c[(i) + KC_TILE] = _mm512_sub_epi64(                                                \
                s->c[(i) + KC_TILE], _mm512_load_si512(beside.minus + (i) + KC_TILE));             \
        }                                                                                          \
        s->c[(i) + KC_TILE] =                                                                      \
            _mm512_add_epi64(s->c[(i) + KC_TILE], _mm512_and_si512(left, right_carry));            \
        kc_row(s->c + (i), left, right);                                                           \
        if (beside.scan && (i) % SCAN_EVERY == 0) {                                                \
            kc_scan_digit(&scan, beside.d + (i) / SCAN_EVERY, beside.stride);                      \
        }                                                                                          \
    } while (0);
    KC_EACH10(ROW)
#undef ROW
    const __m512i left_carry =
        _mm512_and_si512(_mm512_sub_epi64(_mm512_setzero_si512(), carry), low);
#define CARRY(i)                                                                                   \
    s->c[KC_TILE + (i)] =                                                                          \
        _mm512_add_epi64(s->c[KC_TILE + (i)], _mm512_and_si512(right[i], left_carry));
    KC_EACH10(CARRY)
#undef CARRY
    return _mm512_srli_epi64(_mm512_and_si512(left_carry, right_carry), KC_DIGIT - 1);
}

KC_IFMA_INLINE void subtract10(struct kc_cols *s, const __m512i *digits)
{
#define SUBTRACT(i) s->c[i] = _mm512_sub_epi64(s->c[i], _mm512_load_si512(digits + (i)));
    KC_EACH10(SUBTRACT)
#undef SUBTRACT
}

/** Block k < 2 of a product is complete: takes it out. */
KC_IFMA_INLINE void take_block(struct kc_fold *fold, struct kc_cols *s, unsigned k)
{
    s->c[KC_TILE] = _mm512_add_epi64(s->c[KC_TILE], finish_columns(fold->x + KC_TILE * k, s->c));
    kc_cols_shift(s);
}

/** Columns of x0 * x1, aside. */
KC_IFMA_INLINE void cross_blocks(struct kc_fold *fold, const struct kc_mont *mont,
                                 struct kc_cols *s)
{
    kc_cols_leave(s, mont->left);
    kc_cols_zero(s);
    kc_tile_mul(s, fold->x + KC_TILE, fold->x); /* x1, the newest, digit by digit */
    kc_cols_save(s, fold->x0x1);
    kc_cols_zero(s);
    kc_cols_take(s, mont->left);
}

/** The product of the two quotient blocks joins that of x0 and x1: what is taken off from here on.
 */
KC_IFMA_INLINE void cross_quotients(struct kc_fold *fold, const struct kc_mont *mont,
                                    struct kc_cols *s)
{
    kc_cols_leave(s, mont->left);
    kc_cols_zero(s);
    kc_cols_add(s, fold->x0x1);
    kc_tile_mul(s, mont->q + KC_TILE, mont->q);
    kc_cols_save(s, fold->x0x1);
    kc_cols_zero(s);
    kc_cols_take(s, mont->left);
}

/** Column block k, 2 or 3, of q * m with two quotient blocks:
 *  q0 m[k] + q1 m[k - 1] = (q0 + m[k - 1]) (q1 + m[k]) - q0 q1 - m[k - 1] m[k]; q0 q1 went with
 *  x0 x1 (cross_quotients), the last is in fold->ab. Finishes ten digits of the result. */
KC_IFMA_INLINE __m512i share_quotients(struct kc_cols *s, const struct kc_mont *mont, unsigned k,
                                       __m512i *r, const struct kc_scan *scan, unsigned d)
{
    __m512i above = tile_of_sums(s, mont->q, mont->m + KC_TILE * (k - 1), mont->q + KC_TILE,
                                 mont->m + KC_TILE * k,
                                 (struct beside){.scan = scan, .d = d, .stride = KC_FOLD_DIGITS});
    s->c[KC_TILE] = _mm512_add_epi64(s->c[KC_TILE], finish_columns(r, s->c));
    return above;
}

/** Column block k of quotient times modulus: makes quotient block k, or finishes block k - low of
 *  the result; returns what it leaves for column 20. */
KC_IFMA_INLINE __m512i reduce_block(struct kc_cols *s, const struct kc_mont *mont, unsigned blocks,
                                    unsigned k, __m512i *r, const struct kc_scan *scan)
{
    const unsigned low = blocks - 2; /* quotient blocks */
    const unsigned d = SCAN_DIGITS * (blocks + k);
    const unsigned stride = KC_TILE * blocks;
    const __m512i *last = mont->q + KC_TILE * (low - 1);
    if (k < low) {
        if (k == 1) {
            kc_tile_mul(s, mont->q, mont->m + KC_TILE);
        }
        kc_tile_reduce(s, mont->q + KC_TILE * k, mont->m, mont->k0, scan, d, stride, SCAN_EVERY);
    } else if (low == 2 && k < blocks) {
        return share_quotients(s, mont, k, r + KC_TILE * (k - low), scan, d);
    } else {
        kc_tile_mul_out(s, r + KC_TILE * (k - low), last, mont->m + KC_TILE * (k - low + 1),
                        k < blocks ? scan : NULL, d, stride, SCAN_EVERY);
    }
    return _mm512_setzero_si512();
}

/** Adds block j of x0 * a + x1 * b; returns what it leaves for column 20. */
KC_IFMA_INLINE __m512i fold_block(struct kc_fold *fold, struct kc_cols *s, unsigned blocks,
                                  unsigned j, const struct kc_scan *scan)
{
    if (j <= blocks) {
        subtract10(s, fold->ab + KC_TILE * j);
    }
    if (j < blocks) {
        return tile_of_sums(s, fold->x, fold->b + KC_TILE * j, fold->x + KC_TILE,
                            fold->a + KC_TILE * j,
                            (struct beside){fold->x0x1, scan, SCAN_DIGITS * j, KC_TILE * blocks});
    }
    return _mm512_setzero_si512();
}

/** Adds column block k of a * b, mixed products from sums (Karatsuba):
 *  a[i] b[j] + a[j] b[i] = (a[i] + a[j]) (b[i] + b[j]) - a[i] b[i] - a[j] b[j].
 *  Returns what it leaves for column 20. */
KC_IFMA_INLINE __m512i mixed_column(struct kc_cols *s, const struct kc_mont *mont, unsigned blocks,
                                    unsigned k, const __m512i *a, const __m512i *b)
{
    const unsigned first = k < blocks ? 0 : k - blocks + 1;
    __m512i *products = mont->squares;
    __m512i above = _mm512_setzero_si512();
    if (k < blocks) {
        kc_cols_leave(s, mont->left);
        kc_cols_zero(s);
        kc_tile_mul(s, a + KC_TILE * k, b + KC_TILE * k);
        kc_cols_save(s, products + 2 * KC_TILE * k);
        kc_cols_zero(s);
        kc_cols_take(s, mont->left);
    }
    KC_UNROLL
    for (unsigned i = first; 2 * i < k; i++) {
        const unsigned j = k - i;
        __m512i more =
            tile_of_sums(s, a + KC_TILE * i, a + KC_TILE * j, b + KC_TILE * i, b + KC_TILE * j,
                         (struct beside){.minus = products + 2 * KC_TILE * i});
        above = _mm512_add_epi64(above, more);
        kc_cols_subtract(s, products + 2 * KC_TILE * j);
    }
    if (k % 2 == 0) {
        kc_cols_add(s, products + KC_TILE * k);
    }
    return above;
}

KC_IFMA_INLINE void fold_product(struct kc_fold *fold, const struct kc_mont *mont,
                                 const unsigned blocks, const enum product product, __m512i *r,
                                 const __m512i *a, const __m512i *b, const struct kc_scan *scan)
{
    struct kc_cols s;
    kc_cols_zero(&s);
    __m512i above = _mm512_setzero_si512(); /* for column 20 of the last block column */
    KC_UNROLL
    for (unsigned k = 0; k < 2 * blocks - 1; k++) {
        __m512i next = _mm512_setzero_si512();
        if (product == SQUARE) {
            square_column(&s, blocks, k, a, mont);
        } else {
            next = mixed_column(&s, mont, blocks, k, a, b);
        }
        s.c[KC_TILE] = _mm512_add_epi64(s.c[KC_TILE], above);
        above = next;
        if (k < 2) {
            take_block(fold, &s, k);
            if (k == 1) {
                cross_blocks(fold, mont, &s);
            }
            continue;
        }
        above = _mm512_add_epi64(above, fold_block(fold, &s, blocks, k - 2, scan));
        above = _mm512_add_epi64(above, reduce_block(&s, mont, blocks, k - 2, r, scan));
        kc_cols_shift(&s);
        if (k == 3 && blocks == 4) {
            cross_quotients(fold, mont, &s);
        }
    }
    if (blocks == 3) {
        subtract10(&s, fold->ab + KC_TILE * blocks);
    }
    (void)finish_columns(r + KC_TILE * (blocks - 1), s.c);
}

/* The block count is a constant in each, and whether there is a scan. */
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
    const struct kc_scan local = *scan;
    fold_product(fold, mont, 3, SQUARE, r, a, a, &local);
}

KC_IFMA static void sqr_scan_4(struct kc_fold *fold, const struct kc_mont *mont, __m512i *r,
                               const __m512i *a, const struct kc_scan *scan)
{
    const struct kc_scan local = *scan;
    fold_product(fold, mont, 4, SQUARE, r, a, a, &local);
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
    __m512i one[KC_FOLD_DIGITS];
    struct kc_cols s;
    for (unsigned d = 0; d < KC_TILE * mont->blocks; d++) {
        one[d] = _mm512_set1_epi64(d == 0);
    }
    kc_mont_divide(mont, 2, fold->a, one);
    kc_mont_divide(mont, 1, fold->b, one);
    kc_cols_zero(&s);
    for (unsigned j = 0; j < mont->blocks; j++) {
        kc_tile_mul(&s, fold->a + KC_TILE * j, fold->b + KC_TILE * j);
        if (mont->blocks == 4 && j >= 2) {
            kc_tile_mul(&s, mont->m + KC_TILE * (j - 1), mont->m + KC_TILE * j);
        }
        s.c[KC_TILE] = _mm512_add_epi64(s.c[KC_TILE], finish_columns(fold->ab + KC_TILE * j, s.c));
        kc_cols_shift(&s);
    }
    (void)finish_columns(fold->ab + KC_TILE * mont->blocks, s.c);
}
#endif

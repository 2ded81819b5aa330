#pragma once
/* Register tiles of the eight-lane multiplier.
 *
 * A number is a row of 52-bit digits, one zmm register a digit, one 64-bit lane a request
 * ("slices"). All arithmetic goes through tiles of ten by ten digits: twenty column sums and ten
 * digits of one factor fill the register file, the digits of the other factor stream through the
 * last register. That leaves one load for ten multiply-adds, so the multiplier is what the code
 * waits for.
 *
 * Column sums have twelve spare bits above 52; carries are moved on only when a column is finished.
 * A multiply-add reads the low 52 bits of its factors, so digits whose carry has been passed on may
 * keep it in their upper bits: no masking anywhere but at the very end.
 *
 * Everything here is straight-line: no branch and no address depends on data. */

#include <immintrin.h>
#include <stddef.h>

#define KC_ISA "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,bmi2"
#if defined(__clang__)
#define KC_IFMA __attribute__((target(KC_ISA)))
#else
#define KC_IFMA __attribute__((target(KC_ISA ",tune=znver3"))) /* bench/README.md */
#endif
#define KC_IFMA_INLINE static inline __attribute__((always_inline)) KC_IFMA

#define KC_TILE  10 /* digits of a tile's side */
#define KC_DIGIT 52 /* bits of a digit */

/** Column sums of one block column: ten that the block finishes, ten that the next one takes over.
 */
struct kc_cols {
    __m512i c[2 * KC_TILE];
};

#define KC_SCAN_MASKS 7 /* table entries that one squaring looks at: one mask register each */

/** A constant-time table lookup that hides under a squaring: KC_SCAN_MASKS consecutive entries are
 *  read whole, and in each lane the one whose mask bit is set is merged into `out`. */
struct kc_scan {
    const __m512i *table; /* first of the entries */
    __m512i *out;         /* one entry; zero before the first scan */
    __mmask8 pick[KC_SCAN_MASKS];
};

#define KC_EACH10(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9)

#define KC_EACH20(F) KC_EACH10(F) F(10) F(11) F(12) F(13) F(14) F(15) F(16) F(17) F(18) F(19)

#define KC_LO(sum, x, y) ((sum) = _mm512_madd52lo_epu64((sum), (x), (y)))
#define KC_HI(sum, x, y) ((sum) = _mm512_madd52hi_epu64((sum), (x), (y)))

/** Stores in two halves: a whole zmm store holds the multiplier up for a cycle, two halves do not
 *  (bench/README.md). Only for digits that are not read again at once: no store forwarding. */
KC_IFMA_INLINE void kc_store_late(__m512i *to, __m512i v)
{
    __m256i *half = (__m256i *)to;
    _mm256_store_si256(half, _mm512_castsi512_si256(v));
    _mm256_store_si256(half + 1, _mm512_extracti64x4_epi64(v, 1));
}

/** One row: c += x * y[0..9]. All low halves first: neighbours of one column stay ten apart. */
KC_IFMA_INLINE void kc_row(__m512i *c, __m512i x, const __m512i *y)
{
#define LOW(j)  KC_LO(c[j], x, y[j]);
#define HIGH(j) KC_HI(c[(j) + 1], x, y[j]);
    KC_EACH10(LOW)
    KC_EACH10(HIGH)
#undef LOW
#undef HIGH
}

KC_IFMA_INLINE void kc_load10(__m512i *y, const __m512i *from)
{
#define LOAD(j) y[j] = _mm512_load_si512(from + (j));
    KC_EACH10(LOAD)
#undef LOAD
}

KC_IFMA_INLINE void kc_save10(__m512i *to, const __m512i *y)
{
#define SAVE(j) kc_store_late(to + (j), y[j]);
    KC_EACH10(SAVE)
#undef SAVE
}

/** cols += x * y, ten digits each: 200 multiply-adds. */
KC_IFMA_INLINE void kc_tile_mul(struct kc_cols *s, const __m512i *x, const __m512i *y)
{
    __m512i r[KC_TILE];
    kc_load10(r, y);
#define ROW(i) kc_row(s->c + (i), _mm512_load_si512(x + (i)), r);
    KC_EACH10(ROW)
#undef ROW
}

/** Merges digit d of KC_SCAN_MASKS table entries into scan->out[d], each lane the entry it picked.
 */
KC_IFMA_INLINE void kc_scan_digit(const struct kc_scan *scan, unsigned d, unsigned stride)
{
    const __m512i *entry = scan->table + d;
    __m512i value = _mm512_load_si512(scan->out + d);
#define MERGE(j) value = _mm512_mask_load_epi64(value, scan->pick[j], entry + (j) * (size_t)stride)
    MERGE(0);
    MERGE(1);
    MERGE(2);
    MERGE(3);
    MERGE(4);
    MERGE(5);
    MERGE(6);
#undef MERGE
    kc_store_late(scan->out + d, value);
}

/** kc_tile_mul for the last tile of a finished block column: column i is complete after row i, so
 *  its carry moves on at once and the digit goes to out[i]. `scan` may be NULL; a digit
 *  from d on is looked up every so many rows. */
KC_IFMA_INLINE void kc_tile_mul_out(struct kc_cols *s, __m512i *out, const __m512i *x,
                                    const __m512i *y, const struct kc_scan *scan, unsigned d,
                                    unsigned stride, unsigned every)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    const struct kc_scan local = scan ? *scan : (struct kc_scan){0};
    __m512i r[KC_TILE];
    kc_load10(r, y);
#define ROW(i)                                                                                     \
    kc_row(s->c + (i), _mm512_load_si512(x + (i)), r);                                             \
    _mm512_store_si512(out + (i), _mm512_and_si512(s->c[i], low));                                 \
    s->c[(i) + 1] = _mm512_add_epi64(s->c[(i) + 1], _mm512_srai_epi64(s->c[i], KC_DIGIT));         \
    if (scan && (i) % every == 0) {                                                                \
        kc_scan_digit(&local, d + (i) / every, stride);                                            \
    }
    KC_EACH10(ROW)
#undef ROW
}

#define KC_PAIR_LO(i, j)                                                                           \
    if ((j) > (i)) {                                                                               \
        KC_LO(s->c[(i) + (j)], x[i], x[j]);                                                        \
    }
#define KC_PAIR_HI(i, j)                                                                           \
    if ((j) > (i)) {                                                                               \
        KC_HI(s->c[(i) + (j) + 1], x[i], x[j]);                                                    \
    }
#define KC_EACH_J(F, i) F(i, 1) F(i, 2) F(i, 3) F(i, 4) F(i, 5) F(i, 6) F(i, 7) F(i, 8) F(i, 9)
#define KC_PAIRS(i)                                                                                \
    KC_EACH_J(KC_PAIR_LO, i)                                                                       \
    KC_EACH_J(KC_PAIR_HI, i)

/** Adds the products of different digits of x, once each: 90 multiply-adds. */
KC_IFMA_INLINE void kc_tile_cross(struct kc_cols *s, const __m512i *x){KC_EACH10(KC_PAIRS)}

/** Adds the squares of the digits of x: 20 multiply-adds. */
KC_IFMA_INLINE void kc_tile_diagonal(struct kc_cols *s, const __m512i *x)
{
#define SQUARE(i)                                                                                  \
    KC_LO(s->c[2 * (i)], x[i], x[i]);                                                              \
    KC_HI(s->c[2 * (i) + 1], x[i], x[i]);
    KC_EACH10(SQUARE)
#undef SQUARE
}

/** cols = 2 * (cols + products of different digits of x) + squares of the digits: 110
 * multiply-adds. After row i the columns up to 2i + 2 have all their products, so they are doubled
 * at once: what comes next can start on the low columns while the high ones are still being summed.
 */
KC_IFMA_INLINE void kc_tile_square(struct kc_cols *s, const __m512i *x)
{
#define DOUBLE(n) s->c[n] = _mm512_add_epi64(s->c[n], s->c[n])
    DOUBLE(0);
#define ROW(i)                                                                                     \
    KC_PAIRS(i)                                                                                    \
    DOUBLE(2 * (i) + 1);                                                                           \
    if ((i) < 9) {                                                                                 \
        DOUBLE((2 * (i) + 2) % (2 * KC_TILE));                                                     \
    }                                                                                              \
    KC_LO(s->c[2 * (i)], x[i], x[i]);                                                              \
    KC_HI(s->c[2 * (i) + 1], x[i], x[i]);
    KC_EACH10(ROW)
#undef ROW
#undef DOUBLE
}

/** |x - y| as its digits e and its sign: the difference is e when sign is 0, -(e + 1) when sign is
 *  all ones. Complementing costs no carry chain, negating would. x and y have digits below 2^52. */
KC_IFMA_INLINE __m512i kc_difference(__m512i *e, const __m512i *x, const __m512i *y)
{
    const __m512i low = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    __m512i sign = _mm512_setzero_si512();
#define SUBTRACT(i)                                                                                \
    e[i] = _mm512_sub_epi64(_mm512_load_si512(x + (i)), _mm512_load_si512(y + (i)));               \
    e[i] = _mm512_add_epi64(e[i], sign);                                                           \
    sign = _mm512_srai_epi64(e[i], KC_DIGIT);
    KC_EACH10(SUBTRACT)
#undef SUBTRACT
#define FOLD(i) e[i] = _mm512_and_si512(_mm512_xor_si512(e[i], sign), low);
    KC_EACH10(FOLD)
#undef FOLD
    return sign;
}

/** Adds ten digits where the mask is set. */
KC_IFMA_INLINE void kc_cols_add_where(struct kc_cols *s, const __m512i *x, __m512i mask)
{
#define ADD(i) s->c[i] = _mm512_add_epi64(s->c[i], _mm512_and_si512(x[i], mask));
    KC_EACH10(ADD)
#undef ADD
}

/** cols = -cols where the mask is set. */
KC_IFMA_INLINE void kc_cols_negate_where(struct kc_cols *s, __m512i mask)
{
#define NEGATE(i) s->c[i] = _mm512_sub_epi64(_mm512_xor_si512(s->c[i], mask), mask);
    KC_EACH20(NEGATE)
#undef NEGATE
}

KC_IFMA_INLINE void kc_cols_double(struct kc_cols *s)
{
#define DOUBLE(i) s->c[i] = _mm512_add_epi64(s->c[i], s->c[i]);
    KC_EACH20(DOUBLE)
#undef DOUBLE
}

KC_IFMA_INLINE void kc_cols_zero(struct kc_cols *s)
{
#define ZERO(i) s->c[i] = _mm512_setzero_si512();
    KC_EACH20(ZERO)
#undef ZERO
}

/** All twenty columns to memory. */
KC_IFMA_INLINE void kc_cols_save(const struct kc_cols *s, __m512i *to)
{
#define SAVE(i) kc_store_late(to + (i), s->c[i]);
    KC_EACH20(SAVE)
#undef SAVE
}

/** cols += x, twenty columns in memory. */
KC_IFMA_INLINE void kc_cols_add(struct kc_cols *s, const __m512i *x)
{
#define ADD(i) s->c[i] = _mm512_add_epi64(s->c[i], _mm512_load_si512(x + (i)));
    KC_EACH20(ADD)
#undef ADD
}

/** cols -= x. */
KC_IFMA_INLINE void kc_cols_subtract(struct kc_cols *s, const __m512i *x)
{
#define SUBTRACT(i) s->c[i] = _mm512_sub_epi64(s->c[i], _mm512_load_si512(x + (i)));
    KC_EACH20(SUBTRACT)
#undef SUBTRACT
}

/** cols = x + y - cols. */
KC_IFMA_INLINE void kc_cols_from_sum(struct kc_cols *s, const __m512i *x, const __m512i *y)
{
#define SUBTRACT(i)                                                                                \
    s->c[i] = _mm512_sub_epi64(                                                                    \
        _mm512_add_epi64(_mm512_load_si512(x + (i)), _mm512_load_si512(y + (i))), s->c[i]);
    KC_EACH20(SUBTRACT)
#undef SUBTRACT
}

/** The upper ten columns become the lower ten of the next block column. */
KC_IFMA_INLINE void kc_cols_shift(struct kc_cols *s)
{
#define SHIFT(i)                                                                                   \
    s->c[i] = s->c[(i) + KC_TILE];                                                                 \
    s->c[(i) + KC_TILE] = _mm512_setzero_si512();
    KC_EACH10(SHIFT)
#undef SHIFT
}

/** Adds the ten columns that the block before left over. */
KC_IFMA_INLINE void kc_cols_take(struct kc_cols *s, const __m512i *left)
{
#define TAKE(i) s->c[i] = _mm512_add_epi64(s->c[i], _mm512_load_si512(left + (i)));
    KC_EACH10(TAKE)
#undef TAKE
}

/** Leaves the lower ten columns in memory while the registers serve another product: whole stores,
 *  for they are taken back soon. */
KC_IFMA_INLINE void kc_cols_leave(const struct kc_cols *s, __m512i *left)
{
#define LEAVE(i) _mm512_store_si512(left + (i), s->c[i]);
    KC_EACH10(LEAVE)
#undef LEAVE
}

/** Montgomery reduction of the lower ten columns (210 multiply-adds): makes the ten quotient digits
 *  q, adds q * m to the columns and passes the carry of the cleared ones on.
 *
 *  The digit after next waits for q of this row (4 cycles), its product with m[0] (4), the carry
 *  (2): the rest of the row is placed around that chain so that it never shows. With `scan` it
 *  does the lookup of 10 / every digits from d on besides. */
KC_IFMA_INLINE void kc_tile_reduce(struct kc_cols *s, __m512i *q_out, const __m512i *m, __m512i k0,
                                   const struct kc_scan *scan, unsigned d, unsigned stride,
                                   unsigned every)
{
    const struct kc_scan local = scan ? *scan : (struct kc_scan){0};
    __m512i r[KC_TILE];
    const __m512i round = _mm512_set1_epi64((1LL << KC_DIGIT) - 1);
    kc_load10(r, m);
    __m512i q = _mm512_madd52lo_epu64(_mm512_setzero_si512(), s->c[0], k0);
#define ROW(i)                                                                                     \
    do {                                                                                           \
        __m512i *c = s->c + (i);                                                                   \
        __m512i next;                                                                              \
        _mm512_store_si512(q_out + (i), q);                                                        \
        c[0] = _mm512_srai_epi64(_mm512_add_epi64(c[0], round), KC_DIGIT);                         \
        KC_LO(c[1], q, r[1]);                                                                      \
        KC_LO(c[2], q, r[2]);                                                                      \
        KC_LO(c[3], q, r[3]);                                                                      \
        KC_LO(c[4], q, r[4]);                                                                      \
        KC_HI(c[1], q, r[0]);                                                                      \
        KC_LO(c[5], q, r[5]);                                                                      \
        KC_LO(c[6], q, r[6]);                                                                      \
        KC_LO(c[7], q, r[7]);                                                                      \
        KC_LO(c[8], q, r[8]);                                                                      \
        c[1] = _mm512_add_epi64(c[1], c[0]);                                                       \
        KC_LO(c[9], q, r[9]);                                                                      \
        next = _mm512_madd52lo_epu64(_mm512_setzero_si512(), c[1], k0);                            \
        KC_HI(c[2], q, r[1]);                                                                      \
        KC_HI(c[3], q, r[2]);                                                                      \
        KC_HI(c[4], q, r[3]);                                                                      \
        KC_HI(c[5], q, r[4]);                                                                      \
        KC_HI(c[6], q, r[5]);                                                                      \
        KC_HI(c[7], q, r[6]);                                                                      \
        KC_HI(c[8], q, r[7]);                                                                      \
        KC_HI(c[9], q, r[8]);                                                                      \
        KC_HI(c[10], q, r[9]);                                                                     \
        q = next;                                                                                  \
        if (scan && (i) % every == 0) {                                                            \
            kc_scan_digit(&local, d + (i) / every, stride);                                        \
        }                                                                                          \
    } while (0);
    KC_EACH10(ROW)
#undef ROW
    (void)q;
}

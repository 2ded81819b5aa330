#pragma once
/* Tiles of five by five digits, for quad.c.
 *
 * A tile has 50 multiply-adds and ten column sums. The processor looks ahead about as far as one
 * tile and a half, which is less than the carries and sums between tiles take in a row; whatever
 * is not a multiply-add therefore goes along in the rows of a tile that does not depend on it: the
 * carries of the block that was finished before it, the right factor of the tile that comes after
 * it, the lookup in the table. The order of the source is what counts, so gcc may not change it
 * (crypto/CMakeLists.txt). */

#include "crypto/rsa/quad.h"

#define SIDE    KC_QUAD_SIDE
#define EACH(F) F(0) F(1) F(2) F(3) F(4)

#define BLOCK(number, k) ((number) + SIDE * (k))

/** The right factor of the next tile, prepared digit by digit. */
enum factor { NOTHING, PLAIN, TWICE, SUM, TWICE_SUM, SUM_OF_SUMS };

/** Columns of a finished block, and where their digits go. */
struct block {
    __m512i c[SIDE];
    __m512i *out;
};

/** What goes along in the rows of a tile; absent members are left out. */
struct beside {
    const __m512i *minus; /* ten columns, taken off those of the tile */
    __m512i *save;        /* gets the ten columns */
    enum factor factor;   /* of p, or p and s, or (p + s) + (p2 + s2) goes to y */
    __m512i *y;
    const __m512i *p, *s, *p2, *s2;
    struct block *block;        /* put out; */
    __m512i *carry;             /* its last carry goes here */
    const struct kc_pick *pick; /* digit d of it, eight entries a row */
    unsigned d;
    __m512i *found; /* so far */
};

#define BESIDE(...) (&(struct beside){__VA_ARGS__})
#define ALONE       (&(struct beside){0})

KC_IFMA_INLINE __m512i add(__m512i a, __m512i b)
{
    return _mm512_add_epi64(a, b);
}

KC_IFMA_INLINE __m512i sub(__m512i a, __m512i b)
{
    return _mm512_sub_epi64(a, b);
}

KC_IFMA_INLINE __m512i low_bits(unsigned bits)
{
    return _mm512_set1_epi64((1LL << bits) - 1);
}

KC_IFMA_INLINE void load5(__m512i *to, const __m512i *from)
{
#define LOAD(i) to[i] = _mm512_load_si512(from + (i));
    EACH(LOAD)
#undef LOAD
}

KC_IFMA_INLINE void copy5(__m512i *to, const __m512i *from)
{
#define COPY(i) to[i] = from[i];
    EACH(COPY)
#undef COPY
}

KC_IFMA_INLINE void save5(__m512i *to, const __m512i *from)
{
#define SAVE(i) kc_store_late(to + (i), from[i]);
    EACH(SAVE)
#undef SAVE
}

KC_IFMA_INLINE void add5(__m512i *c, const __m512i *from)
{
#define ADD(i) c[i] = add(c[i], _mm512_load_si512(from + (i)));
    EACH(ADD)
#undef ADD
}

KC_IFMA_INLINE void sub5(__m512i *c, const __m512i *from)
{
#define SUB(i) c[i] = sub(c[i], _mm512_load_si512(from + (i)));
    EACH(SUB)
#undef SUB
}

KC_IFMA_INLINE void zero5(__m512i *c)
{
#define ZERO(i) c[i] = _mm512_setzero_si512();
    EACH(ZERO)
#undef ZERO
}

KC_IFMA_INLINE void zero10(__m512i *c)
{
    zero5(c);
    zero5(c + SIDE);
}

/** The upper five columns, in their weight as the lower ones of the next block: a block has three
 *  bits less than five digits. */
KC_IFMA_INLINE void weigh(__m512i *low, const __m512i *high)
{
#define WEIGH(i) low[i] = _mm512_slli_epi64(high[i], SIDE * KC_DIGIT - KC_QUAD_BITS);
    EACH(WEIGH)
#undef WEIGH
}

KC_IFMA_INLINE void next_block(__m512i *c)
{
    weigh(c, c + SIDE);
    zero5(c + SIDE);
}

/** The lower five columns are complete: sets them aside. */
KC_IFMA_INLINE void finish(__m512i *c, struct block *block, __m512i *out)
{
    copy5(block->c, c);
    block->out = out;
    next_block(c);
}

/** Digit i of a finished block; the carry out of the last one belongs to column 0 of the next. */
KC_IFMA_INLINE void put_digit(unsigned i, struct block *block, __m512i *carry)
{
    const unsigned bits = i + 1 < SIDE ? KC_DIGIT : KC_QUAD_TOP;
    __m512i *to = i + 1 < SIDE ? &block->c[i + 1] : carry;
    *to = add(*to, _mm512_srai_epi64(block->c[i], bits));
    _mm512_store_si512(block->out + i, _mm512_and_si512(block->c[i], low_bits(bits)));
}

/** Digit i of the next right factor. Its carry may stay in its upper bits. */
KC_IFMA_INLINE void prepare_digit(unsigned i, const struct beside *b)
{
    if (b->factor == NOTHING) {
        return;
    }
    __m512i digit = _mm512_load_si512(b->p + i);
    if (b->factor == SUM || b->factor == TWICE_SUM || b->factor == SUM_OF_SUMS) {
        digit = add(digit, _mm512_load_si512(b->s + i));
    }
    if (b->factor == SUM_OF_SUMS) {
        digit = add(digit, add(_mm512_load_si512(b->p2 + i), _mm512_load_si512(b->s2 + i)));
    }
    if (b->factor == TWICE || b->factor == TWICE_SUM) {
        digit = add(digit, digit);
    }
    if (b->factor != PLAIN && i > 0) {
        digit = add(digit, _mm512_srli_epi64(b->y[i > 0 ? i - 1 : 0], KC_DIGIT));
    }
    b->y[i] = digit;
}

/** Digit d of entries 8i to 8i + 7: the one whose lower three bits are right. */
KC_IFMA_INLINE __m512i pick_of_eight(unsigned i, const struct kc_pick *pick, unsigned d)
{
    const __m512i *entry = pick->table + (size_t)8 * i * KC_QUAD_DIGITS + d;
    __m512i two[4];
#define TWO(n)                                                                                     \
    two[n] = _mm512_mask_load_epi64(_mm512_load_si512(entry + 2 * (n) * (size_t)KC_QUAD_DIGITS),   \
                                    pick->bit[0], entry + (2 * (n) + 1) * (size_t)KC_QUAD_DIGITS);
    TWO(0)
    TWO(1)
    two[0] = _mm512_mask_mov_epi64(two[0], pick->bit[1], two[1]);
    TWO(2)
    TWO(3)
#undef TWO
    two[2] = _mm512_mask_mov_epi64(two[2], pick->bit[1], two[3]);
    return _mm512_mask_mov_epi64(two[0], pick->bit[2], two[2]);
}

/** Row i of the lookup of digit d: the fourth row finds it. */
KC_IFMA_INLINE void pick_digit(unsigned i, const struct beside *b)
{
    if (i >= 4) {
        return;
    }
    __m512i digit = pick_of_eight(i, b->pick, b->d);
    *b->found =
        i == 0 ? digit : _mm512_mask_mov_epi64(*b->found, b->pick->group[i > 0 ? i - 1 : 0], digit);
    if (i == 3) {
        kc_store_late(b->pick->out + b->d, *b->found);
    }
}

/** The part of row i that is not the tile's own. */
KC_IFMA_INLINE void go_along(unsigned i, const struct beside *b)
{
    if (b->block) {
        put_digit(i, b->block, b->carry);
    }
    prepare_digit(i, b);
    if (b->pick) {
        pick_digit(i, b);
    }
}

/** The left factor of a tile: the sum of one, two or four blocks. */
struct left {
    const __m512i *a, *b, *c, *d;
};

#define LEFT(x)               (&(struct left){.a = (x)})
#define LEFT_SUM(x, y)        (&(struct left){.a = (x), .b = (y)})
#define LEFT_SUMS(x, y, z, w) (&(struct left){.a = (x), .b = (y), .c = (z), .d = (w)})

/** Digit i of it; `carry` goes from one to the next. */
KC_IFMA_INLINE __m512i left_digit(unsigned i, const struct left *left, __m512i *carry)
{
    __m512i digit = _mm512_load_si512(left->a + i);
    if (!left->b) {
        return digit;
    }
    digit = add(digit, _mm512_load_si512(left->b + i));
    if (left->c) {
        digit = add(digit, add(_mm512_load_si512(left->c + i), _mm512_load_si512(left->d + i)));
    }
    if (i > 0) {
        digit = add(digit, *carry);
    }
    *carry = _mm512_srli_epi64(digit, KC_DIGIT);
    return digit;
}

/** c += x * y[0..4] */
KC_IFMA_INLINE void row(__m512i *c, __m512i x, const __m512i *y)
{
#define LOW(j)  KC_LO(c[j], x, y[j]);
#define HIGH(j) KC_HI(c[(j) + 1], x, y[j]);
    EACH(LOW)
    EACH(HIGH)
#undef LOW
#undef HIGH
}

/** c += left * y: 50 multiply-adds. */
KC_IFMA_INLINE void tile(__m512i *c, const struct left *left, const __m512i *y,
                         const struct beside *b)
{
    __m512i carry = _mm512_setzero_si512();
#define ROW(i)                                                                                     \
    do {                                                                                           \
        __m512i x = left_digit(i, left, &carry);                                                   \
        if (b->minus) {                                                                            \
            c[i] = sub(c[i], _mm512_load_si512(b->minus + (i)));                                   \
            c[(i) + SIDE] = sub(c[(i) + SIDE], _mm512_load_si512(b->minus + (i) + SIDE));          \
        }                                                                                          \
        row(c + (i), x, y);                                                                        \
        if (b->save) { /* column i has all its products now */                                     \
            _mm512_store_si512(b->save + (i), c[i]);                                               \
        }                                                                                          \
        go_along(i, b);                                                                            \
    } while (0);
    EACH(ROW)
#undef ROW
#define SAVE(i)                                                                                    \
    if (b->save) {                                                                                 \
        _mm512_store_si512(b->save + SIDE + (i), c[SIDE + (i)]);                                   \
    }
    EACH(SAVE)
#undef SAVE
}

/** c = x^2 + the lower five columns of c: 30 multiply-adds. Row by row: products of different
 *  digits, the columns that are complete but for squares doubled, what was there added, squares. */
KC_IFMA_INLINE void square(__m512i *c, const __m512i *x, const struct beside *b)
{
    __m512i before[SIDE];
    copy5(before, c);
    zero5(c);
    zero5(c + SIDE);
#define PAIR_LO(i, j)                                                                              \
    if ((j) > (i)) {                                                                               \
        KC_LO(c[(i) + (j)], x[i], x[j]);                                                           \
    }
#define PAIR_HI(i, j)                                                                              \
    if ((j) > (i)) {                                                                               \
        KC_HI(c[(i) + (j) + 1], x[i], x[j]);                                                       \
    }
#define PAIRS(F, i) F(i, 1) F(i, 2) F(i, 3) F(i, 4)
#define DOUBLE(n)                                                                                  \
    if ((n) > 0 && (n) + 1 < 2 * SIDE) {                                                           \
        c[n] = add(c[n], c[n]);                                                                    \
    }                                                                                              \
    if ((n) < SIDE) {                                                                              \
        c[n] = add(c[n], before[(n) % SIDE]);                                                      \
    }
#define ROW(i)                                                                                     \
    PAIRS(PAIR_LO, i)                                                                              \
    PAIRS(PAIR_HI, i)                                                                              \
    DOUBLE(2 * (i))                                                                                \
    DOUBLE(2 * (i) + 1)                                                                            \
    KC_LO(c[2 * (i)], x[i], x[i]);                                                                 \
    KC_HI(c[2 * (i) + 1], x[i], x[i]);                                                             \
    go_along(i, b);
    EACH(ROW)
#undef ROW
#undef DOUBLE
#undef PAIRS
#undef PAIR_HI
#undef PAIR_LO
}

/** Clears the lower block of c by a quotient block (51 multiply-adds), and in the same rows
 *  d += left * y: the quotient's digits wait for each other, the tile fills the gaps. Then d takes
 *  over what is left of c. q in registers and in q_out.
 *
 *  The carry of a cleared column needs no multiply-add, for q * m[0] cancels its low 52 bits; only
 *  the last column, cleared to 49, does. */
KC_IFMA_INLINE void reduce_beside(__m512i *c, __m512i *q, const struct kc_quad *quad,
                                  __m512i *q_out, __m512i *d, const struct left *left,
                                  const __m512i *y, const struct beside *b)
{
    const __m512i *m = quad->m;
    const __m512i zero = _mm512_setzero_si512();
    __m512i carry = zero;
    q[0] = _mm512_madd52lo_epu64(zero, c[0], quad->k0);
#define ROW(i)                                                                                     \
    do {                                                                                           \
        __m512i x = left_digit(i, left, &carry);                                                   \
        __m512i next = zero;                                                                       \
        if ((i) + 1 == SIDE) {                                                                     \
            q[i] = _mm512_and_si512(q[i], low_bits(KC_QUAD_TOP));                                  \
            KC_LO(c[i], q[i], m[0]);                                                               \
        }                                                                                          \
        _mm512_store_si512(q_out + (i), q[i]);                                                     \
        KC_LO(d[i], x, y[0]);                                                                      \
        KC_LO(d[(i) + 1], x, y[1]);                                                                \
        KC_HI(c[(i) + 1], q[i], m[0]);                                                             \
        KC_LO(next, q[i], m[1]);                                                                   \
        if ((i) + 1 < SIDE) {                                                                      \
            next = add(next, _mm512_srai_epi64(add(c[i], low_bits(KC_DIGIT)), KC_DIGIT));          \
        }                                                                                          \
        c[(i) + 1] = add(c[(i) + 1], next);                                                        \
        KC_LO(c[(i) + 2], q[i], m[2]);                                                             \
        KC_LO(d[(i) + 2], x, y[2]);                                                                \
        KC_LO(d[(i) + 3], x, y[3]);                                                                \
        KC_LO(c[(i) + 3], q[i], m[3]);                                                             \
        KC_LO(c[(i) + 4], q[i], m[4]);                                                             \
        KC_LO(d[(i) + 4], x, y[4]);                                                                \
        KC_HI(d[(i) + 1], x, y[0]);                                                                \
        if ((i) + 1 < SIDE) {                                                                      \
            q[((i) + 1) % SIDE] = _mm512_madd52lo_epu64(zero, c[(i) + 1], quad->k0);               \
        }                                                                                          \
        KC_HI(c[(i) + 2], q[i], m[1]);                                                             \
        KC_HI(d[(i) + 2], x, y[1]);                                                                \
        KC_HI(c[(i) + 3], q[i], m[2]);                                                             \
        KC_HI(d[(i) + 3], x, y[2]);                                                                \
        KC_HI(c[(i) + 4], q[i], m[3]);                                                             \
        KC_HI(d[(i) + 4], x, y[3]);                                                                \
        KC_HI(c[(i) + 5], q[i], m[4]);                                                             \
        KC_HI(d[(i) + 5], x, y[4]);                                                                \
        go_along(i, b);                                                                            \
    } while (0);
    EACH(ROW)
#undef ROW
    d[0] = add(d[0], _mm512_srai_epi64(c[SIDE - 1], KC_QUAD_TOP));
    weigh(c, c + SIDE);
#define TAKE(i) d[i] = add(d[i], c[i]);
    EACH(TAKE)
#undef TAKE
}

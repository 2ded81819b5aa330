#if defined(__x86_64__)
#include "crypto/rsa/quad.h"

#include "crypto/rsa/quad_tile.h"

/* The order of a product a * b, or a * a:
 *   1. the product of the lower halves: its blocks 0 and 1 are x0 and x1, the other two stay;
 *   2. the product of the upper halves: two blocks of it are those on top of everything;
 *   3. the product of the sums of the halves, column by column from block 2 on, each column with
 * its part of the reduction. Steps 1 and 2 leave the blocks of low + B^2 (sums - low - high) + B^4
 * high in `split` = upper half of low - lower half of high, and `high`. */

/** c is the product of two lower blocks, h that of the upper ones: puts the lowest block aside and
 *  makes c what the product of the sums is to be added to for the two blocks between. */
KC_IFMA_INLINE void open_pair(__m512i *c, const __m512i *h, struct block *block, __m512i *out)
{
    __m512i weighed[SIDE];
    weigh(weighed, c + SIDE);
    copy5(block->c, c);
    block->out = out;
#define OPEN(i)                                                                                    \
    c[i] = sub(weighed[i], add(c[i], h[i]));                                                       \
    c[(i) + SIDE] = sub(_mm512_setzero_si512(), add(c[(i) + SIDE], h[(i) + SIDE]));
    EACH(OPEN)
#undef OPEN
}

/** Columns of x0 x1; y is x1, and becomes the next right factor. */
KC_IFMA_INLINE void cross_blocks(struct kc_quad *quad, __m512i *y, const __m512i *p,
                                 const __m512i *s)
{
    __m512i c[2 * SIDE], next[SIDE];
    zero10(c);
    tile(c, LEFT(quad->x), y,
         BESIDE(.save = quad->cross01, .factor = SUM, .y = next, .p = p, .s = s));
    copy5(y, next);
}

/** Adds block j of x0 c0 + x1 c1 but for what is subtracted: y is x1 + c0[j]. */
#define FOLD(c, j, y, ...) tile(c, LEFT_SUM(quad->x, BLOCK(quad->c1, j)), y, BESIDE(__VA_ARGS__))

/** Adds block j of x2 c2 + q m and takes the cross products off: y is q + c2[j]. */
#define FOLD_QUOTIENT(c, j, y, ...)                                                                \
    tile(c, LEFT_SUM(BLOCK(quad->x, 2), BLOCK(quad->m, j)), y,                                     \
         BESIDE(.minus = quad->crosses, __VA_ARGS__))

#define NEXT_FOLD(j)          .factor = SUM, .y = next, .p = BLOCK(quad->x, 1), .s = BLOCK(quad->c0, j)
#define NEXT_FOLD_QUOTIENT(j) .factor = SUM, .y = next, .p = quad->q, .s = BLOCK(quad->c2, j)
#define PICK(digit)           .pick = pick, .d = (digit), .found = &found

/** Columns of x0 x1 + x2 q. */
KC_IFMA_INLINE void cross_quotient(struct kc_quad *quad, const __m512i *q)
{
    __m512i c[2 * SIDE];
    load5(c, quad->cross01);
    load5(c + SIDE, quad->cross01 + SIDE);
    tile(c, LEFT(BLOCK(quad->x, 2)), q, BESIDE(.save = quad->crosses));
}

/** Whether columns of a product wait in `middle`; those of a square do not. */
enum parts { OF_SQUARE, OF_PRODUCT };

/** The result from block 3 on. c: columns of block 3, complete but for the quotient. g: what is
 *  there of block 4. y: x1 + c0[1]. */
KC_IFMA_INLINE void reduce(struct kc_quad *quad, __m512i *r, __m512i *c, __m512i *g, __m512i *y,
                           const enum parts parts, const struct kc_pick *pick)
{
    __m512i q[SIDE], next[SIDE], found;
    struct block block;
    reduce_beside(c, q, quad, quad->q, g, LEFT_SUM(quad->x, BLOCK(quad->c1, 1)), y,
                  BESIDE(PICK(1)));
    cross_quotient(quad, q);
#define PREPARE(i) prepare_digit(i, BESIDE(NEXT_FOLD_QUOTIENT(1)));
    EACH(PREPARE)
#undef PREPARE
    copy5(y, next);
    FOLD_QUOTIENT(g, 1, y, NEXT_FOLD(2));
    finish(g, &block, r);

    sub5(g, quad->split + SIDE);
    sub5(g, quad->high + SIDE);
    sub5(g, BLOCK(quad->twins, 2));
    if (parts == OF_PRODUCT) {
        add5(g, quad->middle + SIDE);
    }
    copy5(y, next);
    FOLD(g, 2, y, .block = &block, .carry = g, PICK(2), NEXT_FOLD_QUOTIENT(2));
    copy5(y, next);
    FOLD_QUOTIENT(g, 2, y, NEXT_FOLD(3));
    finish(g, &block, BLOCK(r, 1));

    add5(g, quad->high);
    sub5(g, BLOCK(quad->twins, 3));
    copy5(y, next);
    FOLD(g, 3, y, .block = &block, .carry = g, PICK(3), NEXT_FOLD_QUOTIENT(3));
    copy5(y, next);
    FOLD_QUOTIENT(g, 3, y, .block = NULL);
    finish(g, &block, BLOCK(r, 2));

    add5(g, quad->high + SIDE);
    sub5(g, BLOCK(quad->twins, 4));
#define PUT(i) put_digit(i, &block, g);
    EACH(PUT)
    finish(g, &block, BLOCK(r, 3));
    EACH(PUT)
#undef PUT
}

KC_IFMA_INLINE void quad_sqr(struct kc_quad *quad, __m512i *r, const __m512i *a,
                             const struct kc_pick *pick)
{
    __m512i c[2 * SIDE], g[2 * SIDE], y[SIDE], next[SIDE], found;
    struct block block;
    /* lower half squared */
    zero5(c);
    load5(y, a);
    square(c, y, BESIDE(.factor = TWICE, .y = next, .p = a));
    finish(c, &block, quad->x);
    copy5(y, next);
    tile(c, LEFT(BLOCK(a, 1)), y,
         BESIDE(.block = &block, .carry = c, .factor = PLAIN, .y = next, .p = BLOCK(a, 1)));
    finish(c, &block, BLOCK(quad->x, 1));
    copy5(y, next);
    square(c, y, BESIDE(.block = &block, .carry = c, .factor = PLAIN, .y = next, .p = BLOCK(a, 2)));
    weigh(c + SIDE, c + SIDE);

    /* upper half squared; c becomes the columns of block 2 */
    zero5(g);
    copy5(y, next);
    square(g, y, BESIDE(.factor = TWICE, .y = next, .p = BLOCK(a, 2)));
#define SPLIT(i)                                                                                   \
    c[i] = sub(c[i], g[i]);                                                                        \
    kc_store_late(quad->split + (i), c[i]);                                                        \
    c[i] = sub(c[i], _mm512_load_si512(quad->x + (i)));
    EACH(SPLIT)
#undef SPLIT
    next_block(g);
    copy5(y, next);
    tile(g, LEFT(BLOCK(a, 3)), y, BESIDE(.factor = PLAIN, .y = next, .p = BLOCK(a, 3)));
#define SPLIT(i) kc_store_late(quad->split + SIDE + (i), sub(c[(i) + SIDE], g[i]));
    EACH(SPLIT)
#undef SPLIT
    next_block(g);
    copy5(y, next);
    square(g, y, BESIDE(.factor = PLAIN, .y = next, .p = BLOCK(quad->x, 1)));
    save5(quad->high, g);
    next_block(g);
    save5(quad->high + SIDE, g);

    copy5(y, next);
    cross_blocks(quad, y, a, BLOCK(a, 2));

    /* the sums squared */
    square(c, y, BESIDE(.factor = TWICE_SUM, .y = next, .p = a, .s = BLOCK(a, 2)));
    finish(c, &block, BLOCK(quad->x, 2));
    add5(c, quad->split + SIDE);
    sub5(c, BLOCK(quad->x, 1));
    sub5(c, quad->twins);
    copy5(y, next);
    tile(c, LEFT_SUM(BLOCK(a, 1), BLOCK(a, 3)), y,
         BESIDE(.block = &block, .carry = c, NEXT_FOLD(0)));
    copy5(y, next);
    FOLD(c, 0, y, .minus = quad->cross01, PICK(0), .factor = PLAIN, .y = next, .p = quad->c2);
    copy5(y, next);
    tile(c, LEFT(BLOCK(quad->x, 2)), y,
         BESIDE(.factor = SUM, .y = next, .p = BLOCK(a, 1), .s = BLOCK(a, 3)));
    zero5(g);
    sub5(g, quad->split);
    sub5(g, quad->high);
    sub5(g, BLOCK(quad->twins, 1));
    copy5(y, next);
    square(g, y, BESIDE(NEXT_FOLD(1)));
    copy5(y, next);
    reduce(quad, r, c, g, y, OF_SQUARE, pick);
}

/** Blocks 0 and 1 of the product of the lower halves are put out, block 1 in `block` yet; c: blocks
 * 2 and, in `middle`, 3. y: b[0], then b[2]. */
KC_IFMA_INLINE void multiply_low(struct kc_quad *quad, __m512i *c, struct block *block, __m512i *y,
                                 const __m512i *a, const __m512i *b)
{
    __m512i h[2 * SIDE], next[SIDE];
    zero10(c);
    tile(c, LEFT(a), y, BESIDE(.factor = PLAIN, .y = next, .p = BLOCK(b, 1)));
    copy5(y, next);
    zero10(h);
    tile(h, LEFT(BLOCK(a, 1)), y, BESIDE(.factor = SUM, .y = next, .p = b, .s = BLOCK(b, 1)));
    open_pair(c, h, block, quad->x);
    copy5(y, next);
    tile(c, LEFT_SUM(a, BLOCK(a, 1)), y,
         BESIDE(.block = block, .carry = c, .factor = PLAIN, .y = next, .p = BLOCK(b, 2)));
    finish(c, block, BLOCK(quad->x, 1));
#define TAKE(i) c[i] = add(c[i], h[i]);
    EACH(TAKE)
#undef TAKE
    weigh(h, h + SIDE);
    save5(quad->middle + SIDE, h);
    copy5(y, next);
}

/** The product of the upper halves, to `split` and `high`; c and block as multiply_low left them.
 *  y: b[2], then x1. */
KC_IFMA_INLINE void multiply_high(struct kc_quad *quad, __m512i *c, struct block *block, __m512i *y,
                                  const __m512i *a, const __m512i *b)
{
    __m512i g[2 * SIDE], h[2 * SIDE], next[SIDE];
    zero10(g);
    tile(g, LEFT(BLOCK(a, 2)), y,
         BESIDE(.block = block, .carry = c, .factor = PLAIN, .y = next, .p = BLOCK(b, 3)));
#define SPLIT(i) kc_store_late(quad->split + (i), sub(c[i], g[i]));
    EACH(SPLIT)
#undef SPLIT
    copy5(y, next);
    zero10(h);
    tile(h, LEFT(BLOCK(a, 3)), y,
         BESIDE(.factor = SUM, .y = next, .p = BLOCK(b, 2), .s = BLOCK(b, 3)));
    open_pair(g, h, block, NULL); /* its lowest block is in `split` */
    copy5(y, next);
    tile(g, LEFT_SUM(BLOCK(a, 2), BLOCK(a, 3)), y,
         BESIDE(.factor = PLAIN, .y = next, .p = BLOCK(quad->x, 1)));
#define SPLIT(i)                                                                                   \
    kc_store_late(quad->split + SIDE + (i),                                                        \
                  sub(_mm512_load_si512(quad->middle + SIDE + (i)), g[i]));
    EACH(SPLIT)
#undef SPLIT
    next_block(g);
#define TAKE(i) g[i] = add(g[i], h[i]);
    EACH(TAKE)
#undef TAKE
    save5(quad->high, g);
    weigh(h, h + SIDE);
    save5(quad->high + SIDE, h);
    copy5(y, next);
}

/** Blocks 2 and 3 from the product of the sums of the halves, what it has above in `middle`; c: the
 *  columns of block 3. y: b[0] + b[2], then x1 + c0[0]. */
KC_IFMA_INLINE void multiply_sums(struct kc_quad *quad, __m512i *c, __m512i *y, const __m512i *a,
                                  const __m512i *b)
{
    __m512i h[2 * SIDE], next[SIDE];
    struct block block;
    zero10(c);
    tile(c, LEFT_SUM(a, BLOCK(a, 2)), y,
         BESIDE(.factor = SUM, .y = next, .p = BLOCK(b, 1), .s = BLOCK(b, 3)));
    copy5(y, next);
    zero10(h);
    tile(h, LEFT_SUM(BLOCK(a, 1), BLOCK(a, 3)), y,
         BESIDE(.factor = SUM_OF_SUMS, .y = next, .p = b, .s = BLOCK(b, 1), .p2 = BLOCK(b, 2),
                .s2 = BLOCK(b, 3)));
    open_pair(c, h, &block, BLOCK(quad->x, 2));
    add5(block.c, quad->split);
    sub5(block.c, quad->x);
    add5(c, quad->split + SIDE);
    sub5(c, BLOCK(quad->x, 1));
    save5(quad->middle, h);
    weigh(h, h + SIDE);
    save5(quad->middle + SIDE, h);
    copy5(y, next);
    tile(c, LEFT_SUMS(a, BLOCK(a, 1), BLOCK(a, 2), BLOCK(a, 3)), y,
         BESIDE(.block = &block, .carry = c, NEXT_FOLD(0)));
    copy5(y, next);
}

KC_IFMA_INLINE void quad_mul(struct kc_quad *quad, __m512i *r, const __m512i *a, const __m512i *b)
{
    __m512i c[2 * SIDE], g[2 * SIDE], y[SIDE], next[SIDE];
    struct block block;
    load5(y, b);
    multiply_low(quad, c, &block, y, a, b);
    multiply_high(quad, c, &block, y, a, b);
    cross_blocks(quad, y, b, BLOCK(b, 2));
    multiply_sums(quad, c, y, a, b);
    sub5(c, quad->twins);
    FOLD(c, 0, y, .minus = quad->cross01, .factor = PLAIN, .y = next, .p = quad->c2);
    copy5(y, next);
    tile(c, LEFT(BLOCK(quad->x, 2)), y, BESIDE(NEXT_FOLD(1)));
    zero10(g);
    add5(g, quad->middle);
    sub5(g, quad->split);
    sub5(g, quad->high);
    sub5(g, BLOCK(quad->twins, 1));
    copy5(y, next);
    reduce(quad, r, c, g, y, OF_PRODUCT, NULL);
}

KC_IFMA static void sqr_alone(struct kc_quad *quad, __m512i *r, const __m512i *a)
{
    quad_sqr(quad, r, a, NULL);
}

KC_IFMA static void sqr_pick(struct kc_quad *quad, __m512i *r, const __m512i *a,
                             const struct kc_pick *pick)
{
    const struct kc_pick local = *pick; /* or the masks would be read again after each store */
    quad_sqr(quad, r, a, &local);
}

KC_IFMA void kc_quad_sqr(struct kc_quad *quad, __m512i *r, const __m512i *a,
                         const struct kc_pick *pick)
{
    if (pick) {
        sqr_pick(quad, r, a, pick);
    } else {
        sqr_alone(quad, r, a);
    }
}

KC_IFMA void kc_quad_mul(struct kc_quad *quad, __m512i *r, const __m512i *a, const __m512i *b)
{
    quad_mul(quad, r, a, b);
}
#endif

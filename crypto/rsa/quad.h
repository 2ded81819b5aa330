#pragma once
/* Montgomery products modulo primes of 1024 bits, with 881 multiply-adds a squaring and 1,001 a
 * product where the schoolbook has 1,240 and 1,620.
 *
 * A number is four blocks of 257 bits, five digits each: four digits of 52 bits and one of 49. The
 * digits left over (4 x 260 bits for 1,028) are what makes it cheap: sums of up to eight blocks
 * still have five digits, so no carry out of a sum has to be looked after. With B = 2^257:
 *
 *  - a product of two numbers takes nine products of blocks, not sixteen (Karatsuba, twice);
 *  - its three lowest blocks x0, x1, x2 leave at once by precomputed inverse powers of B,
 *        product / B^3 = higher blocks + x0 * c0 + x1 * c1 + x2 * c2,
 *    and only the fourth one goes the ordinary way, by a quotient block q: + q * m;
 *  - a column of two such products takes one product of blocks (Winograd's inner product):
 *        x0 c0[j] + x1 c1[j] = (x0 + c1[j]) (x1 + c0[j]) - x0 x1 - c0[j] c1[j],
 *    and the same for x2 and q: eleven products of blocks, not sixteen. x0 x1 and x2 q are the same
 *    for all j, the last terms are constants of the prime.
 *
 * R = B^4 = 2^1028. Numbers below 8m give results below 8m: a b / R is below 4m, for R > 16m, and
 * the four blocks that leave add less than m each. */

#include "crypto/rsa/mont.h"

#define KC_QUAD_SIDE   5
#define KC_QUAD_DIGITS (4 * KC_QUAD_SIDE)
#define KC_QUAD_BITS   257                                            /* of a block */
#define KC_QUAD_TOP    (KC_QUAD_BITS - (KC_QUAD_SIDE - 1) * KC_DIGIT) /* of its last digit */

/** Constants of eight primes and room; owned by the caller, constants by kc_quad_prepare. */
struct kc_quad {
    __m512i m[KC_QUAD_DIGITS];
    __m512i k0;                                   /* -1/m mod 2^52 */
    __m512i c0[KC_QUAD_DIGITS];                   /* B^-3 mod m */
    __m512i c1[KC_QUAD_DIGITS];                   /* B^-2 mod m */
    __m512i c2[KC_QUAD_DIGITS];                   /* B^-1 mod m */
    __m512i twins[KC_QUAD_DIGITS + KC_QUAD_SIDE]; /* the sum of (c0[j] c1[j] + c2[j] m[j]) B^j, the
                                                     second without j = 0 */
    /* room: */
    __m512i x[3 * KC_QUAD_SIDE]; /* the blocks that leave */
    __m512i q[KC_QUAD_SIDE];
    __m512i cross01[2 * KC_QUAD_SIDE]; /* columns of x0 x1 */
    __m512i crosses[2 * KC_QUAD_SIDE]; /* and of x2 q besides */
    __m512i split[2 * KC_QUAD_SIDE];   /* middle of a product: what both its halves need */
    __m512i high[2 * KC_QUAD_SIDE];    /* upper two blocks of the product of the upper halves */
    __m512i middle[2 * KC_QUAD_SIDE];  /* columns of a product that are not due yet */
};

#define KC_QUAD_PICKED 4 /* digits that one squaring looks up */

/** A constant-time lookup in a table of 32 numbers that hides under squarings: five of them look up
 *  four digits each. Every entry is read; masks say which is taken in each lane. */
struct kc_pick {
    const __m512i *table; /* entries of KC_QUAD_DIGITS, from the first digit looked up on */
    __m512i *out;         /* of the four digits */
    __mmask8 bit[3];      /* lanes where bit 0, 1, 2 of the index is set */
    __mmask8 group[3];    /* lanes where the bits above are 1, 2, 3 */
};

/** Fills the constants for mont->m, primes of two blocks of ten digits with exactly 1024 bits. */
void kc_quad_prepare(struct kc_quad *quad, const struct kc_mont *mont);

/** r = a^2 / 2^1028 mod m, and a lookup besides; pick may be NULL. r may be a; pick->out is
 *  neither. */
void kc_quad_sqr(struct kc_quad *quad, __m512i *r, const __m512i *a, const struct kc_pick *pick);

/** r = a * b / 2^1028 mod m. r may be a or b. */
void kc_quad_mul(struct kc_quad *quad, __m512i *r, const __m512i *a, const __m512i *b);

/** Prepares the lookup of table[*index] in each lane, index below 32, for the first of five
 *  squarings; kc_quad_pick_next goes on to the next one's digits. */
void kc_quad_pick(struct kc_pick *pick, __m512i *out, const __m512i *table, const __m512i *index);

static inline void kc_quad_pick_next(struct kc_pick *pick)
{
    pick->table += KC_QUAD_PICKED;
    pick->out += KC_QUAD_PICKED;
}

/** Twenty digits of 52 bits, a number below 2^1028, as blocks. r is not a. */
void kc_quad_pack(__m512i *r, const __m512i *a);

/** r = 2^power as blocks, power < 1028. */
void kc_quad_power_of_two(__m512i *r, unsigned power);

/** Blocks as twenty digits of 52 bits. r is not a. */
void kc_quad_unpack(__m512i *r, const __m512i *a);

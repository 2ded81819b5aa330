#pragma once
/* Almost-Montgomery arithmetic on eight moduli at once.
 *
 * R = 2^(520 * blocks), at least 2^16 times every modulus. Results are below m + 1 for inputs whose
 * product is below R * m, and never brought below m on the way; kc_mont_below does it at the end.
 * All numbers are slices (crypto/rsa/tile.h). */

#include "crypto/rsa/tile.h"

#define KC_MONT_MAX_BLOCKS 8

/** Eight moduli and the room that products modulo them need; all owned by the caller. */
struct kc_mont {
    unsigned blocks;      /* digits / 10 */
    const __m512i *m;     /* the moduli, digits below 2^52 */
    __m512i k0;           /* -1/m mod 2^52 */
    __m512i *q;           /* room: 10 * blocks digits */
    __m512i *left;        /* room: 10 columns */
    __m512i *squares;     /* room: 20 * blocks columns */
    __m512i *differences; /* room: 5 * blocks digits */
};

/** r = a^2 / R mod m. r may be a. */
void kc_mont_sqr(const struct kc_mont *mont, __m512i *r, const __m512i *a);

/** r = a * b / R mod m. r may be a or b. */
void kc_mont_mul(const struct kc_mont *mont, __m512i *r, const __m512i *a, const __m512i *b);

/** r = a / 2^(520 * low) mod m, below m + 1, for a of 10 * blocks digits; 0 < low < blocks. r is
 * not a. */
void kc_mont_divide(const struct kc_mont *mont, unsigned low, __m512i *r, const __m512i *a);

/** r = a / R mod m for a of 20 * blocks digits below R * m. r may be a. */
void kc_mont_redc(const struct kc_mont *mont, __m512i *r, const __m512i *a);

/** r = a * b, 10 * blocks digits each into 20 * blocks digits. r overlaps neither. */
void kc_plain_mul(unsigned blocks, __m512i *r, const __m512i *a, const __m512i *b);

/** r = a mod m for a < 2m, digits below 2^52. r may be a. */
void kc_mont_below(const struct kc_mont *mont, __m512i *r, const __m512i *a);

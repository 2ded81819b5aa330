#pragma once
/* The three curves y^2 = x^3 - 3x + b of SP 800-186 section 3.2.1 as the kernels want them. */

#include "crypto/base/alg.h"
#include "crypto/base/status.h"
#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

/** A point in Jacobian coordinates, (X / Z^2, Y / Z^3), Montgomery form. */
struct kc_ec_point {
    __m512i x[KC_EC_DIGITS], y[KC_EC_DIGITS], z[KC_EC_DIGITS];
};

/* Bits of a window of the generator's table: tables of 189, 450 and 490 KB. */
#define KC_EC_P256_WINDOW 7
#define KC_EC_P384_WINDOW 7
#define KC_EC_P521_WINDOW 6

/** Constants of a curve; all public, the same in every lane. */
struct kc_ec_curve {
    struct kc_ec_modulus p, n;
    __m512i b[KC_EC_DIGITS];                      /* Montgomery form */
    __m512i gx[KC_EC_DIGITS], gy[KC_EC_DIGITS];   /* the generator, Montgomery form */
    __m512i p16[KC_EC_DIGITS], p64[KC_EC_DIGITS]; /* multiples of p, for differences */
    unsigned nd;
    unsigned bytes; /* of a coordinate and of a scalar */
    unsigned bits;
    unsigned window;  /* bits of a window of the generator's table */
    unsigned windows; /* window * windows > bits */
    uint64_t *table;  /* crypto/ec/comb.h */
    unsigned (*comb)(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k);
};

/** The constants and tables of P-256, P-384 or P-521, made by the first call (some milliseconds,
 *  about a megabyte for all). Before threads start; needs a CPU with AVX-512 IFMA. NULL
 *  for other curves and when memory is short. */
const struct kc_ec_curve *kc_ec_curve_get(enum kw_curve curve);

/** Lanes whose point is on the curve and not infinite (Z = 0 also after an exceptional addition).
 */
unsigned kc_ec_on_curve(const struct kc_ec_curve *curve, const struct kc_ec_point *point);

/** Lanes where Z = 0: infinity, or an addition met an exception on the way. */
unsigned kc_ec_infinite(const struct kc_ec_curve *curve, const struct kc_ec_point *point);

/** r = 2 a and r = a + b (crypto/ec/point.h). r may be a or b. */
void kc_ec_point_double(const struct kc_ec_curve *curve, struct kc_ec_point *r,
                        const struct kc_ec_point *a);
void kc_ec_point_add(const struct kc_ec_curve *curve, struct kc_ec_point *r,
                     const struct kc_ec_point *a, const struct kc_ec_point *b);

#endif

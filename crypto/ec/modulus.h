#pragma once
/* Arithmetic modulo a field prime or a group order, eight lanes at once, in Montgomery form.
 *
 * R = 2^(52 * nd): 2^260, 2^416 and 2^572 for P-256, P-384 and P-521. Numbers are "loose": digits
 * below 2^52 (the last may hold more), value a small multiple of the modulus. mul and sqr give less
 * than m + (a / m) (b / m) (m / R) m: below 1.25 m for loose inputs below 2m, since m / R < 1 / 16
 * for P-256, and practically m for the others, where m / R is 2^-32 and 2^-51. */

#include "crypto/ec/digits.h"

#if KC_HAVE_EC

struct kc_ec_modulus;

typedef void kc_ec_mul_fn(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,
                          const __m512i *b);
typedef void kc_ec_sqr_fn(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a);

/** Constants are the same in all lanes. */
struct kc_ec_modulus {
    __m512i m[KC_EC_DIGITS];
    __m512i one[KC_EC_DIGITS]; /* R mod m */
    __m512i r2[KC_EC_DIGITS];  /* R^2 mod m */
    __m512i r3[KC_EC_DIGITS];  /* R^3 mod m */
    __m512i k0;                /* -1/m mod 2^52 */
    unsigned nd;
    kc_ec_mul_fn *mul; /* r = a * b / R; r may be a or b */
    kc_ec_sqr_fn *sqr; /* r = a * a / R; r may be a */
};

/** Fields: their primes make the reduction short (FIPS 186-4 appendix D.2). */
kc_ec_mul_fn kc_ec_p256_mul, kc_ec_p384_mul, kc_ec_p521_mul;
kc_ec_sqr_fn kc_ec_p256_sqr, kc_ec_p384_sqr, kc_ec_p521_sqr;

/** Any odd modulus of 5, 8 or 11 digits: the group orders. */
kc_ec_mul_fn kc_ec_n5_mul, kc_ec_n8_mul, kc_ec_n11_mul;
kc_ec_sqr_fn kc_ec_n5_sqr, kc_ec_n8_sqr, kc_ec_n11_sqr;

void kc_ec_copy(__m512i *to, const __m512i *from, unsigned nd);

/** Moves carries up: digits below 2^52 but for the last. */
void kc_ec_tidy(__m512i *a, unsigned nd);

/** r = a mod m, digits below 2^52, for a < 2m. r may be a. */
void kc_ec_reduce(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a);

/** r = a below m, out of Montgomery form. r may be a. */
void kc_ec_plain(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a);

/** r = 1/a in Montgomery form for a < 2m, 0 for 0. Constant time. r may be a. */
void kc_ec_invert(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a);

/** Two inversions, modulo two moduli of the same length, in less time than one after the other. */
void kc_ec_invert2(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,
                   const struct kc_ec_modulus *m2, __m512i *r2, const __m512i *a2);

#endif

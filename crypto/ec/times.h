#pragma once
/* Multiples of any point: for verification, where everything is public. */

#include "crypto/ec/curve.h"

#if KC_HAVE_EC

#define KC_EC_TIMES_WINDOW  5
#define KC_EC_TIMES_ENTRIES (1 << (KC_EC_TIMES_WINDOW - 1))

struct kc_ec_times_work {
    struct kc_ec_point table[KC_EC_TIMES_ENTRIES]; /* odd multiples of the point */
    struct kc_ec_point picked;
    __m512i recoded[KC_EC_DIGITS];
};

/** r = k q, k as plain digits below n, q affine (Z = 1) or not. Z of the result is 0 where an
 *  addition was exceptional: for k = 0, and for values that an attacker may choose. */
void kc_ec_times(const struct kc_ec_curve *curve, struct kc_ec_point *r,
                 const struct kc_ec_point *q, const __m512i *k, struct kc_ec_times_work *work);

#endif

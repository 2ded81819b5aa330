#pragma once
/* An EC key as the eight-lane kernels want it, derived once when the key is made. Plain memory
 * without pointers to own: secret, so it lives in memory from kw_secret_alloc. */

#include "crypto/ec/curve.h"
#include "crypto/keys/key.h"

#if KC_HAVE_EC

struct kc_ec_key {
    const struct kc_ec_curve *curve;
    bool has_private;
    uint64_t d[KC_EC_DIGITS];    /* private scalar, Montgomery form modulo n */
    uint64_t inner[8], outer[8]; /* HMAC-SHA-512 keyed with the scalar: after each pad */
    uint64_t x[KC_EC_DIGITS], y[KC_EC_DIGITS]; /* public point, Montgomery form */
};

/** Fills `key` from coordinates and scalar of the curve's width, big-endian; `d` is NULL for a
 *  public key. The point was checked to be on the curve and the scalar to be in [1, n - 1]. */
void kc_ec_key_init(struct kc_ec_key *key, const struct kc_ec_curve *curve, const uint8_t *x,
                    const uint8_t *y, const uint8_t *d);

#endif

#pragma once
/* SHA-512 (FIPS 180-4) on eight messages of equal length at once, and HMAC (FIPS 198-1) with
 * prepared keys over it: what the nonces of eight signatures need. */

#include "crypto/ec/target.h"

#include <stddef.h>
#include <stdint.h>

#define KC_SHA512_BLOCK 128

#if KC_HAVE_EC

/** Working values, one message a lane. */
struct kc_sha512_x8 {
    __m512i h[8];
};

/** All lanes to the initial value (section 5.3.5). */
void kc_sha512_x8_start(struct kc_sha512_x8 *state);

/** Takes one block, as sixteen big-endian words already in the machine's order. Destroys `w`. */
void kc_sha512_x8_block(struct kc_sha512_x8 *state, __m512i w[16]);

#endif

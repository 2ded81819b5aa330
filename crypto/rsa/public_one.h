#pragma once
/* One RSA public operation at a time (AVX-512 IFMA): the digits of one number in the lanes, for
 * requests that come without company. */

#include "crypto/rsa/rsa_x8.h"

/** out = in^e mod n. Constant time in everything but sizes and exponent. False: in >= n, and `out`
 *  is zeroed. Wipes what it used. Where kc_rsa_x8_supported. */
KW_MUST_CHECK bool kc_rsa_one_public(const struct kc_rsa_public_lane *lane);

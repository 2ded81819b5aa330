#pragma once
/* Shamir's scheme over the integers modulo 257, byte by byte, in the packing of the security-domain
 * file: share number x (1 to 126) and value y (0 to 256) of each byte as the 16-bit word
 * x * 512 + y, little endian. A share is twice as long as the secret. */

#include "crypto/base/secret.h"

#define KC_SHARES_MAX     126
#define KC_SHARES_QUORUM  10 /* largest quorum */
#define KC_SHARES_SECRET  64 /* longest secret, bytes */
#define KC_SHARE_LEN(len) (2 * (len))

/** Makes shares 1 to `count`, any `required` of which give `secret` back: `out` has room for
 *  count * KC_SHARE_LEN(secret.len) bytes, share after share. KW_E_INPUT: not 2 <= required <=
 *  count, or a bound above is passed. The shares are secrets of the caller's. Any thread. */
KW_MUST_CHECK kw_status kc_shares_make(uint8_t *out, struct kw_span secret, unsigned count,
                                       unsigned required);

/** Interpolates at 0 from `count` shares of one length; `out` gets half of that. Says nothing about
 *  whether the secret is the right one: fewer shares than the quorum, or a changed one, give
 *  another. KW_E_INPUT: lengths differ, a share's number is 0, differs within it or comes twice, a
 *  word or the result is out of range. */
KW_MUST_CHECK kw_status kc_shares_join(uint8_t *out, const struct kw_span *shares, unsigned count);

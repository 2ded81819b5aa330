#pragma once
/* An RSA key as the eight-lane kernels want it: digits, Montgomery constants and exponents, derived
 * once when the key is made. Plain memory without pointers: copy, place and wipe it as a whole. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"
#include "crypto/keys/key.h"

#define KC_RSA_CTX_DIGITS 80 /* of the longest modulus, 4096 bits, in digits of 52 bits */

/** Public half. Arrays are zero above their digits. */
struct kc_rsa_public_ctx {
    _Alignas(64) uint64_t n[KC_RSA_CTX_DIGITS];
    _Alignas(64) uint64_t r2[KC_RSA_CTX_DIGITS]; /* R^2 mod n */
    uint64_t k0;                                 /* -1/n mod 2^52 */
    uint64_t e;
    unsigned bits;   /* of n: 2048, 3072 or 4096 */
    unsigned blocks; /* ten-digit blocks of n: 4, 6 or 8; R = 2^(520 * blocks) */
};

/** What belongs to one prime factor m; R = 2^(520 * blocks) with half the blocks of the modulus. */
struct kc_rsa_prime_ctx {
    _Alignas(64) uint64_t m[KC_RSA_CTX_DIGITS / 2];
    _Alignas(64) uint64_t r1[KC_RSA_CTX_DIGITS / 2]; /* R mod m */
    _Alignas(64) uint64_t r3[KC_RSA_CTX_DIGITS / 2]; /* R^3 mod m */
    _Alignas(64) uint64_t exponent[32];              /* d mod (m - 1), 64-bit words */
    uint64_t k0;                                     /* -1/m mod 2^52 */
};

/** Private half with the public one: secret, so keep it in memory from kw_secret_alloc. */
struct kc_rsa_private_ctx {
    struct kc_rsa_public_ctx pub;
    struct kc_rsa_prime_ctx p, q;
    _Alignas(64) uint64_t qinv[KC_RSA_CTX_DIGITS / 2]; /* R / q mod p */
};

/** Fills `ctx` from modulus and exponent, big-endian.
 *  KW_E_UNSUPPORTED: n is not of 2048, 3072 or 4096 bits, or e has more than 64 bits.
 *  KW_E_INPUT: n or e is even, or e < 3. KW_E_NOMEM. Any thread. */
KW_MUST_CHECK kw_status kc_rsa_public_init(struct kc_rsa_public_ctx *ctx, struct kw_span n,
                                           struct kw_span e);

/** Fills `ctx` from n, e, p, q, dp, dq and qi = 1/q mod p (RFC 8017 section 3.2), all big-endian
 * and all present; `d` is not read. That they belong together is the key import's to check.
 *  KW_E_UNSUPPORTED: as above, or p and q are not both of exactly half the modulus' bits; such
 *  a key is served one by one. KW_E_INPUT: a part is missing, even, or too long. KW_E_NOMEM.
 *  On failure `ctx` is wiped. Any thread. */
KW_MUST_CHECK kw_status kc_rsa_private_init(struct kc_rsa_private_ctx *ctx,
                                            const struct kc_private_parts *parts);

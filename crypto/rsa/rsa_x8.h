#pragma once
/* RSA on eight requests at once (AVX-512 IFMA): one request a lane, any mix of keys of one size.
 *
 * Raw exponentiation (RFC 8017 section 5): padding is the caller's. Constant time in everything but
 * sizes and public exponents. No allocation, no locks, no global state; a scratch serves one
 * thread. */

#include "crypto/rsa/rsa_ctx.h"

#define KC_RSA_LANES 8

/** Room that one call needs, 64-byte aligned. Touch it once when it is made: the kernels' masked
 *  loads are slow on pages that were never written. */
#define KC_RSA_SCRATCH_BYTES ((size_t)256 * 1024)

/** One request. `in` and `out` are big-endian, of the modulus' bytes, and do not overlap. */
struct kc_rsa_private_lane {
    const struct kc_rsa_private_ctx *key;
    const uint8_t *in;
    uint8_t *out;
};

struct kc_rsa_public_lane {
    const struct kc_rsa_public_ctx *key;
    const uint8_t *in;
    uint8_t *out;
};

/** True when this CPU and operating system run the kernels. */
bool kc_rsa_x8_supported(void);

/** out = in^d mod n for 1 <= count <= 8 lanes, all keys of one size.
 *
 *  Each result is raised to the public exponent again, from the bytes in `out`, and compared with
 *  the bytes in `in`. The return value has bit i set when lane i passed. A lane that failed
 *  (a fault, or in >= n) has its `out` zeroed: compute it again on another path.
 *  Everything secret in `scratch`, registers and stack is wiped before return. */
KW_MUST_CHECK unsigned kc_rsa_x8_private(const struct kc_rsa_private_lane *lanes, unsigned count,
                                         void *scratch);

/** The same without the check and without in < n looked at: for a caller that makes both itself, on
 *  the bytes that leave. */
void kc_rsa_x8_private_unchecked(const struct kc_rsa_private_lane *lanes, unsigned count,
                                 void *scratch);

/** out = in^e mod n likewise; exponents may differ between lanes. Bit i of the return value is set
 *  when in < n in lane i; otherwise its `out` is zeroed. */
KW_MUST_CHECK unsigned kc_rsa_x8_public(const struct kc_rsa_public_lane *lanes, unsigned count,
                                        void *scratch);

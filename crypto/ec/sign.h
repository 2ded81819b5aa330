#pragma once
/* ECDSA signatures (FIPS 186-5 section 6.4) for eight requests at once, one curve, any keys.
 *
 * Constant time in everything but the curve and the number of requests.
 *
 * Nonces are hedged: HMAC-SHA-512 under the private scalar of 32 fresh random bytes and the digest,
 * at least 64 bits longer than n before it is reduced (FIPS 186-5 appendix A.3.1). If the generator
 * fails or repeats, k still differs for every digest, as in RFC 6979; if the scalar's hash were
 * weak, k is still fresh (RFC 6979 section 3.6).
 *
 * Check. A fault while signing gives the key away as surely as one in RSA, and a full verification
 * costs five. What is checked instead covers every step on the way: the point is on the
 * curve in the coordinates it was computed in (a fault in any product, sum or table entry leaves
 * it), its affine x belongs to it, the windows that were looked up are those of k, and s k = e + r
 * d holds for r and s as they are in the bytes that leave, the digest as the caller gave it and the
 * key as it is stored. The cost is a few percent (bench/bench_ec.c). */

#include "crypto/ec/ec_key.h"

#if KC_HAVE_EC

/** One request. `digest` of `len` bytes, at most the curve's; `out` takes r then s. */
struct kc_ec_sign_lane {
    const struct kc_ec_key *key;
    const uint8_t *digest;
    size_t len;
    uint8_t *out;
};

/** Working room of a batch: secret, 64-byte aligned, wiped by every call. */
struct kc_ec_sign_work {
    __m512i d[KC_EC_DIGITS], e[KC_EC_DIGITS], k[KC_EC_DIGITS], kr[KC_EC_DIGITS];
    __m512i r[KC_EC_DIGITS], s[KC_EC_DIGITS], t[KC_EC_DIGITS], u[KC_EC_DIGITS];
    __m512i inverse_z[KC_EC_DIGITS], inverse_k[KC_EC_DIGITS];
    struct kc_ec_point point;
    __m512i words[16], hash[16];
    uint8_t random[KC_EC_LANES][32];
};

/** Signs 1 to 8 requests. Bit i of `good` is set when lane i's signature passed its check; the
 *  others (a fault, or one of the few k that are no use) have their `out` zeroed: compute them on
 *  another path. KW_E_INTERNAL when the random generator fails: nothing is signed. */
KW_MUST_CHECK kw_status kc_ec_sign_x8(const struct kc_ec_curve *curve,
                                      const struct kc_ec_sign_lane *lanes, unsigned count,
                                      struct kc_ec_sign_work *work, unsigned *good);

/** The part after the nonces: work->k holds a plain scalar in [0, n - 1] in each lane. For
 *  kc_ec_sign_x8 and known-answer tests. Returns the good lanes. */
unsigned kc_ec_sign_known(const struct kc_ec_curve *curve, const struct kc_ec_sign_lane *lanes,
                          unsigned count, struct kc_ec_sign_work *work);

/** work->k from digests, keys and work->random. */
void kc_ec_nonces(const struct kc_ec_curve *curve, const struct kc_ec_sign_lane *lanes,
                  unsigned count, struct kc_ec_sign_work *work);

#endif

#pragma once
/* ECDSA verification (FIPS 186-5 section 6.4.2) for eight requests at once, one curve, any keys.
 * Everything is public: nothing is wiped and time may depend on data. */

#include "crypto/ec/ec_key.h"
#include "crypto/ec/times.h"

#if KC_HAVE_EC

/** One request. `digest` of `len` bytes, at most the curve's; `sig` is r then s, each of the
 * curve's width. */
struct kc_ec_verify_lane {
    const struct kc_ec_key *key;
    const uint8_t *digest;
    size_t len;
    const uint8_t *sig;
    /* of the key and of the generator (crypto/ec/table.h), or NULL: for all lanes, or for none */
    const uint64_t *table, *generator;
};

struct kc_ec_verify_work {
    __m512i e[KC_EC_DIGITS], r[KC_EC_DIGITS], s[KC_EC_DIGITS];
    __m512i u1[KC_EC_DIGITS], u2[KC_EC_DIGITS], t[KC_EC_DIGITS], v[KC_EC_DIGITS];
    struct kc_ec_point q, left, right;
    struct kc_ec_times_work times;
};

/** Bit i of the return value is set when lane i's signature is valid, bit i of `undecided` when an
 *  exceptional addition was met: ask another path then. 1 <= count <= 8. */
KW_MUST_CHECK unsigned kc_ec_verify_x8(const struct kc_ec_curve *curve,
                                       const struct kc_ec_verify_lane *lanes, unsigned count,
                                       struct kc_ec_verify_work *work, unsigned *undecided);

#endif

#pragma once
/* Keys derived from the domain key; for crypto/domain only. */

#include "crypto/domain/domain.h"

struct kc_domain {
    struct domain_keys {
        uint8_t domain[KC_DOMAIN_KEY_LEN];
        uint8_t store[32];  /* records and software blobs */
        uint8_t member[32]; /* AES-256 member wrapping key */
    } * keys;               /* secret memory */
    uint8_t check[KC_DOMAIN_CHECK_LEN];
};

/** HKDF-SHA-256 (RFC 5869), extract and expand. */
KW_MUST_CHECK kw_status kc_hkdf(uint8_t *out, size_t len, struct kw_span key, struct kw_span salt,
                                struct kw_span info);

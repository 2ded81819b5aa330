#pragma once
/* ECDSA signatures: fixed-width r || s (RFC 7518 section 3.4) to and from DER (RFC 3279). */

#include <stdbool.h>

#include "crypto/base/span.h"
#include "crypto/base/status.h"

#define KC_ECDSA_DER_MAX 141 /* P-521: 3 + 2 * (2 + 1 + 66) */

/** `sig` is r || s of equal halves of at most 66 bytes; writes at most KC_ECDSA_DER_MAX bytes. */
size_t kc_ecdsa_to_der(uint8_t *der, struct kw_span sig);

/** Strict DER to 2 * width bytes. KW_E_INTERNAL for anything a signer would not make. */
KW_MUST_CHECK kw_status kc_ecdsa_from_der(uint8_t *sig, size_t width, struct kw_span der);

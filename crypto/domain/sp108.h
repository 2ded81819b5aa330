#pragma once
/* The key derivation of the security-domain file. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"

/** NIST SP 800-108 in counter mode with HMAC-SHA-512, 32-bit counter and length, a zero byte
 * between label and context: fills `len` bytes. Any thread. */
KW_MUST_CHECK kw_status kc_sp108(uint8_t *out, size_t len, struct kw_span key, struct kw_span label,
                                 struct kw_span context);

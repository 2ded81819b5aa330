#pragma once
/* AES key wrap over a keyed AES-ECB context, so that the AES instructions do the work: OpenSSL's
 * own wrap ciphers go through table look-ups that are slow and leak through the cache. The
 * integrity checks take the same time for every content; a failure leaves `out` wiped. */

#include <openssl/evp.h>

#include "crypto/base/span.h"
#include "crypto/base/status.h"

/** RFC 3394, default IV. in.len: multiple of 8, at least 16 (KW_E_INPUT). `out` has in.len + 8
 * bytes. `ecb` encrypts. */
KW_MUST_CHECK kw_status kc_kw_wrap(uint8_t *out, EVP_CIPHER_CTX *ecb, struct kw_span in);
/** in.len: multiple of 8, at least 24 (KW_E_INPUT). `out` has in.len - 8 bytes, all of them key.
 *  KW_E_CRYPTO when the check fails. `ecb` decrypts. */
KW_MUST_CHECK kw_status kc_kw_unwrap(uint8_t *out, EVP_CIPHER_CTX *ecb, struct kw_span in);

/** RFC 5649. in.len: 1 to 2^32 - 1 (KW_E_INPUT). `out` has in.len rounded up to 8, plus 8. */
KW_MUST_CHECK kw_status kc_kwp_wrap(uint8_t *out, size_t *out_len, EVP_CIPHER_CTX *ecb,
                                    struct kw_span in);
/** in.len: multiple of 8, at least 16 (KW_E_INPUT). `out` has in.len - 8 bytes, *out_len are key.
 */
KW_MUST_CHECK kw_status kc_kwp_unwrap(uint8_t *out, size_t *out_len, EVP_CIPHER_CTX *ecb,
                                      struct kw_span in);

/** A context for the above from key bytes (16, 24 or 32); NULL on failure. EVP_CIPHER_CTX_free. */
EVP_CIPHER_CTX *kc_kw_context(struct kw_span key, int encrypt);

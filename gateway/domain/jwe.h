#pragma once
/* JWE in compact form (RFC 7516) as the security-domain file has it: content encryption
 * A256CBC-HS512, the content key given ("dir") or sealed to an RSA key (RSA-OAEP-256). libjose
 * seals the content (its RSA-OAEP-256 is missing where it was built against OpenSSL 3: that is
 * OpenSSL's); what it may be asked to do is decided here. */

#include <openssl/evp.h>

#include "crypto/base/secret.h"

#define GW_JWE_KEY 64        /* bytes of the content key of "dir" */
#define GW_JWE_MAX (1 << 16) /* longest text that is read */

/** `out` is malloc'd text. `kid` goes into the header. Any thread. */
KW_MUST_CHECK kw_status gw_jwe_seal_dir(char **out, const uint8_t key[GW_JWE_KEY], const char *kid,
                                        struct kw_span plain);
KW_MUST_CHECK kw_status gw_jwe_seal_rsa(char **out, EVP_PKEY *public_key, const char *kid,
                                        struct kw_span plain);

/** KW_E_INPUT: not such a text, another algorithm, another `kid`. KW_E_CRYPTO: changed, or sealed
 * under another key. */
KW_MUST_CHECK kw_status gw_jwe_open_dir(struct kw_secret *out, const char *text,
                                        const uint8_t key[GW_JWE_KEY], const char *kid);
/** Takes what clients write: RSA-OAEP-256 alone. */
KW_MUST_CHECK kw_status gw_jwe_open_rsa(struct kw_secret *out, const char *text,
                                        EVP_PKEY *private_key);

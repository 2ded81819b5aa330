#pragma once
/* RSA encodings of RFC 8017 around a raw modular exponentiation, whoever does that: OpenSSL or a
 * multi-buffer kernel. `em` is always the whole block of k = modulus bytes.
 *
 * Encoders write em. Signature checkers compare in any time (all is public). Decoders of plaintexts
 * take the same time for every content of em: they return a mask, and write `k` bytes of `out`. */

#include <openssl/evp.h>
#include <stdbool.h>

#include "crypto/base/alg.h"
#include "crypto/base/span.h"
#include "crypto/base/status.h"

#define KC_PKCS1_OVERHEAD 11

/** EMSA-PKCS1-v1_5 (section 9.2): DigestInfo is built here; KW_HASH_NONE puts `digest` in raw. */
KW_MUST_CHECK kw_status kc_pkcs1_sign_encode(uint8_t *em, size_t k, enum kw_hash hash,
                                             struct kw_span digest);
/** True when em is exactly what kc_pkcs1_sign_encode gives for this digest. */
bool kc_pkcs1_sign_check(const uint8_t *em, size_t k, enum kw_hash hash, struct kw_span digest);

/** EMSA-PSS (section 9.1): MGF1 with the same hash, random salt of the hash's length. The modulus
 *  has exactly 8 k bits. `md` is working room. */
KW_MUST_CHECK kw_status kc_pss_encode(uint8_t *em, size_t k, enum kw_hash hash,
                                      struct kw_span digest, EVP_MD_CTX *md);
/** *valid says whether em is a PSS encoding of the digest with a salt of the hash's length. */
KW_MUST_CHECK kw_status kc_pss_check(bool *valid, const uint8_t *em, size_t k, enum kw_hash hash,
                                     struct kw_span digest, EVP_MD_CTX *md);

/** RSAES-PKCS1-v1_5 (section 7.2). KW_E_INPUT for more than k - 11 bytes. */
KW_MUST_CHECK kw_status kc_pkcs1_encrypt_encode(uint8_t *em, size_t k, struct kw_span plain);
/** All ones when the padding is right, then *len bytes of `out` (room of k) are the plaintext;
 *  else 0, *len is 0 and `out` is zero. Constant time. `em` is used up. */
size_t kc_pkcs1_encrypt_decode(uint8_t *out, size_t *len, uint8_t *em, size_t k);

/** RSAES-OAEP (section 7.1), empty label, MGF1 with the same hash. KW_E_INPUT for more than
 *  k - 2 hash - 2 bytes. */
KW_MUST_CHECK kw_status kc_oaep_encode(uint8_t *em, size_t k, enum kw_hash hash,
                                       struct kw_span plain, EVP_MD_CTX *md);
/** As kc_pkcs1_encrypt_decode. KW_E_INTERNAL only when hashing itself fails. */
KW_MUST_CHECK kw_status kc_oaep_decode(uint8_t *out, size_t *len, size_t *good, uint8_t *em,
                                       size_t k, enum kw_hash hash, EVP_MD_CTX *md);

/** MGF1 (appendix B.2.1): xors the mask of `seed` into `out`. */
KW_MUST_CHECK kw_status kc_mgf1_xor(uint8_t *out, size_t len, enum kw_hash hash,
                                    struct kw_span seed, EVP_MD_CTX *md);

#pragma once
/* A key of the pool beside OpenSSL's view of its public half, which shares no code with the pool's
 * own checks. */
#include <openssl/evp.h>

#include "pool/pool.h"

struct lies_key {
    struct pool_key *key;
    EVP_PKEY *public;
};

/** Makes an RSA-2048 or P-256 key that members hold. */
bool lies_key_make(struct lies_key *out, struct pool *pool, bool ec);
void lies_key_free(struct lies_key *key);

/** RS256, PS256 or ES256 (r and s, 32 bytes each) of a 32-byte digest. */
bool lies_key_verify(const struct lies_key *key, enum kw_alg alg, const uint8_t digest[32],
                     const uint8_t *sig, size_t sig_len);

/** RSA-OAEP-256 or RSA1_5. */
bool lies_key_encrypt(const struct lies_key *key, enum kw_alg alg, const uint8_t secret[32],
                      uint8_t out[512], size_t *out_len);

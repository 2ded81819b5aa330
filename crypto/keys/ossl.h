#pragma once
/* OpenSSL algorithms fetched once: a fetch per operation takes locks and microseconds. */

#include <openssl/evp.h>

#include "crypto/base/alg.h"
#include "crypto/base/status.h"

struct kc_ossl {
    EVP_MD *md[KW_HASH_SHA512 + 1];       /* by enum kw_hash; NONE is NULL */
    EVP_CIPHER *ecb[3], *cbc[3], *gcm[3]; /* 128, 192, 256: index with kc_ossl_aes */
    EVP_KDF *hkdf;
};

/** The table, or NULL when the library lacks one of them. Static storage; any thread. */
const struct kc_ossl *kc_ossl(void);

/** Index of an AES key size: 0, 1, 2 for 128, 192, 256 bits. */
static inline unsigned kc_ossl_aes(unsigned bits)
{
    return bits / 64 - 2;
}

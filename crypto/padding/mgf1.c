#include "crypto/padding/padding.h"

#include "crypto/base/secret.h"
#include "crypto/keys/ossl.h"

kw_status kc_mgf1_xor(uint8_t *out, size_t len, enum kw_hash hash, struct kw_span seed,
                      EVP_MD_CTX *md)
{
    const struct kc_ossl *ossl = kc_ossl();
    size_t h = kw_hash_len(hash);
    if (!ossl || h == 0) {
        return KW_E_INTERNAL;
    }
    uint8_t mask[EVP_MAX_MD_SIZE];
    kw_status status = KW_OK;
    for (uint32_t counter = 0; len > 0 && status == KW_OK; counter++) {
        uint8_t be[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16),
                         (uint8_t)(counter >> 8), (uint8_t)counter};
        if (EVP_DigestInit_ex2(md, ossl->md[hash], NULL) != 1 ||
            EVP_DigestUpdate(md, seed.data, seed.len) != 1 || EVP_DigestUpdate(md, be, 4) != 1 ||
            EVP_DigestFinal_ex(md, mask, NULL) != 1) {
            status = KW_E_INTERNAL;
        }
        size_t part = len < h ? len : h;
        for (size_t i = 0; i < part; i++) {
            out[i] ^= mask[i];
        }
        out += part;
        len -= part;
    }
    kw_wipe(mask, sizeof(mask));
    return status;
}

#include "crypto/padding/padding.h"

#include "crypto/base/secret.h"
#include "crypto/keys/ossl.h"

/* H = Hash(eight zero bytes || digest || salt) (RFC 8017 section 9.1.1 steps 5 and 6). */
static kw_status hash_m(uint8_t *out, enum kw_hash hash, struct kw_span digest, const uint8_t *salt,
                        size_t salt_len, EVP_MD_CTX *md)
{
    static const uint8_t zeros[8];
    const struct kc_ossl *ossl = kc_ossl();
    if (!ossl || EVP_DigestInit_ex2(md, ossl->md[hash], NULL) != 1 ||
        EVP_DigestUpdate(md, zeros, sizeof(zeros)) != 1 ||
        EVP_DigestUpdate(md, digest.data, digest.len) != 1 ||
        EVP_DigestUpdate(md, salt, salt_len) != 1 || EVP_DigestFinal_ex(md, out, NULL) != 1) {
        return KW_E_INTERNAL;
    }
    return KW_OK;
}

kw_status kc_pss_encode(uint8_t *em, size_t k, enum kw_hash hash, struct kw_span digest,
                        EVP_MD_CTX *md)
{
    size_t h = kw_hash_len(hash);
    if (h == 0 || digest.len != h || k < 2 * h + 2) {
        return KW_E_INPUT;
    }
    /* em = maskedDB || H || bc, DB = zeros || 01 || salt; emBits = 8k - 1: the top bit is cleared
     */
    size_t db_len = k - h - 1;
    uint8_t *salt = em + db_len - h;
    memset(em, 0, db_len);
    em[db_len - h - 1] = 1;
    KW_TRY(kw_random(salt, h));
    KW_TRY(hash_m(em + db_len, hash, digest, salt, h, md));
    KW_TRY(kc_mgf1_xor(em, db_len, hash, kw_span_of(em + db_len, h), md));
    em[0] &= 0x7f;
    em[k - 1] = 0xbc;
    return KW_OK;
}

kw_status kc_pss_check(bool *valid, const uint8_t *em, size_t k, enum kw_hash hash,
                       struct kw_span digest, EVP_MD_CTX *md)
{
    *valid = false;
    size_t h = kw_hash_len(hash);
    if (h == 0 || digest.len != h || k < 2 * h + 2 || k > KW_RSA_MAX_BYTES) {
        return KW_E_INPUT;
    }
    size_t db_len = k - h - 1;
    const uint8_t *tail = em + db_len;
    if (em[k - 1] != 0xbc || (em[0] & 0x80) != 0) {
        return KW_OK;
    }
    uint8_t db[KW_RSA_MAX_BYTES], want[EVP_MAX_MD_SIZE];
    memcpy(db, em, db_len);
    KW_TRY(kc_mgf1_xor(db, db_len, hash, kw_span_of(tail, h), md));
    db[0] &= 0x7f;
    for (size_t i = 0; i < db_len - h - 1; i++) {
        if (db[i] != 0) {
            return KW_OK;
        }
    }
    if (db[db_len - h - 1] != 1) {
        return KW_OK;
    }
    KW_TRY(hash_m(want, hash, digest, db + db_len - h, h, md));
    *valid = memcmp(want, tail, h) == 0;
    return KW_OK;
}

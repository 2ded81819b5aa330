#include "crypto/padding/padding.h"

#include "crypto/base/secret.h"
#include "crypto/keys/ossl.h"
#include "crypto/padding/ct.h"

/* Hashes of the empty label. */
static const uint8_t *empty_hash(enum kw_hash hash)
{
    static const uint8_t sha1[20] = {0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55,
                                     0xbf, 0xef, 0x95, 0x60, 0x18, 0x90, 0xaf, 0xd8, 0x07, 0x09};
    static const uint8_t sha256[32] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                       0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                       0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                       0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    return hash == KW_HASH_SHA1 ? sha1 : hash == KW_HASH_SHA256 ? sha256 : NULL;
}

kw_status kc_oaep_encode(uint8_t *em, size_t k, enum kw_hash hash, struct kw_span plain,
                         EVP_MD_CTX *md)
{
    size_t h = kw_hash_len(hash);
    const uint8_t *label = empty_hash(hash);
    if (!label) {
        return KW_E_UNSUPPORTED;
    }
    if (k < 2 * h + 2 || plain.len > k - 2 * h - 2) {
        return KW_E_INPUT;
    }
    /* em = 00 || seed || DB, DB = lHash || zeros || 01 || plain */
    uint8_t *seed = em + 1, *db = em + 1 + h;
    size_t db_len = k - 1 - h;
    em[0] = 0;
    memset(db, 0, db_len);
    memcpy(db, label, h);
    db[db_len - plain.len - 1] = 1;
    if (plain.len != 0) {
        memcpy(db + db_len - plain.len, plain.data, plain.len);
    }
    KW_TRY(kw_random(seed, h));
    KW_TRY(kc_mgf1_xor(db, db_len, hash, kw_span_of(seed, h), md));
    return kc_mgf1_xor(seed, h, hash, kw_span_of(db, db_len), md);
}

kw_status kc_oaep_decode(uint8_t *out, size_t *len, size_t *good_out, uint8_t *em, size_t k,
                         enum kw_hash hash, EVP_MD_CTX *md)
{
    *len = 0;
    *good_out = 0;
    size_t h = kw_hash_len(hash);
    const uint8_t *label = empty_hash(hash);
    if (!label || k < 2 * h + 2) {
        return KW_E_INTERNAL;
    }
    uint8_t *seed = em + 1, *db = em + 1 + h;
    size_t db_len = k - 1 - h;
    KW_TRY(kc_mgf1_xor(seed, h, hash, kw_span_of(db, db_len), md));
    KW_TRY(kc_mgf1_xor(db, db_len, hash, kw_span_of(seed, h), md));

    size_t differ = em[0];
    for (size_t i = 0; i < h; i++) {
        differ |= (size_t)(db[i] ^ label[i]);
    }
    size_t good = ct_is_zero(differ);
    size_t found = 0, one_at = 0;
    for (size_t i = h; i < db_len; i++) {
        size_t one = ct_eq(db[i], 1);
        size_t zero = ct_is_zero(db[i]);
        one_at = ct_select(~found & one, i, one_at);
        found |= one;
        good &= found | zero;
    }
    good &= found;

    size_t start = ct_select(good, one_at + 1, db_len);
    ct_shift_left(db, db_len, start);
    memcpy(out, db, db_len);
    memset(out + db_len, 0, k - db_len);
    *len = db_len - start;
    *good_out = good;
    return KW_OK;
}

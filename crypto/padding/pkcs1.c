#include "crypto/padding/padding.h"

#include "crypto/base/secret.h"
#include "crypto/padding/ct.h"

/* DER of DigestInfo up to the digest (RFC 8017 section 9.2 note 1). */
static const uint8_t sha256_prefix[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                        0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
static const uint8_t sha384_prefix[] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                        0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
static const uint8_t sha512_prefix[] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                        0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};

static bool prefix_of(enum kw_hash hash, struct kw_span *prefix)
{
    switch (hash) {
    case KW_HASH_NONE:
        *prefix = kw_span_of(NULL, 0);
        return true;
    case KW_HASH_SHA256:
        *prefix = kw_span_of(sha256_prefix, sizeof(sha256_prefix));
        return true;
    case KW_HASH_SHA384:
        *prefix = kw_span_of(sha384_prefix, sizeof(sha384_prefix));
        return true;
    case KW_HASH_SHA512:
        *prefix = kw_span_of(sha512_prefix, sizeof(sha512_prefix));
        return true;
    case KW_HASH_SHA1:
        break;
    }
    return false;
}

static void put(uint8_t *to, struct kw_span from)
{
    if (from.len != 0) {
        memcpy(to, from.data, from.len);
    }
}

kw_status kc_pkcs1_sign_encode(uint8_t *em, size_t k, enum kw_hash hash, struct kw_span digest)
{
    struct kw_span prefix;
    if (!prefix_of(hash, &prefix)) {
        return KW_E_UNSUPPORTED;
    }
    if (hash != KW_HASH_NONE && digest.len != kw_hash_len(hash)) {
        return KW_E_INPUT;
    }
    if (k < KC_PKCS1_OVERHEAD || digest.len > k - KC_PKCS1_OVERHEAD ||
        prefix.len > k - KC_PKCS1_OVERHEAD - digest.len) {
        return KW_E_INPUT;
    }
    size_t fill = k - 3 - prefix.len - digest.len;
    em[0] = 0;
    em[1] = 1;
    memset(em + 2, 0xff, fill);
    em[2 + fill] = 0;
    put(em + 3 + fill, prefix);
    put(em + 3 + fill + prefix.len, digest);
    return KW_OK;
}

bool kc_pkcs1_sign_check(const uint8_t *em, size_t k, enum kw_hash hash, struct kw_span digest)
{
    uint8_t want[KW_RSA_MAX_BYTES];
    return k <= sizeof(want) && kc_pkcs1_sign_encode(want, k, hash, digest) == KW_OK &&
           memcmp(want, em, k) == 0;
}

/* Random bytes without zeros: zeros are drawn again one by one. */
static kw_status nonzero(uint8_t *out, size_t len)
{
    KW_TRY(kw_random(out, len));
    for (size_t i = 0; i < len; i++) {
        while (out[i] == 0) {
            KW_TRY(kw_random(out + i, 1));
        }
    }
    return KW_OK;
}

kw_status kc_pkcs1_encrypt_encode(uint8_t *em, size_t k, struct kw_span plain)
{
    if (k < KC_PKCS1_OVERHEAD || plain.len > k - KC_PKCS1_OVERHEAD) {
        return KW_E_INPUT;
    }
    size_t fill = k - 3 - plain.len;
    em[0] = 0;
    em[1] = 2;
    KW_TRY(nonzero(em + 2, fill));
    em[2 + fill] = 0;
    put(em + 3 + fill, plain);
    return KW_OK;
}

size_t kc_pkcs1_encrypt_decode(uint8_t *out, size_t *len, uint8_t *em, size_t k)
{
    size_t good = ct_is_zero(em[0]) & ct_eq(em[1], 2);
    size_t found = 0, zero_at = 0;
    for (size_t i = 2; i < k; i++) {
        size_t zero = ct_is_zero(em[i]);
        zero_at = ct_select(~found & zero, i, zero_at);
        found |= zero;
    }
    good &= found;
    good &= ~ct_lt(zero_at, 2 + 8); /* at least eight bytes of padding */

    size_t start = ct_select(good, zero_at + 1, k);
    ct_shift_left(em, k, start);
    memcpy(out, em, k);
    *len = k - start;
    return good;
}

/* The ways a key comes in and goes out: generator, JWK members, PKCS#8. */
#include "crypto/keys/key_internal.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>

static BIGNUM *param(const EVP_PKEY *pkey, const char *name)
{
    BIGNUM *value = NULL;
    return EVP_PKEY_get_bn_param(pkey, name, &value) == 1 ? value : NULL;
}

static kw_status rsa_from_pkey(struct kc_key **out, const EVP_PKEY *pkey, enum kc_key_care care)
{
    struct kc_rsa_numbers num = {
        .n = param(pkey, OSSL_PKEY_PARAM_RSA_N),
        .e = param(pkey, OSSL_PKEY_PARAM_RSA_E),
        .d = param(pkey, OSSL_PKEY_PARAM_RSA_D),
        .p = param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1),
        .q = param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2),
        .dp = param(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1),
        .dq = param(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2),
        .qi = param(pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1),
    };
    BIGNUM *third = param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR3);
    kw_status status = third ? KW_E_UNSUPPORTED : kc_rsa_private_make(out, &num, care);
    BN_clear_free(third);
    kc_rsa_numbers_clear(&num);
    return status;
}

static kw_status ec_from_pkey(struct kc_key **out, const EVP_PKEY *pkey, enum kw_curve curve)
{
    const char *want = kc_ec_group_name(curve);
    char group[64];
    size_t len = 0;
    if (!want || EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) != 1 ||
        strcmp(group, want) != 0) {
        return KW_E_INPUT;
    }
    int width = (int)kw_curve_bytes(curve);
    uint8_t x[66], y[66], secret[66];
    BIGNUM *bx = param(pkey, OSSL_PKEY_PARAM_EC_PUB_X);
    BIGNUM *by = param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y);
    BIGNUM *bd = param(pkey, OSSL_PKEY_PARAM_PRIV_KEY);
    kw_status status = KW_E_INPUT;
    if (bx && by && bd && BN_bn2binpad(bx, x, width) == width &&
        BN_bn2binpad(by, y, width) == width && BN_bn2binpad(bd, secret, width) == width) {
        size_t n = (size_t)width;
        status = kc_ec_private_make(out, curve, kw_span_of(x, n), kw_span_of(y, n),
                                    kw_span_of(secret, n));
    }
    kw_wipe(secret, sizeof(secret));
    BN_free(bx);
    BN_free(by);
    BN_clear_free(bd);
    return status;
}

static kw_status rsa_generate(struct kc_key **out, unsigned bits, uint32_t exponent)
{
    if (bits != 2048 && bits != 3072 && bits != 4096) {
        return KW_E_UNSUPPORTED;
    }
    if (exponent != 3 && exponent != 65537) {
        return KW_E_INPUT;
    }
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *e = BN_new();
    kw_status status = KW_E_INTERNAL;
    if (ctx && e && BN_set_word(e, exponent) && EVP_PKEY_keygen_init(ctx) == 1 &&
        EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 &&
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1 && EVP_PKEY_generate(ctx, &pkey) == 1) {
        status = rsa_from_pkey(out, pkey, KC_KEY_STORED);
    }
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return status;
}

static kw_status ec_generate(struct kc_key **out, enum kw_curve curve)
{
    const char *group = kc_ec_group_name(curve);
    if (!group) {
        return KW_E_UNSUPPORTED;
    }
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
    kw_status status = pkey ? ec_from_pkey(out, pkey, curve) : KW_E_INTERNAL;
    EVP_PKEY_free(pkey);
    return status;
}

static kw_status oct_generate(struct kc_key **out, unsigned bits)
{
    if (bits != 128 && bits != 192 && bits != 256) {
        return KW_E_UNSUPPORTED;
    }
    uint8_t k[32];
    kw_status status = kw_random(k, bits / 8);
    if (status == KW_OK) {
        status = kc_oct_make(out, kw_span_of(k, bits / 8));
    }
    kw_wipe(k, sizeof(k));
    return status;
}

static kw_status generate(struct kc_key **out, enum kw_kty kty, unsigned bits, enum kw_curve curve,
                          uint32_t exponent)
{
    switch (kty) {
    case KW_KTY_RSA:
        return rsa_generate(out, bits, exponent);
    case KW_KTY_EC:
        return ec_generate(out, curve);
    case KW_KTY_OCT:
        return oct_generate(out, bits);
    }
    return KW_E_UNSUPPORTED;
}

/* NULL stays NULL for an empty span; *ok goes false when memory is short or a part too long. */
static BIGNUM *number(struct kw_span from, bool *ok)
{
    if (from.len == 0) {
        return NULL;
    }
    BIGNUM *value = from.len <= 2 * KW_RSA_MAX_BYTES
                        ? BN_bin2bn(from.data, (int)from.len, BN_secure_new())
                        : NULL;
    *ok = *ok && value;
    return value;
}

static kw_status rsa_import(struct kc_key **out, const struct kc_private_parts *parts)
{
    bool ok = true;
    struct kc_rsa_numbers num = {
        .n = number(parts->n, &ok),
        .e = number(parts->e, &ok),
        .d = number(parts->d, &ok),
        .p = number(parts->p, &ok),
        .q = number(parts->q, &ok),
        .dp = number(parts->dp, &ok),
        .dq = number(parts->dq, &ok),
        .qi = number(parts->qi, &ok),
    };
    kw_status status = ok ? kc_rsa_private_make(out, &num, KC_KEY_FOREIGN) : KW_E_INPUT;
    kc_rsa_numbers_clear(&num);
    return status;
}

static kw_status import(struct kc_key **out, enum kw_kty kty, enum kw_curve curve,
                        const struct kc_private_parts *parts)
{
    switch (kty) {
    case KW_KTY_RSA:
        return rsa_import(out, parts);
    case KW_KTY_EC:
        return kc_ec_private_make(out, curve, parts->x, parts->y, parts->ec_d);
    case KW_KTY_OCT:
        return kc_oct_make(out, parts->k);
    }
    return KW_E_UNSUPPORTED;
}

static bool all_zero(const uint8_t *data, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++) {
        any |= data[i];
    }
    return any == 0;
}

static kw_status from_private(struct kc_key **out, enum kw_kty kty, enum kw_curve curve,
                              struct kw_span bytes)
{
    if (kty == KW_KTY_OCT) {
        return kc_oct_make(out, bytes);
    }
    if (bytes.len == 0 || bytes.len > INT_MAX) {
        return KW_E_INPUT;
    }
    const uint8_t *at = bytes.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)bytes.len);
    EVP_PKEY *pkey = NULL;
    kw_status status = KW_E_INPUT;
    if (info && all_zero(at, bytes.len - (size_t)(at - bytes.data)) &&
        (pkey = EVP_PKCS82PKEY(info)) != NULL) {
        if (kty == KW_KTY_RSA && EVP_PKEY_is_a(pkey, "RSA")) {
            status = rsa_from_pkey(out, pkey, KC_KEY_STORED);
        } else if (kty == KW_KTY_EC && EVP_PKEY_is_a(pkey, "EC")) {
            status = ec_from_pkey(out, pkey, curve);
        }
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(pkey);
    return status;
}

/* The thread's OpenSSL error queue belongs to whoever runs TLS on it: what fails in here must leave
 * nothing there. */

kw_status kc_key_generate(struct kc_key **out, enum kw_kty kty, unsigned bits, enum kw_curve curve,
                          uint32_t exponent)
{
    *out = NULL;
    ERR_set_mark();
    kw_status status = generate(out, kty, bits, curve, exponent);
    ERR_pop_to_mark();
    return status;
}

kw_status kc_key_import(struct kc_key **out, enum kw_kty kty, enum kw_curve curve,
                        const struct kc_private_parts *parts)
{
    *out = NULL;
    ERR_set_mark();
    kw_status status = import(out, kty, curve, parts);
    ERR_pop_to_mark();
    return status;
}

kw_status kc_key_from_private(struct kc_key **out, enum kw_kty kty, enum kw_curve curve,
                              struct kw_span bytes)
{
    *out = NULL;
    ERR_set_mark();
    kw_status status = from_private(out, kty, curve, bytes);
    ERR_pop_to_mark();
    return status;
}

kw_status kc_key_from_public(struct kc_key **out, const struct kc_public *pub)
{
    *out = NULL;
    ERR_set_mark();
    kw_status status = pub->kty == KW_KTY_RSA  ? kc_rsa_public_make(out, pub)
                       : pub->kty == KW_KTY_EC ? kc_ec_public_make(out, pub)
                                               : KW_E_INPUT; /* oct has no public half */
    ERR_pop_to_mark();
    return status;
}

kw_status kc_key_to_private(struct kw_secret *out, const struct kc_key *key)
{
    *out = (struct kw_secret){0};
    if (!key->has_private) {
        return KW_E_FORBIDDEN;
    }
    if (key->pub.kty == KW_KTY_OCT) {
        return kw_secret_copy(out, kw_span_of(key->oct, key->pub.bits / 8));
    }
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->pkey);
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
    kw_status status = KW_E_NOMEM;
    if (len > 0 && (out->data = kw_secret_alloc((size_t)len)) != NULL) {
        uint8_t *at = out->data;
        out->len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &at);
        status = KW_OK;
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return status;
}

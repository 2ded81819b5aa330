#include "crypto/keys/key_internal.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

const char *kc_ec_group_name(enum kw_curve curve)
{
    switch (curve) {
    case KW_CURVE_P256:
        return "prime256v1";
    case KW_CURVE_P384:
        return "secp384r1";
    case KW_CURVE_P521:
        return "secp521r1";
    case KW_CURVE_P256K:
        return "secp256k1";
    case KW_CURVE_NONE:
        break;
    }
    return NULL;
}

/* `from` as exactly `width` bytes. False when it is empty or too large. */
static bool fixed_width(uint8_t *to, size_t width, struct kw_span from)
{
    if (from.len == 0) {
        return false;
    }
    while (from.len > width && *from.data == 0) {
        from.data++;
        from.len--;
    }
    if (from.len > width) {
        return false;
    }
    memset(to, 0, width - from.len);
    memcpy(to + width - from.len, from.data, from.len);
    return true;
}

static EVP_PKEY *make_pkey(const struct kc_public *pub, const uint8_t *d)
{
    size_t width = pub->coord_len;
    uint8_t point[1 + 2 * sizeof(pub->x)];
    point[0] = 4; /* uncompressed, SEC 1 section 2.3.3 */
    memcpy(point + 1, pub->x, width);
    memcpy(point + 1 + width, pub->y, width);

    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = NULL;
    BIGNUM *secret = d ? BN_bin2bn(d, (int)width, BN_secure_new()) : NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    bool ok =
        build && ctx && (!d || secret) &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME,
                                        kc_ec_group_name(pub->curve), 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width) &&
        (!d || OSSL_PARAM_BLD_push_BN_pad(build, OSSL_PKEY_PARAM_PRIV_KEY, secret, width));
    params = ok ? OSSL_PARAM_BLD_to_param(build) : NULL;
    int selection = d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1) {
        pkey = NULL;
    }
    for (OSSL_PARAM *at = params; at && at->key; at++) {
        kw_wipe(at->data, at->data_size);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_clear_free(secret);
    return pkey;
}

/* SP 800-56A section 5.6.2.3.3: the point is on the curve; d in range; d G = Q. */
static bool belongs_together(EVP_PKEY *pkey, bool has_private)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool ok =
        ctx && EVP_PKEY_public_check(ctx) == 1 &&
        (!has_private || (EVP_PKEY_private_check(ctx) == 1 && EVP_PKEY_pairwise_check(ctx) == 1));
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static kw_status make_contexts(struct kc_key *key)
{
    key->public_ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (!key->public_ctx || EVP_PKEY_verify_init(key->public_ctx) != 1) {
        return KW_E_NOMEM;
    }
    if (!key->has_private) {
        return KW_OK;
    }
    key->private_ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (!key->private_ctx || EVP_PKEY_sign_init(key->private_ctx) != 1) {
        return KW_E_NOMEM;
    }
    return KW_OK;
}

static kw_status make(struct kc_key **out, enum kw_curve curve, struct kw_span x, struct kw_span y,
                      const struct kw_span *d)
{
    *out = NULL;
    if (!kc_ec_group_name(curve)) {
        return KW_E_UNSUPPORTED;
    }
    struct kc_key *key = kc_key_alloc(KW_KTY_EC, kw_curve_bits(curve), curve);
    if (!key) {
        return KW_E_NOMEM;
    }
    size_t width = kw_curve_bytes(curve);
    key->pub.coord_len = width;
    kw_status status = KW_OK;
    if (!fixed_width(key->pub.x, width, x) || !fixed_width(key->pub.y, width, y)) {
        status = KW_E_INPUT;
    }
    if (status == KW_OK && d) {
        key->has_private = true;
        key->ec_d = kw_secret_alloc(width);
        if (!key->ec_d) {
            status = KW_E_NOMEM;
        } else if (!fixed_width(key->ec_d, width, *d)) {
            status = KW_E_INPUT;
        }
    }
    if (status == KW_OK) {
        key->pkey = make_pkey(&key->pub, key->ec_d);
        status =
            key->pkey && belongs_together(key->pkey, d != NULL) ? make_contexts(key) : KW_E_INPUT;
    }
    if (status != KW_OK) {
        kc_key_unref(key);
        return status;
    }
    return kc_key_finish(out, key);
}

kw_status kc_ec_public_make(struct kc_key **out, const struct kc_public *pub)
{
    if (pub->coord_len > sizeof(pub->x)) {
        return KW_E_INPUT;
    }
    kw_status status = make(out, pub->curve, kw_span_of(pub->x, pub->coord_len),
                            kw_span_of(pub->y, pub->coord_len), NULL);
    return status == KW_E_UNSUPPORTED ? KW_E_INPUT : status;
}

kw_status kc_ec_private_make(struct kc_key **out, enum kw_curve curve, struct kw_span x,
                             struct kw_span y, struct kw_span d)
{
    return make(out, curve, x, y, &d);
}

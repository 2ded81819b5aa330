/* Keys between OpenSSL's form and ours. */

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "gateway/x509/ossl.h"

#define PART_MAX (KW_RSA_MAX_BYTES + 8)

static const struct {
    enum kw_curve curve;
    const char *name;
} curves[] = {{KW_CURVE_P256, "prime256v1"},
              {KW_CURVE_P384, "secp384r1"},
              {KW_CURVE_P521, "secp521r1"},
              {KW_CURVE_P256K, "secp256k1"}};

static const char *curve_name(enum kw_curve curve)
{
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
        if (curves[i].curve == curve)
            return curves[i].name;
    return NULL;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *rsa_public(const struct kc_public *pub)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(pub->n, (int)pub->n_len, NULL);
    BIGNUM *e = BN_bin2bn(pub->e, (int)pub->e_len, NULL);
    if (build && n && e && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        pkey = from_params("RSA", build);
    BN_free(n);
    BN_free(e);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static EVP_PKEY *ec_public(const struct kc_public *pub)
{
    uint8_t point[1 + sizeof pub->x + sizeof pub->y];
    const char *group = curve_name(pub->curve);
    EVP_PKEY *pkey = NULL;
    if (!group || pub->coord_len > sizeof pub->x)
        return NULL;
    point[0] = 4; /* uncompressed */
    memcpy(point + 1, pub->x, pub->coord_len);
    memcpy(point + 1 + pub->coord_len, pub->y, pub->coord_len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + 2 * pub->coord_len) == 1)
        pkey = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

EVP_PKEY *gw_ossl_public(const struct kc_public *pub)
{
    if (pub->kty == KW_KTY_RSA)
        return rsa_public(pub);
    return pub->kty == KW_KTY_EC ? ec_public(pub) : NULL;
}

/** A number of the key, big-endian. `width` 0: minimal length. */
static bool part(const EVP_PKEY *pkey, const char *name, uint8_t *out, size_t room, size_t width,
                 size_t *len)
{
    BIGNUM *value = NULL;
    bool ok = false;
    if (EVP_PKEY_get_bn_param(pkey, name, &value) == 1) {
        *len = width ? width : (size_t)BN_num_bytes(value);
        ok = *len <= room && BN_bn2binpad(value, out, (int)*len) >= 0;
    }
    BN_clear_free(value);
    return ok;
}

static kw_status rsa_public_of(struct kc_public *out, const EVP_PKEY *pkey)
{
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits != 2048 && bits != 3072 && bits != 4096)
        return KW_E_UNSUPPORTED;
    out->bits = (unsigned)bits;
    if (!part(pkey, OSSL_PKEY_PARAM_RSA_N, out->n, sizeof out->n, 0, &out->n_len) ||
        !part(pkey, OSSL_PKEY_PARAM_RSA_E, out->e, sizeof out->e, 0, &out->e_len))
        return KW_E_UNSUPPORTED;
    return KW_OK;
}

static kw_status ec_curve_of(enum kw_curve *out, const EVP_PKEY *pkey)
{
    char group[64];
    size_t len = 0;
    if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       &len) != 1)
        return KW_E_UNSUPPORTED;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (strcmp(curves[i].name, group) == 0) {
            *out = curves[i].curve;
            return KW_OK;
        }
    }
    return KW_E_UNSUPPORTED;
}

static kw_status ec_public_of(struct kc_public *out, const EVP_PKEY *pkey)
{
    KW_TRY(ec_curve_of(&out->curve, pkey));
    size_t width = kw_curve_bytes(out->curve), len = 0;
    out->bits = kw_curve_bits(out->curve);
    out->coord_len = width;
    if (!part(pkey, OSSL_PKEY_PARAM_EC_PUB_X, out->x, sizeof out->x, width, &len) ||
        !part(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, out->y, sizeof out->y, width, &len))
        return KW_E_UNSUPPORTED;
    return KW_OK;
}

kw_status gw_ossl_public_of(struct kc_public *out, const EVP_PKEY *pkey)
{
    memset(out, 0, sizeof *out);
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        out->kty = KW_KTY_RSA;
        return rsa_public_of(out, pkey);
    }
    if (EVP_PKEY_is_a(pkey, "EC")) {
        out->kty = KW_KTY_EC;
        return ec_public_of(out, pkey);
    }
    return KW_E_UNSUPPORTED;
}

static bool secret_part(const EVP_PKEY *pkey, const char *name, uint8_t room[PART_MAX],
                        struct kw_span *out)
{
    size_t len = 0;
    if (!part(pkey, name, room, PART_MAX, 0, &len))
        return false;
    *out = kw_span_of(room, len);
    return true;
}

static kw_status rsa_import(struct kc_key **out, const EVP_PKEY *pkey, const struct kc_public *pub)
{
    struct kc_private_parts parts = {.n = kw_span_of(pub->n, pub->n_len),
                                     .e = kw_span_of(pub->e, pub->e_len)};
    const struct {
        const char *name;
        struct kw_span *to;
    } all[] = {
        {OSSL_PKEY_PARAM_RSA_D, &parts.d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, &parts.p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, &parts.q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, &parts.dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, &parts.dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, &parts.qi}};
    const size_t count = sizeof all / sizeof all[0];
    uint8_t(*room)[PART_MAX] = kw_secret_alloc(count * PART_MAX);
    if (!room)
        return KW_E_NOMEM;
    bool crt = true, d = secret_part(pkey, all[0].name, room[0], all[0].to);
    for (size_t i = 1; i < count; i++)
        crt = crt && secret_part(pkey, all[i].name, room[i], all[i].to);
    if (!crt) /* recovered from d */
        parts.p = parts.q = parts.dp = parts.dq = parts.qi = (struct kw_span){0};
    kw_status status = d ? kc_key_import(out, KW_KTY_RSA, KW_CURVE_NONE, &parts) : KW_E_INPUT;
    kw_secret_free(room);
    return status;
}

static kw_status ec_import(struct kc_key **out, const EVP_PKEY *pkey, const struct kc_public *pub)
{
    uint8_t d[66];
    size_t len = 0;
    if (!part(pkey, OSSL_PKEY_PARAM_PRIV_KEY, d, sizeof d, pub->coord_len, &len))
        return KW_E_INPUT;
    struct kc_private_parts parts = {.x = kw_span_of(pub->x, pub->coord_len),
                                     .y = kw_span_of(pub->y, pub->coord_len),
                                     .ec_d = kw_span_of(d, len)};
    kw_status status = kc_key_import(out, KW_KTY_EC, pub->curve, &parts);
    kw_wipe(d, sizeof d);
    return status;
}

kw_status gw_ossl_import(struct kc_key **out, const EVP_PKEY *pkey)
{
    struct kc_public pub;
    KW_TRY(gw_ossl_public_of(&pub, pkey));
    return pub.kty == KW_KTY_RSA ? rsa_import(out, pkey, &pub) : ec_import(out, pkey, &pub);
}

EVP_PKEY *gw_ossl_private(const struct kc_key *key)
{
    struct kw_secret bytes;
    EVP_PKEY *pkey = NULL;
    if (kc_key_to_private(&bytes, key) != KW_OK)
        return NULL;
    const uint8_t *at = bytes.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)bytes.len);
    if (info)
        pkey = EVP_PKCS82PKEY(info);
    PKCS8_PRIV_KEY_INFO_free(info);
    kw_secret_clear(&bytes);
    return pkey;
}

bool gw_x509_same_key(const struct kc_public *a, const struct kc_public *b)
{
    if (a->kty != b->kty || a->bits != b->bits)
        return false;
    if (a->kty == KW_KTY_RSA)
        return kw_span_equal(kw_span_of(a->n, a->n_len), kw_span_of(b->n, b->n_len)) &&
               kw_span_equal(kw_span_of(a->e, a->e_len), kw_span_of(b->e, b->e_len));
    return a->curve == b->curve && a->coord_len == b->coord_len &&
           memcmp(a->x, b->x, a->coord_len) == 0 && memcmp(a->y, b->y, a->coord_len) == 0;
}

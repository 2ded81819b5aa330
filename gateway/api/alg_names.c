#include "gateway/api/alg_names.h"

static const char *const algs[KW_ALG_COUNT] = {
    [KW_ALG_RS256] = "RS256",
    [KW_ALG_RS384] = "RS384",
    [KW_ALG_RS512] = "RS512",
    [KW_ALG_PS256] = "PS256",
    [KW_ALG_PS384] = "PS384",
    [KW_ALG_PS512] = "PS512",
    [KW_ALG_RSNULL] = "RSNULL",
    [KW_ALG_ES256] = "ES256",
    [KW_ALG_ES384] = "ES384",
    [KW_ALG_ES512] = "ES512",
    [KW_ALG_ES256K] = "ES256K",
    [KW_ALG_HS256] = "HS256",
    [KW_ALG_HS384] = "HS384",
    [KW_ALG_HS512] = "HS512",
    [KW_ALG_RSA1_5] = "RSA1_5",
    [KW_ALG_RSA_OAEP] = "RSA-OAEP",
    [KW_ALG_RSA_OAEP_256] = "RSA-OAEP-256",
    [KW_ALG_A128KW] = "A128KW",
    [KW_ALG_A192KW] = "A192KW",
    [KW_ALG_A256KW] = "A256KW",
    [KW_ALG_AES_KW] = "CKM_AES_KEY_WRAP",
    [KW_ALG_AES_KWP] = "CKM_AES_KEY_WRAP_PAD",
    [KW_ALG_A128GCM] = "A128GCM",
    [KW_ALG_A192GCM] = "A192GCM",
    [KW_ALG_A256GCM] = "A256GCM",
    [KW_ALG_A128CBC] = "A128CBC",
    [KW_ALG_A192CBC] = "A192CBC",
    [KW_ALG_A256CBC] = "A256CBC",
    [KW_ALG_A128CBCPAD] = "A128CBCPAD",
    [KW_ALG_A192CBCPAD] = "A192CBCPAD",
    [KW_ALG_A256CBCPAD] = "A256CBCPAD",
};

static const char *const curves[] = {
    [KW_CURVE_P256] = "P-256",
    [KW_CURVE_P384] = "P-384",
    [KW_CURVE_P521] = "P-521",
    [KW_CURVE_P256K] = "P-256K",
};

static const char *const ktys[][2] = {
    [KW_KTY_RSA] = {"RSA", "RSA-HSM"},
    [KW_KTY_EC] = {"EC", "EC-HSM"},
    [KW_KTY_OCT] = {"oct", "oct-HSM"},
};

static const char *const key_ops[KW_KIND_COUNT] = {
    [KW_KIND_SIGN] = "sign",       [KW_KIND_VERIFY] = "verify", [KW_KIND_ENCRYPT] = "encrypt",
    [KW_KIND_DECRYPT] = "decrypt", [KW_KIND_WRAP] = "wrapKey",  [KW_KIND_UNWRAP] = "unwrapKey",
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static bool same(struct kw_span name, const char *word)
{
    return word && kw_span_equal(name, kw_span_str(word));
}

enum kw_alg gw_alg_parse(struct kw_span name)
{
    for (size_t i = 0; i < COUNT(algs); i++) {
        if (same(name, algs[i]))
            return (enum kw_alg)i;
    }
    /* the name before api-version 7.0 */
    return same(name, "ECDSA256") ? KW_ALG_ES256K : KW_ALG_NONE;
}

const char *gw_alg_name(enum kw_alg alg)
{
    return (size_t)alg < COUNT(algs) && algs[alg] ? algs[alg] : "none";
}

bool gw_kty_parse(struct kw_span name, enum kw_kty *kty, bool *hsm)
{
    for (size_t i = 0; i < COUNT(ktys); i++) {
        for (int form = 0; form < 2; form++) {
            if (same(name, ktys[i][form])) {
                *kty = (enum kw_kty)i;
                *hsm = form == 1;
                return true;
            }
        }
    }
    return false;
}

const char *gw_kty_name(enum kw_kty kty, bool hsm)
{
    return ktys[kty][hsm ? 1 : 0];
}

enum kw_curve gw_curve_parse(struct kw_span name)
{
    for (size_t i = 0; i < COUNT(curves); i++) {
        if (same(name, curves[i]))
            return (enum kw_curve)i;
    }
    return same(name, "SECP256K1") ? KW_CURVE_P256K : KW_CURVE_NONE;
}

const char *gw_curve_name(enum kw_curve curve)
{
    return (size_t)curve < COUNT(curves) && curves[curve] ? curves[curve] : "none";
}

const char *gw_key_op_name(enum kw_kind kind)
{
    return (size_t)kind < COUNT(key_ops) ? key_ops[kind] : NULL;
}

bool gw_key_op_parse(struct kw_span name, enum kw_kind *kind)
{
    for (size_t i = 0; i < COUNT(key_ops); i++) {
        if (same(name, key_ops[i])) {
            *kind = (enum kw_kind)i;
            return true;
        }
    }
    return false;
}

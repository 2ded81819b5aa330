#include "gateway/api/crypto/alg_names.h"

#include "crypto/base/jose.h"

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
    for (size_t i = 0; i < KW_ALG_COUNT; i++) {
        if (same(name, kw_alg_jose((enum kw_alg)i)))
            return (enum kw_alg)i;
    }
    /* the name before api-version 7.0 */
    return same(name, "ECDSA256") ? KW_ALG_ES256K : KW_ALG_NONE;
}

const char *gw_alg_name(enum kw_alg alg)
{
    return kw_alg_jose(alg) ? kw_alg_jose(alg) : "none";
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
    for (size_t i = 0; i <= KW_CURVE_P256K; i++) {
        if (same(name, kw_curve_jose((enum kw_curve)i)))
            return (enum kw_curve)i;
    }
    return same(name, "SECP256K1") ? KW_CURVE_P256K : KW_CURVE_NONE;
}

const char *gw_curve_name(enum kw_curve curve)
{
    return kw_curve_jose(curve) ? kw_curve_jose(curve) : "none";
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

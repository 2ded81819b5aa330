#include "tests/faults/lies_key.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

static EVP_PKEY *public_of(const struct kc_public *pub)
{
    EVP_PKEY *made = NULL;
    BIGNUM *n = NULL, *e = NULL;
    uint8_t point[65] = {4};
    bool ec = pub->kty == KW_KTY_EC;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (ec) {
        memcpy(point + 1, pub->x, 32);
        memcpy(point + 33, pub->y, 32);
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point);
    } else {
        n = BN_bin2bn(pub->n, (int)pub->n_len, NULL);
        e = BN_bin2bn(pub->e, (int)pub->e_len, NULL);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
    }
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, ec ? "EC" : "RSA", NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        made = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return made;
}

bool lies_key_make(struct lies_key *out, struct pool *pool, bool ec)
{
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    struct kc_key *key = NULL;
    struct pool_key_desc desc = {.hsm = true, .id = {1, ec}};
    if (kc_key_generate(&key, ec ? KW_KTY_EC : KW_KTY_RSA, ec ? 0 : 2048,
                        ec ? KW_CURVE_P256 : KW_CURVE_NONE, ec ? 0 : 65537) != KW_OK) {
        return false;
    }
    kw_status wrapped = pool_key_wrap(pool, desc.id, key, true, &blob);
    desc.pub = *kc_key_public(key);
    desc.blob = kw_buf_span(&blob);
    kc_key_unref(key);
    out->public = public_of(&desc.pub);
    return wrapped == KW_OK && out->public != NULL &&
           pool_key_create(&out->key, pool, &desc) == KW_OK;
}

void lies_key_free(struct lies_key *key)
{
    EVP_PKEY_free(key->public);
    if (key->key != NULL) {
        pool_key_unref(key->key);
    }
}

/* DER of r and s; its length, 0 when it cannot be made. */
static size_t der_of(const uint8_t *sig, uint8_t der[80])
{
    ECDSA_SIG *parts = ECDSA_SIG_new();
    int len = -1;
    if (parts != NULL &&
        ECDSA_SIG_set0(parts, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL)) == 1) {
        len = i2d_ECDSA_SIG(parts, &der);
    }
    ECDSA_SIG_free(parts);
    return len > 0 ? (size_t)len : 0;
}

bool lies_key_verify(const struct lies_key *key, enum kw_alg alg, const uint8_t digest[32],
                     const uint8_t *sig, size_t sig_len)
{
    uint8_t der[80];
    if (alg == KW_ALG_ES256) {
        if (sig_len != 64 || (sig_len = der_of(sig, der)) == 0) {
            return false;
        }
        sig = der;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->public, NULL);
    bool ready = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                 (alg == KW_ALG_ES256 ||
                  EVP_PKEY_CTX_set_rsa_padding(
                      ctx, alg == KW_ALG_PS256 ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1) &&
                 EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
                 (alg != KW_ALG_PS256 || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, 32) == 1);
    bool valid = ready && EVP_PKEY_verify(ctx, sig, sig_len, digest, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    return valid;
}

bool lies_key_encrypt(const struct lies_key *key, enum kw_alg alg, const uint8_t secret[32],
                      uint8_t out[512], size_t *out_len)
{
    bool oaep = alg == KW_ALG_RSA_OAEP_256;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->public, NULL);
    *out_len = 512;
    bool done =
        ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, oaep ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING) == 1 &&
        (!oaep || EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1) &&
        EVP_PKEY_encrypt(ctx, out, out_len, secret, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    return done;
}

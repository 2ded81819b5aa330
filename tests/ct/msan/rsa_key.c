#include "tests/ct/msan/rsa_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

/* Number `name` of the key, right-aligned in `len` bytes at `room`. */
static struct kw_span part(const EVP_PKEY *pkey, const char *name, uint8_t *room, size_t len)
{
    BIGNUM *v = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, name, &v) == 1 && BN_bn2binpad(v, room, (int)len) > 0;
    BN_clear_free(v);
    return kw_span_of(room, ok ? len : 0);
}

void ct_rsa_make(struct ct_rsa *out, unsigned bits)
{
    static uint8_t room[7][KW_RSA_MAX_BYTES];
    const size_t k = bits / 8;
    EVP_PKEY *pkey = EVP_RSA_gen(bits);
    out->made = false;
    if (!pkey) {
        return;
    }
    struct kc_private_parts parts = {
        .n = part(pkey, OSSL_PKEY_PARAM_RSA_N, room[0], k),
        .e = part(pkey, OSSL_PKEY_PARAM_RSA_E, room[1], 3),
        .p = part(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, room[2], k / 2),
        .q = part(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, room[3], k / 2),
        .dp = part(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, room[4], k / 2),
        .dq = part(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, room[5], k / 2),
        .qi = part(pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, room[6], k / 2),
    };
    for (size_t i = 0; i < k; i++) {
        out->in[i] = (uint8_t)(i * 37 + 1);
    }
    out->in[0] = 0;
    size_t len = k;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    out->made = ctx && EVP_PKEY_decrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
                EVP_PKEY_decrypt(ctx, out->want, &len, out->in, k) == 1 &&
                kc_rsa_private_init(&out->key, &parts) == KW_OK;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

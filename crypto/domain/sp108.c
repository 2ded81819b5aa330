#include "crypto/domain/sp108.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

static OSSL_PARAM octets(const char *name, struct kw_span bytes)
{
    return OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)bytes.data, bytes.len);
}

kw_status kc_sp108(uint8_t *out, size_t len, struct kw_span key, struct kw_span label,
                   struct kw_span context)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "KBKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    EVP_KDF_free(kdf);
    if (!ctx)
        return KW_E_NOMEM;
    char mode[] = "counter", mac[] = "HMAC", digest[] = "SHA2-512";
    OSSL_PARAM params[7], *at = params;
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, mode, 0);
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, mac, 0);
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *at++ = octets(OSSL_KDF_PARAM_KEY, key);
    *at++ = octets(OSSL_KDF_PARAM_SALT, label);
    if (context.len > 0)
        *at++ = octets(OSSL_KDF_PARAM_INFO, context);
    *at = OSSL_PARAM_construct_end();
    kw_status status = EVP_KDF_derive(ctx, out, len, params) == 1 ? KW_OK : KW_E_INTERNAL;
    EVP_KDF_CTX_free(ctx);
    return status;
}

#include "crypto/domain/domain.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <stdlib.h>

#include "crypto/base/hex.h"
#include "crypto/domain/domain_internal.h"
#include "crypto/keys/ossl.h"

/* One label per purpose; they are part of every stored byte and never change. */
#define LABEL_STORE  "keyward store key v1"
#define LABEL_MEMBER "keyward member wrapping key v1"
#define LABEL_CHECK  "keyward domain check value v1"

kw_status kc_hkdf(uint8_t *out, size_t len, struct kw_span key, struct kw_span salt,
                  struct kw_span info)
{
    const struct kc_ossl *ossl = kc_ossl();
    EVP_KDF_CTX *ctx = ossl ? EVP_KDF_CTX_new(ossl->hkdf) : NULL;
    if (!ctx) {
        return ossl ? KW_E_NOMEM : KW_E_INTERNAL;
    }
    char digest[] = "SHA2-256";
    OSSL_PARAM params[5], *at = params;
    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *at++ =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.data, key.len);
    if (salt.len != 0) {
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.data,
                                                  salt.len);
    }
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.data,
                                              info.len);
    *at = OSSL_PARAM_construct_end();
    kw_status status = EVP_KDF_derive(ctx, out, len, params) == 1 ? KW_OK : KW_E_INTERNAL;
    EVP_KDF_CTX_free(ctx);
    return status;
}

static kw_status derive_all(struct kc_domain *domain)
{
    struct domain_keys *keys = domain->keys;
    struct kw_span key = kw_span_of(keys->domain, sizeof(keys->domain));
    struct kw_span none = {0};
    KW_TRY(kc_hkdf(keys->store, sizeof(keys->store), key, none, kw_span_str(LABEL_STORE)));
    KW_TRY(kc_hkdf(keys->member, sizeof(keys->member), key, none, kw_span_str(LABEL_MEMBER)));
    return kc_hkdf(domain->check, sizeof(domain->check), key, none, kw_span_str(LABEL_CHECK));
}

kw_status kc_domain_open(struct kc_domain **out, struct kw_span key)
{
    *out = NULL;
    if (key.len != KC_DOMAIN_KEY_LEN) {
        return KW_E_INPUT;
    }
    struct kc_domain *domain = calloc(1, sizeof(*domain));
    if (!domain) {
        return KW_E_NOMEM;
    }
    kw_status status = KW_E_NOMEM;
    domain->keys = kw_secret_alloc(sizeof(*domain->keys));
    if (domain->keys) {
        memcpy(domain->keys->domain, key.data, key.len);
        status = derive_all(domain);
    }
    if (status != KW_OK) {
        kc_domain_destroy(domain);
        return status;
    }
    *out = domain;
    return KW_OK;
}

kw_status kc_domain_create(struct kc_domain **out)
{
    uint8_t key[KC_DOMAIN_KEY_LEN];
    *out = NULL;
    kw_status status = kw_random(key, sizeof(key));
    if (status == KW_OK) {
        status = kc_domain_open(out, kw_span_of(key, sizeof(key)));
    }
    kw_wipe(key, sizeof(key));
    return status;
}

kw_status kc_domain_key(const struct kc_domain *domain, struct kw_secret *out)
{
    return kw_secret_copy(out, kw_span_of(domain->keys->domain, sizeof(domain->keys->domain)));
}

kw_status kc_domain_member_key(const struct kc_domain *domain, struct kw_secret *out)
{
    return kw_secret_copy(out, kw_span_of(domain->keys->member, sizeof(domain->keys->member)));
}

void kc_domain_destroy(struct kc_domain *domain)
{
    if (domain) {
        kw_secret_free(domain->keys);
        kw_wipe(domain, sizeof(*domain));
        free(domain);
    }
}

void kc_domain_check(const struct kc_domain *domain, char out[2 * KC_DOMAIN_CHECK_LEN + 1])
{
    kw_hex_write(out, domain->check, KC_DOMAIN_CHECK_LEN);
}

/* Sealed records: salt (16) || iv (12) || ciphertext || tag (16). The record key is derived from
 * the store key with the salt, so that no number of records wears one GCM key out (SP 800-38D
 * section 8: at most 2^32 random ivs under one key). */
#include <limits.h>

#include "crypto/domain/domain_internal.h"
#include "crypto/keys/ossl.h"

#define SALT_LEN     16
#define HEAD_LEN     (SALT_LEN + KW_GCM_IV_LEN)
#define LABEL_RECORD "keyward sealed record v1"

_Static_assert(HEAD_LEN + KW_GCM_TAG_LEN == KC_SEAL_OVERHEAD, "the format of sealed records");

struct gcm {
    int encrypt;
    const uint8_t *iv;
    uint8_t *tag; /* written, or read when opening */
};

static kw_status gcm_run(const struct gcm *gcm, uint8_t *out, const uint8_t key[32],
                         struct kw_span aad, struct kw_span in)
{
    const struct kc_ossl *ossl = kc_ossl();
    EVP_CIPHER_CTX *ctx = ossl ? EVP_CIPHER_CTX_new() : NULL;
    if (!ctx) {
        return KW_E_NOMEM;
    }
    uint8_t none[1];
    int len = 0;
    bool ok = EVP_CipherInit_ex2(ctx, ossl->gcm[2], key, gcm->iv, gcm->encrypt, NULL) == 1 &&
              (aad.len == 0 || EVP_CipherUpdate(ctx, NULL, &len, aad.data, (int)aad.len) == 1) &&
              (in.len == 0 || EVP_CipherUpdate(ctx, out, &len, in.data, (int)in.len) == 1) &&
              (gcm->encrypt ||
               EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, KW_GCM_TAG_LEN, gcm->tag) == 1);
    kw_status status = ok ? KW_OK : KW_E_INTERNAL;
    if (ok && EVP_CipherFinal_ex(ctx, none, &len) != 1) {
        status = gcm->encrypt ? KW_E_INTERNAL : KW_E_INTEGRITY;
    } else if (ok && gcm->encrypt &&
               EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, KW_GCM_TAG_LEN, gcm->tag) != 1) {
        status = KW_E_INTERNAL;
    }
    EVP_CIPHER_CTX_free(ctx);
    return status;
}

static kw_status record_key(uint8_t key[32], const struct kc_domain *domain, const uint8_t *salt)
{
    return kc_hkdf(key, 32, kw_span_of(domain->keys->store, sizeof(domain->keys->store)),
                   kw_span_of(salt, SALT_LEN), kw_span_str(LABEL_RECORD));
}

kw_status kc_seal(const struct kc_domain *domain, struct kw_span aad, struct kw_span plain,
                  struct kw_buf *out)
{
    out->len = 0;
    if (plain.len > INT_MAX - KC_SEAL_OVERHEAD || aad.len > INT_MAX ||
        out->cap < plain.len + KC_SEAL_OVERHEAD) {
        return KW_E_INPUT;
    }
    uint8_t *head = out->data, *body = head + HEAD_LEN, key[32];
    KW_TRY(kw_random(head, HEAD_LEN));
    kw_status status = record_key(key, domain, head);
    if (status == KW_OK) {
        struct gcm gcm = {1, head + SALT_LEN, body + plain.len};
        status = gcm_run(&gcm, body, key, aad, plain);
    }
    kw_wipe(key, sizeof(key));
    if (status == KW_OK) {
        out->len = plain.len + KC_SEAL_OVERHEAD;
    }
    return status;
}

kw_status kc_open(const struct kc_domain *domain, struct kw_span aad, struct kw_span sealed,
                  struct kw_buf *out)
{
    out->len = 0;
    if (sealed.len < KC_SEAL_OVERHEAD) {
        return KW_E_INTEGRITY;
    }
    size_t len = sealed.len - KC_SEAL_OVERHEAD;
    if (sealed.len > INT_MAX || aad.len > INT_MAX || out->cap < len) {
        return KW_E_INPUT;
    }
    uint8_t key[32], tag[KW_GCM_TAG_LEN];
    memcpy(tag, sealed.data + HEAD_LEN + len, sizeof(tag));
    kw_status status = record_key(key, domain, sealed.data);
    if (status == KW_OK) {
        struct gcm gcm = {0, sealed.data + SALT_LEN, tag};
        status = gcm_run(&gcm, out->data, key, aad, kw_span_of(sealed.data + HEAD_LEN, len));
    }
    kw_wipe(key, sizeof(key));
    if (status == KW_OK) {
        out->len = len;
    } else {
        kw_wipe(out->data, len);
    }
    return status;
}

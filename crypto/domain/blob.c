#include "crypto/domain/domain_internal.h"
#include "crypto/wrap/keywrap.h"

#define BLOB_FORMAT 1

/* The PKCS#8 goes in padded to whole semiblocks, as tokens do it before CKM_AES_KEY_WRAP_PAD. */
static kw_status wrap_kwp(uint8_t *out, size_t *len, EVP_CIPHER_CTX *ecb, struct kw_span plain)
{
    size_t padded_len = (plain.len + 7) & ~(size_t)7;
    uint8_t *padded = kw_secret_alloc(padded_len);
    if (!padded) {
        return KW_E_NOMEM;
    }
    memcpy(padded, plain.data, plain.len);
    kw_status status = kc_kwp_wrap(out, len, ecb, kw_span_of(padded, padded_len));
    kw_secret_free(padded);
    return status;
}

static kw_status wrap_member(const struct kc_domain *domain, enum kc_blob_kind kind,
                             struct kw_span plain, struct kw_buf *body)
{
    if (body->cap < plain.len + 16) {
        return KW_E_TOO_LARGE;
    }
    struct kw_span key = kw_span_of(domain->keys->member, sizeof(domain->keys->member));
    EVP_CIPHER_CTX *ecb = kc_kw_context(key, 1);
    if (!ecb) {
        return KW_E_NOMEM;
    }
    kw_status status;
    if (kind == KC_BLOB_MEMBER_KWP) {
        status = wrap_kwp(body->data, &body->len, ecb, plain);
    } else {
        status = kc_kw_wrap(body->data, ecb, plain);
        body->len = plain.len + 8;
    }
    EVP_CIPHER_CTX_free(ecb);
    return status;
}

kw_status kc_blob_wrap(const struct kc_domain *domain, const uint8_t key_id[KW_KEY_ID_LEN],
                       const struct kc_key *key, bool for_member, struct kw_buf *out)
{
    const struct kc_public *pub = kc_key_public(key);
    out->len = 0;
    if (out->cap < KC_BLOB_HEADER) {
        return KW_E_TOO_LARGE;
    }
    enum kc_blob_kind kind = !for_member              ? KC_BLOB_SOFTWARE
                             : pub->kty == KW_KTY_OCT ? KC_BLOB_MEMBER_KW
                                                      : KC_BLOB_MEMBER_KWP;
    struct kw_secret plain;
    KW_TRY(kc_key_to_private(&plain, key));
    struct kw_span span = kw_span_of(plain.data, plain.len);
    struct kw_buf body = {out->data + KC_BLOB_HEADER, 0, out->cap - KC_BLOB_HEADER};
    kw_status status;
    if (kind != KC_BLOB_SOFTWARE) {
        status = wrap_member(domain, kind, span, &body);
    } else if (body.cap < span.len + KC_SEAL_OVERHEAD) {
        status = KW_E_TOO_LARGE;
    } else {
        status = kc_seal(domain, kw_span_of(key_id, KW_KEY_ID_LEN), span, &body);
    }
    kw_secret_clear(&plain);
    KW_TRY(status);
    out->data[0] = BLOB_FORMAT;
    out->data[1] = (uint8_t)kind;
    out->data[2] = (uint8_t)pub->kty;
    out->data[3] = (uint8_t)pub->curve;
    out->len = KC_BLOB_HEADER + body.len;
    return KW_OK;
}

/* Plaintext of the body into `plain`, whose room is the body's length. */
static kw_status open_body(const struct kc_domain *domain, const uint8_t *key_id,
                           enum kc_blob_kind kind, struct kw_span body, struct kw_buf *plain)
{
    if (kind == KC_BLOB_SOFTWARE) {
        return kc_open(domain, kw_span_of(key_id, KW_KEY_ID_LEN), body, plain);
    }
    struct kw_span key = kw_span_of(domain->keys->member, sizeof(domain->keys->member));
    EVP_CIPHER_CTX *ecb = kc_kw_context(key, 0);
    if (!ecb) {
        return KW_E_NOMEM;
    }
    kw_status status;
    if (kind == KC_BLOB_MEMBER_KWP) {
        status = kc_kwp_unwrap(plain->data, &plain->len, ecb, body);
    } else {
        status = kc_kw_unwrap(plain->data, ecb, body);
        plain->len = status == KW_OK ? body.len - 8 : 0;
    }
    EVP_CIPHER_CTX_free(ecb);
    return status == KW_E_INPUT || status == KW_E_CRYPTO ? KW_E_INTEGRITY : status;
}

/* Only combinations that kc_blob_wrap makes. */
static bool header_ok(struct kw_span blob)
{
    if (blob.len <= KC_BLOB_HEADER || blob.len > KC_BLOB_MAX || blob.data[0] != BLOB_FORMAT) {
        return false;
    }
    uint8_t kind = blob.data[1], kty = blob.data[2], curve = blob.data[3];
    bool kind_ok = kind == KC_BLOB_SOFTWARE ||
                   kind == (kty == KW_KTY_OCT ? KC_BLOB_MEMBER_KW : KC_BLOB_MEMBER_KWP);
    bool curve_ok = kty == KW_KTY_EC ? curve >= KW_CURVE_P256 && curve <= KW_CURVE_P256K
                                     : curve == KW_CURVE_NONE;
    return kind_ok && kty <= KW_KTY_OCT && curve_ok;
}

kw_status kc_blob_open(const struct kc_domain *domain, const uint8_t key_id[KW_KEY_ID_LEN],
                       struct kw_span blob, bool allow_member, struct kc_key **out)
{
    *out = NULL;
    if (!header_ok(blob)) {
        return KW_E_INTEGRITY;
    }
    enum kc_blob_kind kind = (enum kc_blob_kind)blob.data[1];
    if (kind != KC_BLOB_SOFTWARE && !allow_member) {
        return KW_E_FORBIDDEN;
    }
    struct kw_span body = kw_span_of(blob.data + KC_BLOB_HEADER, blob.len - KC_BLOB_HEADER);
    struct kw_buf plain = {kw_secret_alloc(body.len), 0, body.len};
    if (!plain.data) {
        return KW_E_NOMEM;
    }
    kw_status status = open_body(domain, key_id, kind, body, &plain);
    if (status == KW_OK) {
        status = kc_key_from_private(out, (enum kw_kty)blob.data[2], (enum kw_curve)blob.data[3],
                                     kw_buf_span(&plain));
        if (status == KW_E_INPUT || status == KW_E_UNSUPPORTED) {
            status = KW_E_INTEGRITY;
        }
    }
    kw_secret_free(plain.data);
    return status;
}

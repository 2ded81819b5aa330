/* PKCS#12 (RFC 7292), read with bounds on what it may cost, written under the empty password. */

#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "gateway/x509/ossl.h"

#define FILE_MAX 262144
#define BAGS_MAX 64

struct reading {
    const char *password;
    int password_len;
    int64_t rounds;
    int bags;
    PKCS8_PRIV_KEY_INFO *key;
    STACK_OF(X509) * certs;
    bool keyless; /* without a private key it is whole too */
    const char *why;
};

static kw_status fail(struct reading *r, kw_status status, const char *why)
{
    r->why = why;
    return status;
}

static kw_status too_costly(struct reading *r)
{
    return fail(r, KW_E_UNSUPPORTED,
                "The PKCS#12 value uses a key derivation that is not offered, or too many rounds "
                "of one.");
}

static kw_status take_key(struct reading *r, PKCS8_PRIV_KEY_INFO *key)
{
    if (!key)
        return fail(r, KW_E_INPUT, "The private key of the PKCS#12 value cannot be decrypted.");
    if (r->key) {
        PKCS8_PRIV_KEY_INFO_free(key);
        return fail(r, KW_E_INPUT, "The PKCS#12 value holds more than one private key.");
    }
    r->key = key;
    return KW_OK;
}

static kw_status take_plain_key(struct reading *r, PKCS12_SAFEBAG *bag)
{
    const PKCS8_PRIV_KEY_INFO *borrowed = PKCS12_SAFEBAG_get0_p8inf(bag);
    uint8_t *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(borrowed, &der);
    const uint8_t *at = der;
    PKCS8_PRIV_KEY_INFO *copy = len > 0 ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, len) : NULL;
    if (der)
        OPENSSL_clear_free(der, (size_t)len);
    return take_key(r, copy);
}

static kw_status take_shrouded_key(struct reading *r, PKCS12_SAFEBAG *bag)
{
    const X509_ALGOR *alg = NULL;
    const ASN1_OCTET_STRING *data = NULL;
    X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &alg, &data);
    if (gw_pbe_count(alg, &r->rounds) != KW_OK)
        return too_costly(r);
    return take_key(
        r, PKCS12_decrypt_skey_ex(bag, r->password, r->password_len, gw_pbe_context(), NULL));
}

static kw_status take_cert(struct reading *r, PKCS12_SAFEBAG *bag)
{
    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return KW_OK;
    X509 *cert = PKCS12_SAFEBAG_get1_cert(bag);
    if (!cert)
        return fail(r, KW_E_INPUT, "A certificate of the PKCS#12 value cannot be read.");
    if (sk_X509_push(r->certs, cert) <= 0) {
        X509_free(cert);
        return KW_E_NOMEM;
    }
    return KW_OK;
}

static kw_status take_bag(struct reading *r, PKCS12_SAFEBAG *bag)
{
    if (++r->bags > BAGS_MAX)
        return fail(r, KW_E_INPUT, "The PKCS#12 value holds more than 64 parts.");
    switch (PKCS12_SAFEBAG_get_nid(bag)) {
    case NID_keyBag:
        return take_plain_key(r, bag);
    case NID_pkcs8ShroudedKeyBag:
        return take_shrouded_key(r, bag);
    case NID_certBag:
        return take_cert(r, bag);
    default: /* revocation lists, secrets, nested contents */
        return KW_OK;
    }
}

static kw_status open_safe(struct reading *r, PKCS7 *safe, STACK_OF(PKCS12_SAFEBAG) * *bags)
{
    int type = OBJ_obj2nid(safe->type);
    if (type == NID_pkcs7_data) {
        *bags = safe->d.data ? PKCS12_unpack_p7data(safe) : NULL;
    } else if (type == NID_pkcs7_encrypted) {
        PKCS7_ENCRYPT *encrypted = safe->d.encrypted;
        if (!encrypted || !encrypted->enc_data || !encrypted->enc_data->enc_data)
            return fail(r, KW_E_INPUT, "A part of the PKCS#12 value is empty.");
        if (gw_pbe_count(encrypted->enc_data->algorithm, &r->rounds) != KW_OK)
            return too_costly(r);
        *bags = PKCS12_unpack_p7encdata(safe, r->password, r->password_len);
    } else {
        return fail(r, KW_E_UNSUPPORTED, "The PKCS#12 value is encrypted to a public key.");
    }
    return *bags ? KW_OK
                 : fail(r, KW_E_INPUT, "A part of the PKCS#12 value cannot be decrypted or read.");
}

static kw_status take_safe(struct reading *r, PKCS7 *safe)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    kw_status status = open_safe(r, safe, &bags);
    for (int i = 0; status == KW_OK && i < sk_PKCS12_SAFEBAG_num(bags); i++)
        status = take_bag(r, sk_PKCS12_SAFEBAG_value(bags, i));
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return status;
}

/** No password is written in two ways; the one that the MAC was made with is found here. */
static kw_status check_mac(struct reading *r, PKCS12 *p12)
{
    const ASN1_INTEGER *iterations = NULL;
    int64_t rounds = 1;
    if (!PKCS12_mac_present(p12))
        return KW_OK;
    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, p12);
    if (iterations && ASN1_INTEGER_get_int64(&rounds, iterations) != 1)
        return too_costly(r);
    if (gw_pbe_add(&r->rounds, rounds) != KW_OK)
        return too_costly(r);
    if (r->password_len > 0) {
        if (PKCS12_verify_mac(p12, r->password, r->password_len) == 1)
            return KW_OK;
    } else {
        if (PKCS12_verify_mac(p12, NULL, 0) == 1) {
            r->password = NULL;
            return KW_OK;
        }
        if (gw_pbe_add(&r->rounds, rounds) != KW_OK)
            return too_costly(r);
        if (PKCS12_verify_mac(p12, "", 0) == 1) {
            r->password = "";
            return KW_OK;
        }
    }
    return fail(r, KW_E_INPUT, "The PKCS#12 value is damaged, or the password 'pwd' is wrong.");
}

static kw_status read_all(struct reading *r, PKCS12 *p12)
{
    kw_status status = check_mac(r, p12);
    STACK_OF(PKCS7) *safes = NULL;
    if (status == KW_OK) {
        safes = PKCS12_unpack_authsafes(p12);
        if (!safes)
            status = fail(r, KW_E_INPUT, "The PKCS#12 value has no contents.");
    }
    for (int i = 0; status == KW_OK && i < sk_PKCS7_num(safes); i++)
        status = i < BAGS_MAX ? take_safe(r, sk_PKCS7_value(safes, i))
                              : fail(r, KW_E_INPUT, "The PKCS#12 value holds more than 64 parts.");
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return status;
}

static kw_status finish(struct reading *r, struct gw_x509_bundle *out, bool keep_order)
{
    struct kc_key *key = NULL;
    if (!r->key && r->keyless)
        return gw_bundle_certs(out, r->certs, &r->why);
    if (!r->key)
        return fail(r, KW_E_INPUT, "The PKCS#12 value holds no private key.");
    EVP_PKEY *pkey = EVP_PKCS82PKEY(r->key);
    kw_status status = pkey ? gw_ossl_import(&key, pkey) : KW_E_INPUT;
    EVP_PKEY_free(pkey);
    if (status == KW_E_INPUT)
        return fail(r, status, "The private key is not valid: its parts do not belong together.");
    if (status == KW_E_UNSUPPORTED)
        return fail(r, status, "The private key is of a type or size that is not offered.");
    if (status == KW_OK)
        status = gw_bundle_make(out, key, r->certs, keep_order, &r->why);
    kc_key_unref(key);
    return status;
}

static PKCS12 *parse(struct kw_span der)
{
    const uint8_t *at = der.data;
    if (der.len == 0 || der.len > FILE_MAX || !gw_pbe_context())
        return NULL;
    PKCS12 *p12 = PKCS12_init_ex(NID_pkcs7_data, gw_pbe_context(), NULL);
    /* d2i frees what it was given when it fails */
    if (p12 && !d2i_PKCS12(&p12, &at, (long)der.len))
        return NULL;
    return p12;
}

static kw_status read_value(struct gw_x509_bundle *out, struct kw_span der, const char *password,
                            bool keyless, bool keep_order, const char **why)
{
    kw_status status = KW_E_INPUT;
    struct reading r = {.password = password ? password : "",
                        .keyless = keyless,
                        .why = "The value is not PKCS#12 with a key and its certificate."};
    size_t password_len = strlen(r.password);
    *out = (struct gw_x509_bundle){0};
    ERR_set_mark();
    PKCS12 *p12 = password_len <= GW_X509_TEXT_MAX ? parse(der) : NULL;
    r.password_len = (int)password_len;
    r.certs = sk_X509_new_null();
    if (!r.certs)
        status = KW_E_NOMEM;
    else if (p12)
        status = read_all(&r, p12);
    if (p12 && status == KW_OK)
        status = finish(&r, out, keep_order);
    PKCS8_PRIV_KEY_INFO_free(r.key);
    sk_X509_pop_free(r.certs, X509_free);
    PKCS12_free(p12);
    ERR_pop_to_mark();
    *why = r.why;
    return status;
}

kw_status gw_x509_from_pkcs12(struct gw_x509_bundle *out, struct kw_span der, const char *password,
                              bool keep_order, const char **why)
{
    return read_value(out, der, password, false, keep_order, why);
}

kw_status gw_x509_pkcs12_to_pem(struct kw_secret *out, struct kw_span der)
{
    struct gw_x509_bundle bundle;
    const char *why;
    *out = (struct kw_secret){0};
    KW_TRY(read_value(&bundle, der, "", true, true, &why));
    kw_status status = gw_x509_to_pem(out, bundle.key, bundle.certs, bundle.count);
    gw_x509_bundle_clear(&bundle);
    return status;
}

static STACK_OF(X509) * others(const struct gw_x509_bytes *certs, size_t count)
{
    STACK_OF(X509) *list = sk_X509_new_null();
    for (size_t i = 1; list && i < count; i++) {
        X509 *cert = gw_cert_parse(kw_span_of(certs[i].data, certs[i].len));
        if (!cert || sk_X509_push(list, cert) <= 0) {
            X509_free(cert);
            sk_X509_pop_free(list, X509_free);
            return NULL;
        }
    }
    return list;
}

static kw_status encode(struct kw_secret *out, const PKCS12 *p12)
{
    int len = i2d_PKCS12(p12, NULL);
    if (len <= 0)
        return KW_E_INTERNAL;
    out->data = kw_secret_alloc((size_t)len);
    if (!out->data)
        return KW_E_NOMEM;
    uint8_t *at = out->data;
    out->len = (size_t)i2d_PKCS12(p12, &at);
    return KW_OK;
}

kw_status gw_x509_to_pkcs12(struct kw_secret *out, const struct kc_key *key,
                            const struct gw_x509_bytes *certs, size_t count)
{
    const int rounds = 2048; /* the empty password is no secret: rounds would protect nothing */
    kw_status status = KW_E_NOMEM;
    *out = (struct kw_secret){0};
    if (count == 0)
        return KW_E_INPUT;
    ERR_set_mark();
    X509 *leaf = gw_cert_parse(kw_span_of(certs[0].data, certs[0].len));
    STACK_OF(X509) *chain = others(certs, count);
    EVP_PKEY *pkey = key ? gw_ossl_private(key) : NULL;
    PKCS12 *p12 = NULL;
    if (leaf && chain && (pkey || !key))
        p12 = PKCS12_create("", NULL, pkey, leaf, chain, NID_aes_256_cbc, NID_aes_256_cbc, rounds,
                            rounds, 0);
    if (p12)
        status = encode(out, p12);
    PKCS12_free(p12);
    EVP_PKEY_free(pkey);
    sk_X509_pop_free(chain, X509_free);
    X509_free(leaf);
    ERR_pop_to_mark();
    return status;
}

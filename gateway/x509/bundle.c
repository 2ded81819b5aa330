/* A key and certificates from a file, put in order. */

#include <openssl/err.h>
#include <stdlib.h>

#include "gateway/x509/ossl.h"

void gw_x509_bundle_clear(struct gw_x509_bundle *bundle)
{
    kc_key_unref(bundle->key);
    for (size_t i = 0; i < bundle->count; i++)
        free(bundle->certs[i].data);
    *bundle = (struct gw_x509_bundle){0};
}

static kw_status add_cert(struct gw_x509_bundle *out, X509 *cert)
{
    uint8_t *der = NULL;
    int len = i2d_X509(cert, &der);
    kw_status status = len > 0 && len <= GW_X509_CERT_MAX ? KW_OK : KW_E_INPUT;
    struct gw_x509_bytes *to = &out->certs[out->count];
    if (status == KW_OK) {
        to->data = malloc((size_t)len);
        status = to->data ? KW_OK : KW_E_NOMEM;
    }
    if (status == KW_OK) {
        memcpy(to->data, der, (size_t)len);
        to->len = (size_t)len;
        out->count++;
    }
    OPENSSL_free(der);
    return status;
}

static int find_leaf(STACK_OF(X509) * certs, const struct kc_public *pub)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        const EVP_PKEY *pkey = X509_get0_pubkey(sk_X509_value(certs, i));
        struct kc_public other;
        if (pkey && gw_ossl_public_of(&other, pkey) == KW_OK && gw_x509_same_key(pub, &other))
            return i;
    }
    return -1;
}

/** The one of `certs` that is named as the issuer of `of`, and is not `of` itself. */
static int find_issuer(STACK_OF(X509) * certs, const X509 *of)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *other = sk_X509_value(certs, i);
        if (X509_NAME_cmp(X509_get_subject_name(other), X509_get_issuer_name(of)) == 0)
            return i;
    }
    return -1;
}

/** Moves certificates out of `certs` behind the leaf. */
static kw_status add_chain(struct gw_x509_bundle *out, STACK_OF(X509) * certs, X509 *leaf,
                           bool keep_order)
{
    X509 *last = leaf;
    kw_status status = add_cert(out, leaf);
    STACK_OF(X509) *done = sk_X509_new_null();
    if (!done)
        return KW_E_NOMEM;
    while (status == KW_OK && sk_X509_num(certs) > 0) {
        int next = keep_order ? 0 : find_issuer(certs, last);
        X509 *cert = sk_X509_delete(certs, next < 0 ? 0 : next);
        status = add_cert(out, cert);
        if (sk_X509_push(done, cert) <= 0) {
            X509_free(cert);
            status = KW_E_NOMEM;
            break;
        }
        last = cert;
    }
    sk_X509_pop_free(done, X509_free);
    return status;
}

kw_status gw_bundle_certs(struct gw_x509_bundle *out, STACK_OF(X509) * certs, const char **why)
{
    int count = sk_X509_num(certs);
    if (count < 1 || count > GW_X509_CHAIN_MAX) {
        *why = "The value holds no certificate, or more than 16.";
        return KW_E_INPUT;
    }
    X509 *leaf = sk_X509_delete(certs, 0);
    kw_status status = add_chain(out, certs, leaf, true);
    X509_free(leaf);
    if (status != KW_OK)
        gw_x509_bundle_clear(out);
    return status;
}

kw_status gw_bundle_make(struct gw_x509_bundle *out, struct kc_key *key, STACK_OF(X509) * certs,
                         bool keep_order, const char **why)
{
    int count = sk_X509_num(certs);
    if (count < 1 || count > GW_X509_CHAIN_MAX) {
        *why = count < 1 ? "The value holds no certificate."
                         : "The value holds more than 16 certificates.";
        return KW_E_INPUT;
    }
    int leaf_at = find_leaf(certs, kc_key_public(key));
    if (leaf_at < 0) {
        *why = "The private key belongs to none of the certificates of the value.";
        return KW_E_INPUT;
    }
    X509 *leaf = sk_X509_delete(certs, leaf_at);
    kw_status status = add_chain(out, certs, leaf, keep_order);
    X509_free(leaf);
    if (status == KW_E_INPUT)
        *why = "A certificate of the value is larger than 32768 bytes.";
    if (status == KW_OK)
        out->key = kc_key_ref(key);
    else
        gw_x509_bundle_clear(out);
    return status;
}

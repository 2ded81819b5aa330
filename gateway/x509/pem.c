/* PEM (RFC 7468): a key and certificates in one text. */

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "gateway/x509/ossl.h"

#define TEXT_MAX   262144
#define BLOCKS_MAX 64

struct reading {
    const char *password;
    int64_t rounds;
    EVP_PKEY *key;
    STACK_OF(X509) * certs;
    const char *why;
};

static kw_status fail(struct reading *r, kw_status status, const char *why)
{
    r->why = why;
    return status;
}

static int give_password(char *out, int room, int rwflag, void *arg)
{
    (void)rwflag;
    const char *password = arg;
    size_t len = strlen(password);
    if (room < 0 || len > (size_t)room)
        return -1;
    memcpy(out, password, len);
    return (int)len;
}

static kw_status take_key(struct reading *r, EVP_PKEY *key)
{
    if (!key)
        return fail(r, KW_E_INPUT, "The private key of the PEM value cannot be read.");
    if (r->key) {
        EVP_PKEY_free(key);
        return fail(r, KW_E_INPUT, "The PEM value holds more than one private key.");
    }
    r->key = key;
    return KW_OK;
}

static EVP_PKEY *pkcs8_key(PKCS8_PRIV_KEY_INFO *info)
{
    EVP_PKEY *key = info ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static kw_status take_encrypted(struct reading *r, struct kw_span der)
{
    const uint8_t *at = der.data;
    const X509_ALGOR *alg = NULL;
    const ASN1_OCTET_STRING *data = NULL;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &at, (long)der.len);
    if (!sealed)
        return fail(r, KW_E_INPUT, "The private key of the PEM value cannot be read.");
    X509_SIG_get0(sealed, &alg, &data);
    kw_status status = gw_pbe_count(alg, &r->rounds);
    if (status != KW_OK)
        status = fail(r, status,
                      "The private key of the PEM value is encrypted with a key derivation that is "
                      "not offered, or with too many rounds of one.");
    else
        status =
            take_key(r, pkcs8_key(PKCS8_decrypt_ex(sealed, r->password, (int)strlen(r->password),
                                                   gw_pbe_context(), NULL)));
    X509_SIG_free(sealed);
    return status;
}

static kw_status take_cert(struct reading *r, struct kw_span der)
{
    X509 *cert = gw_cert_parse(der);
    if (!cert)
        return fail(r, KW_E_INPUT, "A certificate of the PEM value cannot be read.");
    if (sk_X509_push(r->certs, cert) <= 0) {
        X509_free(cert);
        return KW_E_NOMEM;
    }
    return KW_OK;
}

/** Other blocks (parameters of a curve, comments) are passed over. */
static kw_status take_block(struct reading *r, const char *name, struct kw_span der)
{
    const uint8_t *at = der.data;
    long len = (long)der.len;
    if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
        return take_cert(r, der);
    if (strcmp(name, PEM_STRING_PKCS8INF) == 0)
        return take_key(r, pkcs8_key(d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, len)));
    if (strcmp(name, PEM_STRING_PKCS8) == 0)
        return take_encrypted(r, der);
    if (strcmp(name, PEM_STRING_RSA) == 0)
        return take_key(r, d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, len));
    if (strcmp(name, PEM_STRING_ECPRIVATEKEY) == 0)
        return take_key(r, d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, len));
    return KW_OK;
}

/** PKCS#1 and SEC 1 keys may be encrypted by a header of the block (RFC 1421). */
static kw_status open_block(struct reading *r, const char *name, char *header, uint8_t *der,
                            long len)
{
    EVP_CIPHER_INFO cipher;
    if (PEM_get_EVP_CIPHER_INFO(header, &cipher) != 1 ||
        PEM_do_header(&cipher, der, &len, give_password, (void *)r->password) != 1)
        return fail(r, KW_E_INPUT, "A block of the PEM value cannot be decrypted.");
    return take_block(r, name, kw_span_of(der, (size_t)len));
}

static kw_status read_all(struct reading *r, BIO *bio)
{
    kw_status status = KW_OK;
    for (unsigned blocks = 0; status == KW_OK; blocks++) {
        char *name = NULL, *header = NULL;
        uint8_t *der = NULL;
        long len = 0;
        if (PEM_read_bio(bio, &name, &header, &der, &len) != 1) {
            unsigned long error = ERR_peek_last_error();
            bool end = ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
            return end ? KW_OK : fail(r, KW_E_INPUT, "A block of the PEM value is damaged.");
        }
        status = blocks < BLOCKS_MAX
                     ? open_block(r, name, header, der, len)
                     : fail(r, KW_E_INPUT, "The PEM value holds more than 64 blocks.");
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    return status;
}

static kw_status finish(struct reading *r, struct gw_x509_bundle *out, bool keep_order)
{
    struct kc_key *key = NULL;
    if (!r->key)
        return fail(r, KW_E_INPUT, "The PEM value holds no private key.");
    kw_status status = gw_ossl_import(&key, r->key);
    if (status == KW_E_INPUT)
        return fail(r, status, "The private key is not valid: its parts do not belong together.");
    if (status == KW_E_UNSUPPORTED)
        return fail(r, status, "The private key is of a type or size that is not offered.");
    if (status == KW_OK)
        status = gw_bundle_make(out, key, r->certs, keep_order, &r->why);
    kc_key_unref(key);
    return status;
}

kw_status gw_x509_from_pem(struct gw_x509_bundle *out, struct kw_span text, const char *password,
                           bool keep_order, const char **why)
{
    struct reading r = {.password = password ? password : "", .why = "The value is not PEM."};
    kw_status status = KW_E_INPUT;
    *out = (struct gw_x509_bundle){0};
    ERR_set_mark();
    BIO *bio =
        text.len > 0 && text.len <= TEXT_MAX ? BIO_new_mem_buf(text.data, (int)text.len) : NULL;
    r.certs = sk_X509_new_null();
    if (bio && r.certs && strlen(r.password) <= GW_X509_TEXT_MAX && gw_pbe_context())
        status = read_all(&r, bio);
    if (bio && r.certs && status == KW_OK)
        status = finish(&r, out, keep_order);
    BIO_free(bio);
    EVP_PKEY_free(r.key);
    sk_X509_pop_free(r.certs, X509_free);
    ERR_pop_to_mark();
    *why = r.why;
    return status;
}

static bool write_key(BIO *bio, const struct kc_key *key)
{
    EVP_PKEY *pkey = gw_ossl_private(key);
    bool ok = pkey && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
    EVP_PKEY_free(pkey);
    return ok;
}

kw_status gw_x509_to_pem(struct kw_secret *out, const struct kc_key *key,
                         const struct gw_x509_bytes *certs, size_t count)
{
    char *data = NULL;
    *out = (struct kw_secret){0};
    ERR_set_mark();
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when it is freed */
    bool ok = bio && (!key || write_key(bio, key));
    for (size_t i = 0; ok && i < count; i++)
        ok = PEM_write_bio(bio, PEM_STRING_X509, "", certs[i].data, (long)certs[i].len) > 0;
    kw_status status = KW_E_NOMEM;
    if (ok) {
        long len = BIO_get_mem_data(bio, &data);
        status = kw_secret_copy(out, kw_span_of(data, len > 0 ? (size_t)len : 0));
    }
    BIO_free(bio);
    ERR_pop_to_mark();
    return status;
}

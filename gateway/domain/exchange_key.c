#include "gateway/domain/exchange_key.h"

#include <jose/b64.h>
#include <jose/openssl.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/secret.h"

#define BITS       3072
#define VALID_DAYS 30

static bool fill(X509 *cert, EVP_PKEY *key)
{
    uint8_t serial[8];
    static const unsigned char name[] = "keyward security domain exchange key";
    X509_NAME *subject = X509_NAME_new();
    bool ok = subject && kw_random(serial, sizeof serial) == KW_OK &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0) == 1;
    if (ok) {
        serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, never shortened */
        BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
        ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
        BN_free(number);
    }
    ok = ok && X509_set_version(cert, X509_VERSION_3) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(cert), -300) &&
         X509_gmtime_adj(X509_getm_notAfter(cert), VALID_DAYS * 86400L) &&
         X509_set_subject_name(cert, subject) == 1 && X509_set_issuer_name(cert, subject) == 1 &&
         X509_set_pubkey(cert, key) == 1 && X509_sign(cert, key, EVP_sha256()) > 0;
    X509_NAME_free(subject);
    return ok;
}

kw_status gw_exchange_key_make(struct gw_exchange_key *out)
{
    struct gw_exchange_key made = {.key = EVP_RSA_gen(BITS), .cert = X509_new()};
    if (made.key && made.cert && fill(made.cert, made.key) &&
        gw_domain_x5t(made.x5t, made.cert) == KW_OK) {
        *out = made;
        return KW_OK;
    }
    gw_exchange_key_clear(&made);
    return KW_E_INTERNAL;
}

void gw_exchange_key_clear(struct gw_exchange_key *key)
{
    EVP_PKEY_free(key->key); /* clears what it frees */
    X509_free(key->cert);
    *key = (struct gw_exchange_key){.key = NULL};
}

static bool set_digest(json_t *jwk, const char *name, const X509 *cert, const EVP_MD *md)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return X509_digest(cert, md, hash, &len) == 1 &&
           json_object_set_new(jwk, name, jose_b64_enc(hash, len)) == 0;
}

static json_t *x5c_of(X509 *cert)
{
    uint8_t *der = NULL;
    int len = i2d_X509(cert, &der);
    char *text = len > 0 ? malloc((size_t)len / 3 * 4 + 8) : NULL;
    if (text)
        EVP_EncodeBlock((unsigned char *)text, der, len);
    json_t *out = text ? json_pack("[s]", text) : NULL;
    free(text);
    OPENSSL_free(der);
    return out;
}

json_t *gw_certificate_jwk(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        return NULL;
    json_t *jwk = jose_openssl_jwk_from_EVP_PKEY(NULL, key);
    if (jwk && json_object_set_new(jwk, "alg", json_string("RSA-OAEP-256")) == 0 &&
        json_object_set_new(jwk, "x5c", x5c_of(cert)) == 0 &&
        set_digest(jwk, "x5t", cert, EVP_sha1()) && set_digest(jwk, "x5t#S256", cert, EVP_sha256()))
        return jwk;
    json_decref(jwk);
    return NULL;
}

char *gw_exchange_key_jwk(const struct gw_exchange_key *key)
{
    json_t *jwk = gw_certificate_jwk(key->cert);
    char *text = NULL;
    if (jwk && json_object_set_new(jwk, "key_ops", json_pack("[s,s]", "wrapKey", "encrypt")) == 0 &&
        json_object_set_new(jwk, "kid", json_string(key->x5t)) == 0)
        text = json_dumps(jwk, JSON_COMPACT);
    json_decref(jwk);
    return text;
}

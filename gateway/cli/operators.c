#include "gateway/cli/operators.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/secret.h"
#include "gateway/config/files.h"
#include "gateway/domain/exchange_key.h"
#include "gateway/domain/jwe.h"

/* --- files --- */

bool cli_next_name(const char **list, char *out, size_t len)
{
    size_t n = *list ? strcspn(*list, ",") : 0;
    if (n == 0 || n >= len)
        return false;
    memcpy(out, *list, n);
    out[n] = '\0';
    *list += n + ((*list)[n] == ',');
    return true;
}

X509 *cli_read_cert(const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (bio && !cert && BIO_reset(bio) == 0)
        cert = d2i_X509_bio(bio, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return cert;
}

EVP_PKEY *cli_read_key(const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

X509 *cli_cert_of_jwk(const char *text)
{
    json_t *jwk = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *x5c = json_array_get(json_object_get(jwk, "x5c"), 0);
    size_t len = json_string_length(x5c);
    uint8_t *der = len > 0 && len % 4 == 0 ? malloc(len) : NULL;
    const uint8_t *at = der;
    X509 *cert = NULL;
    int der_len =
        der ? EVP_DecodeBlock(der, (const uint8_t *)json_string_value(x5c), (int)len) : -1;
    if (der_len > 0)
        cert = d2i_X509(NULL, &at, der_len);
    free(der);
    json_decref(jwk);
    return cert;
}

kw_status cli_read_domain_file(struct gw_domain_file *out, const char *name, char *error,
                               size_t error_len)
{
    char why[1024], *text = NULL;
    size_t len = 0;
    *out = (struct gw_domain_file){.json = NULL};
    KW_TRY(gw_config_read(name, GW_DOMAIN_FILE_MAX, &text, &len, error, error_len));
    kw_status status = gw_domain_file_read(out, text, len, why, sizeof why);
    free(text);
    if (status != KW_OK)
        snprintf(error, error_len, "%s: %s", name, why);
    return status;
}

/* --- a quorum --- */

kw_status cli_quorum_keys(struct cli_quorum *quorum, const char *list, char *error,
                          size_t error_len)
{
    char name[1024];
    while (cli_next_name(&list, name, sizeof name)) {
        if (quorum->count == GW_DOMAIN_CERTS_MAX) {
            snprintf(error, error_len, "more than %d private keys", GW_DOMAIN_CERTS_MAX);
            return KW_E_INPUT;
        }
        EVP_PKEY *key = cli_read_key(name);
        if (!key) {
            snprintf(error, error_len, "%s: not a private key in PEM, or a wrong passphrase", name);
            return KW_E_INPUT;
        }
        size_t i = quorum->count++;
        memcpy(quorum->names[i], name, sizeof name);
        quorum->operators[i] = (struct gw_domain_operator){quorum->names[i], key};
    }
    return KW_OK;
}

int cli_quorum_share(const struct cli_quorum *quorum, size_t key)
{
    for (size_t i = 0; i < quorum->file.share_count; i++) {
        struct kw_secret share;
        if (gw_jwe_open_rsa(&share, quorum->file.sealed[i], quorum->operators[key].key) != KW_OK)
            continue;
        kw_secret_clear(&share);
        return (int)i;
    }
    return -1;
}

void cli_quorum_drop(struct cli_quorum *quorum, size_t key)
{
    EVP_PKEY_free(quorum->operators[key].key);
    quorum->count--;
    for (size_t i = key; i < quorum->count; i++) {
        memcpy(quorum->names[i], quorum->names[i + 1], sizeof quorum->names[i]);
        quorum->operators[i] =
            (struct gw_domain_operator){quorum->names[i], quorum->operators[i + 1].key};
    }
}

kw_status cli_quorum_blob(char **blob, const struct cli_quorum *quorum, X509 *exchange, char *error,
                          size_t error_len)
{
    return gw_domain_transfer_make(blob, &quorum->file, quorum->operators, quorum->count, exchange,
                                   error, error_len);
}

/* The way of an upload, with an exchange key of this process's own. */
kw_status cli_quorum_join(struct kc_domain **out, const struct cli_quorum *quorum, char *error,
                          size_t error_len)
{
    struct gw_exchange_key exchange = {.key = NULL};
    char *blob = NULL;
    *out = NULL;
    kw_status status = gw_exchange_key_make(&exchange);
    if (status != KW_OK)
        snprintf(error, error_len, "the exchange key cannot be made (%s)", kw_status_name(status));
    else
        status = cli_quorum_blob(&blob, quorum, exchange.cert, error, error_len);
    if (status == KW_OK)
        status = gw_domain_transfer_open(out, blob, strlen(blob), exchange.x5t, exchange.key, error,
                                         error_len);
    if (blob)
        kw_wipe(blob, strlen(blob));
    free(blob);
    gw_exchange_key_clear(&exchange);
    return status;
}

void cli_quorum_clear(struct cli_quorum *quorum)
{
    while (quorum->count > 0)
        EVP_PKEY_free(quorum->operators[--quorum->count].key);
    gw_domain_file_clear(&quorum->file);
}

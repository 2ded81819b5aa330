#include "gateway/config/dev_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/base/hex.h"
#include "crypto/base/secret.h"
#include "gateway/config/durable.h"

#define CA_NAME    "keyward development CA"
#define VALID_DAYS 397
/* OpenSSL and Node take no wildcard right under a top-level name: for them *.vault.localhost and
 * *.managedhsm.localhost stand beside *.localhost. */
#define LEAF_NAMES                                                                                 \
    "DNS:localhost,DNS:*.localhost,DNS:*.vault.localhost,DNS:*.managedhsm.localhost,"              \
    "IP:127.0.0.1,IP:::1"

/* --- certificates --- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool set_name(X509_NAME *name, const char *common_name)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1;
}

static bool set_serial(X509 *cert)
{
    uint8_t bytes[16];
    if (kw_random(bytes, sizeof bytes) != KW_OK)
        return false;
    bytes[0] =
        (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, never shortened (RFC 5280 4.1.2.2) */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

/* A certificate of `subject`'s key; `issuer` NULL: self-signed CA. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    if (!cert)
        return NULL;
    X509 *by = issuer ? issuer : cert;
    bool ok = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -300) &&
              X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS, 0, NULL) &&
              X509_set_pubkey(cert, key) == 1 && set_name(X509_get_subject_name(cert), name) &&
              X509_set_issuer_name(cert, X509_get_subject_name(by)) == 1 &&
              add_extension(cert, by, NID_subject_key_identifier, "hash");
    if (ok && issuer)
        ok = add_extension(cert, by, NID_authority_key_identifier, "keyid:always") &&
             add_extension(cert, by, NID_basic_constraints, "critical,CA:FALSE") &&
             add_extension(cert, by, NID_key_usage, "critical,digitalSignature") &&
             add_extension(cert, by, NID_ext_key_usage, "serverAuth") &&
             add_extension(cert, by, NID_subject_alt_name, LEAF_NAMES);
    else if (ok)
        ok = add_extension(cert, by, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
             add_extension(cert, by, NID_key_usage, "critical,keyCertSign");
    if (ok && X509_sign(cert, issuer_key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static kw_status write_pem(const char *dir, const char *name, BIO *bio, unsigned mode, char *error,
                           size_t error_len)
{
    char path[PATH_MAX];
    char *pem = NULL;
    long len = BIO_get_mem_data(bio, &pem);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (len <= 0)
        return KW_E_INTERNAL;
    return gw_write_durable(path, kw_span_of(pem, (size_t)len), mode, error, error_len);
}

static kw_status write_certificate(const char *dir, const char *name, X509 *cert, char *error,
                                   size_t error_len)
{
    BIO *bio = BIO_new(BIO_s_mem());
    kw_status status = KW_E_NOMEM;
    if (bio && PEM_write_bio_X509(bio, cert) == 1)
        status = write_pem(dir, name, bio, 0644, error, error_len);
    BIO_free(bio);
    return status;
}

static kw_status write_key(const char *dir, const char *name, EVP_PKEY *key, char *error,
                           size_t error_len)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    kw_status status = KW_E_NOMEM;
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
        status = write_pem(dir, name, bio, 0600, error, error_len);
    BIO_free(bio);
    return status;
}

static kw_status make_tls(const char *dir, char *error, size_t error_len)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key ? make_certificate(ca_key, CA_NAME, NULL, ca_key) : NULL;
    X509 *leaf = ca && key ? make_certificate(key, "localhost", ca, ca_key) : NULL;
    kw_status status = leaf ? KW_OK : KW_E_INTERNAL;
    if (status != KW_OK)
        snprintf(error, error_len, "a development certificate cannot be made");
    if (status == KW_OK)
        status = write_certificate(dir, "ca.pem", ca, error, error_len);
    if (status == KW_OK)
        status = write_key(dir, "tls.key", key, error, error_len);
    if (status == KW_OK)
        status = write_certificate(dir, "tls.pem", leaf, error, error_len);
    X509_free(leaf);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return status;
}

/* Ours (by its issuer) and past its time? Anything else is the owner's business. */
static bool ours_and_expired(const char *path)
{
    FILE *stream = fopen(path, "re");
    if (!stream)
        return false;
    X509 *cert = PEM_read_X509(stream, NULL, NULL, NULL);
    fclose(stream);
    char issuer[64] = "";
    if (cert)
        X509_NAME_get_text_by_NID(X509_get_issuer_name(cert), NID_commonName, issuer,
                                  sizeof issuer);
    bool expired =
        cert && strcmp(issuer, CA_NAME) == 0 && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
    X509_free(cert);
    ERR_clear_error();
    return expired;
}

kw_status gw_dev_tls(const char *dir, bool *renewed, char *error, size_t error_len)
{
    char cert[PATH_MAX], key[PATH_MAX];
    int a = snprintf(cert, sizeof cert, "%s/tls.pem", dir);
    int b = snprintf(key, sizeof key, "%s/tls.key", dir);
    *renewed = false;
    if (a < 0 || b < 0 || (size_t)a >= sizeof cert || (size_t)b >= sizeof key) {
        snprintf(error, error_len, "the path of the data directory is too long");
        return KW_E_INPUT;
    }
    bool has_cert = access(cert, F_OK) == 0, has_key = access(key, F_OK) == 0;
    if (has_cert && has_key) {
        if (!ours_and_expired(cert))
            return KW_OK;
        *renewed = true;
    } else if (has_cert || has_key) {
        snprintf(error, error_len,
                 "%s is there but %s is not; put the pair in place, or delete it to have both made",
                 has_cert ? cert : key, has_cert ? key : cert);
        return KW_E_INPUT;
    }
    return make_tls(dir, error, error_len);
}

/* --- token --- */

static kw_status make_token(const char *path, char token[GW_DEV_TOKEN_MAX], char *error,
                            size_t error_len)
{
    uint8_t bytes[32];
    char line[2 * sizeof bytes + 2];
    KW_TRY(kw_random(bytes, sizeof bytes));
    kw_hex_write(line, bytes, sizeof bytes);
    memcpy(token, line, 2 * sizeof bytes + 1);
    line[2 * sizeof bytes] = '\n';
    kw_status status =
        gw_write_durable(path, kw_span_of(line, 2 * sizeof bytes + 1), 0600, error, error_len);
    kw_wipe(bytes, sizeof bytes);
    kw_wipe(line, sizeof line);
    return status;
}

kw_status gw_dev_token(const char *dir, char token[GW_DEV_TOKEN_MAX], char *error, size_t error_len)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/token", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return KW_E_INPUT;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return make_token(path, token, error, error_len);
    ssize_t len = fd < 0 ? -1 : read(fd, token, GW_DEV_TOKEN_MAX - 1);
    struct stat st;
    bool open_to_others = fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 077);
    if (fd >= 0)
        close(fd);
    if (len < 0) {
        snprintf(error, error_len, "%s: cannot be read: %s", path, strerror(errno));
        return KW_E_IO;
    }
    token[len] = '\0';
    token[strcspn(token, " \t\r\n")] = '\0';
    if (open_to_others) {
        snprintf(error, error_len, "%s: others can read it; run: chmod 600 %s", path, path);
        return KW_E_FORBIDDEN;
    }
    if (strlen(token) < 32) {
        snprintf(error, error_len,
                 "%s: not a token of at least 32 characters; delete it to have "
                 "one made",
                 path);
        return KW_E_INPUT;
    }
    return KW_OK;
}

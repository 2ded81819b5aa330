#pragma once
/* The security-domain file: the domain key sealed under a random master key, the master key as
 * shares, each sealed to one operator's RSA certificate. JSON text, the format of the Azure CLI's
 * security-domain commands. And the transfer blob that brings it into another instance: the same
 * data under a new master key, which is sealed to that instance's exchange key. Everything here is
 * blocking computation, on any thread but a loop's; `error` gets a sentence on failure. */

#include <jansson.h>
#include <openssl/x509.h>

#include "crypto/domain/domain.h"

#define GW_DOMAIN_FILE_MAX   (1 << 18) /* bytes of text that is read */
#define GW_DOMAIN_CERTS_MIN  3
#define GW_DOMAIN_CERTS_MAX  10
#define GW_DOMAIN_QUORUM_MIN 2
#define GW_DOMAIN_RSA_MIN    2048 /* bits */
#define GW_DOMAIN_X5T_LEN    43

/** b64u(SHA-256 of the certificate's DER). */
KW_MUST_CHECK kw_status gw_domain_x5t(char out[GW_DOMAIN_X5T_LEN + 1], const X509 *cert);

/** Makes the file's text (malloc'd). KW_E_INPUT: number of certificates, quorum, a key that is not
 *  RSA of enough bits, or one certificate twice. */
KW_MUST_CHECK kw_status gw_domain_file_make(char **out, const struct kc_domain *domain,
                                            X509 *const *certs, size_t count, unsigned required,
                                            char *error, size_t error_len);

/** What a file says without any key. The strings are the file's. */
struct gw_domain_file {
    json_t *json;
    unsigned required;
    size_t share_count;
    const char *x5t[GW_DOMAIN_CERTS_MAX];    /* of each share's certificate */
    const char *sealed[GW_DOMAIN_CERTS_MAX]; /* the share, a JWE */
    char check[2 * KC_DOMAIN_CHECK_LEN + 1]; /* of the domain; empty: not a file of keyward's */
};

/** KW_E_INPUT when it is no such file, or one that no quorum can open. */
KW_MUST_CHECK kw_status gw_domain_file_read(struct gw_domain_file *out, const char *text,
                                            size_t len, char *error, size_t error_len);
void gw_domain_file_clear(struct gw_domain_file *file);

/** An operator's private key. */
struct gw_domain_operator {
    const char *name; /* for messages */
    EVP_PKEY *key;
};

/** Opens the shares of `operators`, joins them, and seals anew for the holder of `exchange`: the
 *  transfer blob (malloc'd). KW_E_CRYPTO: a key that opens no share, fewer different shares than
 *  the quorum, or a file that was changed. */
KW_MUST_CHECK kw_status gw_domain_transfer_make(char **out, const struct gw_domain_file *file,
                                                const struct gw_domain_operator *operators,
                                                size_t count, X509 *exchange, char *error,
                                                size_t error_len);

/** Opens a transfer blob with the exchange key. The caller owns `out`. KW_E_CRYPTO: sealed for
 *  another exchange key, or changed; KW_E_INPUT: no such blob, or of another product. */
KW_MUST_CHECK kw_status gw_domain_transfer_open(struct kc_domain **out, const char *text,
                                                size_t len, const char *x5t, EVP_PKEY *exchange,
                                                char *error, size_t error_len);

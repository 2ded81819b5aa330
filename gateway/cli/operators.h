#pragma once
/* Files of the security domain on the operators' side: the domain file, certificates, private keys.
 * Private keys are read here and go nowhere. */

#include "gateway/domain/file.h"

/** The next name of a list with commas, which is moved on; false after the last. */
bool cli_next_name(const char **list, char *out, size_t len);
/** PEM or DER; NULL: it is none. */
X509 *cli_read_cert(const char *file);
/** PEM; one with a passphrase asks for it on the terminal. NULL: it is none. */
EVP_PKEY *cli_read_key(const char *file);
/** The certificate of a JWK's x5c, as an instance gives out its exchange key; NULL: there is none.
 */
X509 *cli_cert_of_jwk(const char *text);
/** `error` gets a sentence. The caller clears `out`. */
KW_MUST_CHECK kw_status cli_read_domain_file(struct gw_domain_file *out, const char *name,
                                             char *error, size_t error_len);

/** A domain file and the keys that are at hand. */
struct cli_quorum {
    struct gw_domain_file file;
    size_t count; /* of the keys */
    char names[GW_DOMAIN_CERTS_MAX][1024];
    struct gw_domain_operator operators[GW_DOMAIN_CERTS_MAX];
};

/** Reads the private keys of `list`, whose names are divided by commas, beside the file that was
 *  read. `error` gets a sentence for the first that is none. The caller clears. */
KW_MUST_CHECK kw_status cli_quorum_keys(struct cli_quorum *quorum, const char *list, char *error,
                                        size_t error_len);
/** Which share the key opens; -1: none. Takes some milliseconds for each. */
int cli_quorum_share(const struct cli_quorum *quorum, size_t key);

/** Takes a key out again. */
void cli_quorum_drop(struct cli_quorum *quorum, size_t key);

/** Joins the shares: the domain, in this process. KW_E_CRYPTO with a sentence: too few keys, wrong
 *  ones, or a file that was changed. */
KW_MUST_CHECK kw_status cli_quorum_join(struct kc_domain **out, const struct cli_quorum *quorum,
                                        char *error, size_t error_len);
/** The transfer blob (malloc'd) for the holder of `exchange`; as cli_quorum_join. */
KW_MUST_CHECK kw_status cli_quorum_blob(char **blob, const struct cli_quorum *quorum,
                                        X509 *exchange, char *error, size_t error_len);
void cli_quorum_clear(struct cli_quorum *quorum);

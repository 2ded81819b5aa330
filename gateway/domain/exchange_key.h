#pragma once
/* The RSA key to which a transfer blob is sealed: made inside, lives in memory alone, used once. */

#include <openssl/x509.h>

#include "crypto/base/status.h"
#include "gateway/domain/file.h"

struct gw_exchange_key {
    EVP_PKEY *key; /* NULL: none */
    X509 *cert;    /* self-signed */
    char x5t[GW_DOMAIN_X5T_LEN + 1];
};

/** Makes the key and its certificate; takes a good part of a second. */
KW_MUST_CHECK kw_status gw_exchange_key_make(struct gw_exchange_key *out);
void gw_exchange_key_clear(struct gw_exchange_key *key);

/** JWK of the public half as JSON text, with x5c, x5t and x5t#S256; malloc'd. */
char *gw_exchange_key_jwk(const struct gw_exchange_key *key);

/** The JWK of a certificate's key, as clients send wrapping certificates; a new reference. `kid`
 * and `key_ops` are the caller's to add. NULL: not RSA, or no memory. */
json_t *gw_certificate_jwk(X509 *cert);

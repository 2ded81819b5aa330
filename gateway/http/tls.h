#pragma once
/* Server contexts of TLS 1.2 and 1.3 and their tickets. A context serves all loops; a reload makes
 * a new one, tests it, and only then swaps it in. */

#include <openssl/ssl.h>
#include <stdbool.h>

#include "crypto/base/status.h"

/** Ticket keys, shared by the contexts of one listener over reloads. Keys live 12 hours; one is
 *  honoured for at most 24. */
struct gw_tls_tickets;
struct gw_tls_tickets *gw_tls_tickets_create(void);
void gw_tls_tickets_destroy(struct gw_tls_tickets *tickets);

struct gw_tls_files {
    const char *certificate, *private_key; /* PEM; the certificate with its chain */
    const char *client_ca;                 /* PEM; NULL: no client certificates */
};

/** Loads, checks that key and certificate belong together and that the certificate is valid now,
 * and makes one handshake with itself. Files are read once. Any thread. On failure `error` gets a
 *  sentence that names the file. The caller owns the context. */
KW_MUST_CHECK kw_status gw_tls_context(SSL_CTX **out, const struct gw_tls_files *files,
                                       struct gw_tls_tickets *tickets, char *error,
                                       size_t error_len);

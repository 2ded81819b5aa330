#pragma once
#include <openssl/evp.h>

#include "gateway/http/tls.h"

/** The work of SSL_CTX_set_tlsext_ticket_key_evp_cb; same results. Any thread. */
int gw_tls_ticket_key(struct gw_tls_tickets *tickets, unsigned char *name, unsigned char *iv,
                      EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt);

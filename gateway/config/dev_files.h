#pragma once
/* What `serve --dev` makes for itself: a CA and a certificate, a token. */

#include "gateway/config/config.h"

#define GW_DEV_TOKEN_MAX 256

/** Makes DIR/ca.pem, tls.pem, tls.key where tls.pem and tls.key are missing, or where they are our
 *  own and no longer valid. The CA's private key is never written: a renewal is a new CA.
 *  `*renewed`: an expired certificate was replaced. */
KW_MUST_CHECK kw_status gw_dev_tls(const char *dir, bool *renewed, char *error, size_t error_len);

/** Reads DIR/token, or makes it (0600, 256 random bits). `token` is NUL-terminated; wipe it. */
KW_MUST_CHECK kw_status gw_dev_token(const char *dir, char token[GW_DEV_TOKEN_MAX], char *error,
                                     size_t error_len);

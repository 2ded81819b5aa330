#pragma once
/* A certificate's secret in another form than its policy says. */

#include "gateway/vault/secrets/secret.h"

struct gw_request;

#define GW_TYPE_PKCS12 "application/x-pkcs12"
#define GW_TYPE_PEM    "application/x-pem-file"

/** Answers with the value of `secret`, which is PKCS#12, as PEM, and lets the request's reference
 *  go. Loop thread; the work is done beside the loops. */
void gw_secret_convert(struct gw_request *req, struct vault_secret *secret);

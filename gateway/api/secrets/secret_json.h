#pragma once
/* Secrets as the API shows them, and what becomes of requests about them. The value stands in the
 * answers of set and get alone. */

#include "gateway/api/managed.h"
#include "gateway/api/objects/common.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/vault/secrets/secret.h"

/** Element of a list; lists of secrets show ids without a version. */
void gw_secret_write_item(struct gw_out *out, const struct gw_request *req,
                          const struct vault_secret *secret, bool with_version);
void gw_secret_write_deleted(struct gw_out *out, const struct gw_request *req,
                             const struct vault_secret *secret, bool with_version);

/** Answers with the value in the form `type`. */
void gw_secret_reply_as(struct gw_request *req, const struct vault_secret *secret,
                        struct kw_span value, struct kw_span type);

/* Answers of vault calls; `ctx` is the request, of which a reference was taken for the call. */
void gw_reply_secret(void *ctx, kw_status status, struct vault_secret *secret);
/** The same with its value. */
void gw_reply_secret_value(void *ctx, kw_status status, struct vault_secret *secret);

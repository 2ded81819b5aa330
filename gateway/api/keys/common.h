#pragma once
/* What the files of the keys resource share: reading bodies, versions, answering with a key. */

#include <jansson.h>

#include "gateway/api/error.h"
#include "gateway/api/managed.h"
#include "gateway/api/objects/common.h"
#include "gateway/api/route.h"
#include "gateway/api/site.h"
#include "gateway/vault/keys/keys.h"

/** Optional members that create, import and update have in common. */
struct gw_key_body {
    struct vault_change common;
    bool has_ops;
    uint16_t ops;
    bool op_import, op_export;
};

/** Reads `attributes`, `tags` and `release_policy` of `root` and `key_ops` of `ops_holder`. Strings
 *  are copied into the arena. */
bool gw_key_body_read(const json_t *root, const json_t *ops_holder, struct gw_arena *arena,
                      struct gw_key_body *out, struct gw_fault *fault);

/** Puts the common members into a request. Without key_ops the default of the key type is taken. */
void gw_key_body_apply(const struct gw_key_body *body, struct vault_key_request *request);

/* Answers of vault calls; `ctx` is the request, of which a reference was taken for the call. */
void gw_reply_bundle(void *ctx, kw_status status, struct vault_key *key);
void gw_reply_deleted(void *ctx, kw_status status, struct vault_key *key);
/** The same with 404 "Deleted Key not found". */
void gw_reply_recovered(void *ctx, kw_status status, struct vault_key *key);
void gw_reply_deleted_get(void *ctx, kw_status status, struct vault_key *key);
void gw_reply_purged(void *ctx, kw_status status, struct vault_key *key);

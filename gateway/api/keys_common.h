#pragma once
/* What the files of the keys resource share: reading bodies, versions, answering with a key. */

#include <jansson.h>

#include "gateway/api/error.h"
#include "gateway/api/site.h"
#include "gateway/vault/keys.h"

/** Optional members that create, import and update have in common. */
struct gw_key_body {
    bool has_ops, has_enabled, has_nbf, has_exp, has_tags;
    uint16_t ops;
    bool op_import, op_export;
    bool enabled; /* true when absent */
    int64_t nbf, exp;
    struct vault_tag *tags;
    size_t tag_count;
};

/** Reads `attributes`, `tags` and `release_policy` of `root` and `key_ops` of `ops_holder`. Strings
 *  are copied into the arena. */
bool gw_key_body_read(const json_t *root, const json_t *ops_holder, struct gw_arena *arena,
                      struct gw_key_body *out, struct gw_fault *fault);

/** 1 to 127 letters, digits and '-'. */
bool gw_key_name_ok(struct kw_span name);
/** Writes the 32 hex digits of a version in lower case. False when it is none. */
bool gw_version_lower(struct kw_span version, char out[STORE_VERSION_LEN]);

/** Puts the common members into a request. Without key_ops the default of the key type is taken. */
void gw_key_body_apply(const struct gw_key_body *body, struct vault_key_request *request);

/** Parameter `index` of the path as a version: empty, or 32 hex digits made lower case. Answers
 *  404 and returns false for anything else. */
bool gw_version_param(struct gw_request *req, size_t index, struct kw_span *version);

/** The text "name" or "name/version" that errors speak of. */
struct kw_span gw_key_subject(const struct gw_request *req);

/** A NUL-terminated copy of the first path parameter. NULL (and answered) without memory. */
const char *gw_name_param(struct gw_request *req);

/* Answers of vault calls; `ctx` is the request, of which a reference was taken for the call. */
void gw_reply_bundle(void *ctx, kw_status status, struct vault_key *key);
void gw_reply_deleted(void *ctx, kw_status status, struct vault_key *key);
/** The same with 404 "Deleted Key not found". */
void gw_reply_recovered(void *ctx, kw_status status, struct vault_key *key);
void gw_reply_deleted_get(void *ctx, kw_status status, struct vault_key *key);
void gw_reply_purged(void *ctx, kw_status status, struct vault_key *key);

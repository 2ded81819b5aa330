#pragma once
/* Keys as the API shows them: JWK, bundle, item, and their deleted forms. Never a private member.
 */

#include "gateway/api/json/write.h"
#include "gateway/api/site.h"
#include "gateway/http/request.h"
#include "gateway/vault/keys/keys.h"

/** What the output depends on beside the key. */
struct gw_key_view {
    struct kw_span authority;   /* of the request: ids lead the client back to where it came from */
    const struct gw_site *site; /* the vault's terms */
    bool hsm_members;           /* the pool has members that are not the core */
};

/** Reads the request's authority and the pool's state. Loop thread. */
struct gw_key_view gw_key_view_of(const struct gw_request *req);

/** Quoted "https://authority/keys/name[/version]". */
void gw_key_write_kid(struct gw_out *out, struct kw_span authority, const struct vault_key *key,
                      bool with_version);
void gw_key_write_bundle(struct gw_out *out, const struct gw_key_view *view,
                         const struct vault_key *key);
/** Element of a list; lists of keys show ids without a version. */
void gw_key_write_item(struct gw_out *out, const struct gw_key_view *view,
                       const struct vault_key *key, bool with_version);
void gw_key_write_deleted_bundle(struct gw_out *out, const struct gw_key_view *view,
                                 const struct vault_key *key);
void gw_key_write_deleted_item(struct gw_out *out, const struct gw_key_view *view,
                               const struct vault_key *key);

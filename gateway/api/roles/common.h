#pragma once
/* What requests about roles share: the vault's roles are read first, then the request goes on. */

#include "gateway/api/json/write.h"
#include "gateway/api/roles/filter.h"
#include "gateway/api/site.h"

struct gw_roles_call;
typedef void gw_roles_go(struct gw_roles_call *call);

/** One request; in its arena. */
struct gw_roles_call {
    struct gw_request *req;
    struct vault_roles *roles;
    struct role_scope scope;
    uint8_t id[GW_GUID_LEN];
    struct gw_role_filter filter;
    struct vault_role *role;                                     /* to be put */
    struct vault_assignment *assignment;                         /* to be put */
    bool value;                                                  /* of a setting */
    char principal[GW_GUID_TEXT + 1], role_id[GW_GUID_TEXT + 1]; /* of what is put, for the log */
    gw_roles_go *go;
    struct gw_out out;
    bool more; /* of a list: cut */
    unsigned count;
    uint8_t last[GW_GUID_LEN];
};

/** NULL: answered. */
struct gw_roles_call *gw_roles_call_new(struct gw_request *req);
/** Calls `go` once the roles are known; it answers and drops the reference with gw_roles_end. */
void gw_roles_start(struct gw_roles_call *call, gw_roles_go *go);
/** Drops what is left of the call, the request with it. */
void gw_roles_end(struct gw_roles_call *call);

/** The GUID that is the last parameter of the path. False: answered, 404 in the words of what it
 * would be. */
bool gw_roles_id(struct gw_roles_call *call, bool assignment);

/** One line of the log for a change that was made. */
void gw_roles_log(const struct gw_roles_call *call);
/** vault_roles_change_fn with the call as its context: 201 after a put, 200 after a deletion. */
void gw_roles_changed(void *ctx, kw_status status, enum vault_roles_why why, struct kw_span text);
/** Answers with call->out, begun by gw_roles_out, or with what `status` says; ends the call. */
void gw_roles_reply(struct gw_roles_call *call, kw_status status, bool assignment);
void gw_roles_out(struct gw_roles_call *call);

#pragma once
/* Which vault a request is for, and the terms on which that vault keeps its objects. */

#include "gateway/http/request.h"
#include "gateway/vault/keys/keys.h"
#include "gateway/vault/roles/roles.h"

/** One vault as the API shows it. Lives as long as the gateway and never changes, also when newer
 *  terms took its place; read by every loop. */
struct gw_site {
    const char *name; /* in the store: struct store_ref.vault */
    struct vault *vault;
    struct vault_roles *roles; /* who may do what in it */
    bool managed_hsm;          /* a Managed HSM: keys only, every key of HSM type */
    bool key_vault; /* a Key Vault: no administration of an HSM. Neither: both are served */
    unsigned retention_days; /* of deleted objects: 7 to 90 */
    unsigned scope;          /* which members serve its keys (pool_key_desc.scope) */
    bool purge_protection;   /* deleted objects leave only when their retention ends */
};

/** The vault that the request's host name selects; never NULL once the request has its route. Loop
 *  thread. */
const struct gw_site *gw_site_of(const struct gw_request *req);

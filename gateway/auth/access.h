#pragma once
/* The one place that decides what an identity may do.
 *
 * An identity is full, or has a principal. A full one may do everything: tokens that say nothing
 * else, as all did before there were roles, and on a Unix socket root and the gateway's own user.
 * It is an Administrator of everything by its entry in the token file, and no role assignment shows
 * it. Of the others the role assignments of the vault decide (gateway/vault/roles), by the data
 * action of the route and the scope of its path. */

#include "gateway/api/error.h"
#include "gateway/api/route.h"
#include "gateway/api/site.h"
#include "gateway/auth/auth.h"

/** The number of the route's data action; VAULT_ACTION_NONE where no role holds it, or it has none.
 * Any thread. */
unsigned gw_access_action(const struct gw_route *route);

/** May `identity` do it to `resource` in the vault of `site`? Loop thread. */
enum vault_access gw_access(const struct gw_identity *identity, const struct gw_site *site,
                            unsigned action, struct role_scope resource);

/** The fault for everything but VAULT_ACCESS_YES: 403, or 503 while the roles are being read.
 * `action`: its word, for actions that no role holds. */
bool gw_access_fault(struct gw_fault *fault, enum vault_access access,
                     const struct gw_identity *identity, const char *action,
                     struct role_scope resource);

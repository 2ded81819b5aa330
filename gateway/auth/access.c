#include "gateway/auth/access.h"

#include <pthread.h>
#include <stdlib.h>

#define ROUTES_MAX 512

static uint8_t actions[ROUTES_MAX]; /* by gw_route_index */
static pthread_once_t once = PTHREAD_ONCE_INIT;

_Static_assert(VAULT_ACTION_NONE <= UINT8_MAX, "an action fits into a byte");

static void find_all(void)
{
    if (gw_route_count > ROUTES_MAX)
        abort(); /* the table is wrong: seen by the first request of any test */
    for (size_t i = 0; i < gw_route_count; i++)
        actions[i] = (uint8_t)(gw_routes[i].action ? vault_action_find(gw_routes[i].action)
                                                   : VAULT_ACTION_NONE);
}

unsigned gw_access_action(const struct gw_route *route)
{
    pthread_once(&once, find_all);
    return actions[gw_route_index(route)];
}

enum vault_access gw_access(const struct gw_identity *identity, const struct gw_site *site,
                            unsigned action, struct role_scope resource)
{
    if (!identity)
        return VAULT_ACCESS_NO;
    if (identity->full)
        return VAULT_ACCESS_YES;
    /* what no role holds is for full identities alone */
    if (!site || action == VAULT_ACTION_NONE)
        return VAULT_ACCESS_NO;
    return vault_roles_allow(site->roles, identity->principal, action, resource);
}

bool gw_access_fault(struct gw_fault *fault, enum vault_access access,
                     const struct gw_identity *identity, const char *action,
                     struct role_scope resource)
{
    char principal[GW_GUID_TEXT + 1], scope[ROLE_SCOPE_MAX + 1] = "/";
    unsigned number = vault_action_find(action);
    if (access == VAULT_ACCESS_UNKNOWN) {
        gw_fault_set(fault, 503, "ServiceUnavailable", NULL,
                     "The role assignments of this vault are being read. Try again.");
        fault->retry_after_s = 1;
        return false;
    }
    gw_guid_write(principal, identity->principal);
    if (resource.level != ROLE_AT_KEY || resource.key.len <= STORE_NAME_MAX)
        role_scope_text(scope, resource);
    return gw_fault_set(fault, 403, "Forbidden", "ForbiddenByRbac",
                        "Caller %s is not authorized to perform action '%s' at %.60s.", principal,
                        number == VAULT_ACTION_NONE ? action : vault_action_name(number), scope);
}

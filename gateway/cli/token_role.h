#pragma once
/* Role assignments for `keyward token create --role`: through the control socket of the gateway. */

#include "gateway/base/guid.h"
#include "gateway/vault/roles/role.h"

/** What a new token is given. */
struct cli_role {
    const char *control;     /* the socket */
    const char *vault;       /* NULL: the default one */
    struct role_scope scope; /* where */
    char id[GW_GUID_TEXT + 1];
};

/** Finds the role by its name (without case) or GUID and fills `id`. CLI_GO_ON, or the exit code
 *  after a sentence. */
int cli_role_find(struct cli_role *role, const char *name);
/** Gives it to the principal; likewise. */
int cli_role_give(const struct cli_role *role, const uint8_t principal[GW_GUID_LEN]);

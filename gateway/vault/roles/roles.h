#pragma once
/* Local role-based access of each vault: who may do what. All of a vault's role definitions,
 * assignments and settings are in memory, so that a check asks no store; the store has them as
 * sealed documents beside the vault's other objects, which is how backups carry them.
 *
 * Changes of one vault run one at a time, each checked against what is in memory, stored, and then
 * published before it is answered. */

#include "gateway/net/loop.h"
#include "gateway/vault/roles/role.h"

#define VAULT_ROLES_CUSTOM_MAX 50 /* role definitions */
#define VAULT_ROLES_WIDE_MAX   50 /* assignments at "/", and as many at "/keys" */
#define VAULT_ROLES_KEY_MAX    10 /* at each key */
#define VAULT_SETTING_ARM      "AllowKeyManagementOperationsThroughARM"

struct vault;
struct vault_roles;

/** Those of the vault `name`, made when they are first asked for; they live as long as `vault`.
 * NULL without memory. Any thread. */
struct vault_roles *vault_roles_of(struct vault *vault, const char *name);

typedef void vault_roles_done_fn(void *ctx, kw_status status);

/** Reads them from the store unless that was done; `done` may run before this returns. Every call
 *  below needs it first. Loop and `done` as in the store. */
void vault_roles_load(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                      void *ctx);

/** The same for a caller that does not wait: starts it unless it was started so already. */
void vault_roles_prompt(struct vault_roles *roles, struct gw_loop *loop);

/* --- a check --- */

enum vault_access {
    VAULT_ACCESS_NO,
    VAULT_ACCESS_YES,
    VAULT_ACCESS_UNKNOWN /* they are not loaded */
};

/** May the principal do the action to the resource? Any thread; no call into the store. */
enum vault_access vault_roles_allow(struct vault_roles *roles, const uint8_t principal[GW_GUID_LEN],
                                    unsigned action, struct role_scope resource);

/* --- reading --- */

/** Is called under the lock: it copies what it needs. False ends the walk. */
typedef bool vault_role_fn(void *ctx, const struct vault_role *role);
typedef bool vault_assignment_fn(void *ctx, const struct vault_assignment *assignment);

/** Calls `each` for every role definition in the order of their ids. KW_E_UNAVAILABLE: not loaded.
 * Any thread. */
KW_MUST_CHECK kw_status vault_roles_each(struct vault_roles *roles, vault_role_fn *each, void *ctx);
/** The same for assignments, behind `after` (NULL: from the start). */
KW_MUST_CHECK kw_status vault_roles_each_assignment(struct vault_roles *roles, const uint8_t *after,
                                                    vault_assignment_fn *each, void *ctx);
/** One of them; KW_E_NOT_FOUND. */
KW_MUST_CHECK kw_status vault_roles_get(struct vault_roles *roles, const uint8_t id[GW_GUID_LEN],
                                        vault_role_fn *with, void *ctx);
KW_MUST_CHECK kw_status vault_roles_get_assignment(struct vault_roles *roles,
                                                   const uint8_t id[GW_GUID_LEN],
                                                   vault_assignment_fn *with, void *ctx);
KW_MUST_CHECK kw_status vault_roles_setting(struct vault_roles *roles, bool *value);

/* --- changes --- */

/** Why a change was refused. */
enum vault_roles_why {
    VAULT_ROLES_WHY_STATUS, /* the status says it */
    VAULT_ROLES_WHY_BUILTIN,
    VAULT_ROLES_WHY_NO_ROLE,
    VAULT_ROLES_WHY_NAME_TAKEN,
    VAULT_ROLES_WHY_ROLE_LIMIT,
    VAULT_ROLES_WHY_ASSIGNED, /* a role that is assigned is not deleted */
    VAULT_ROLES_WHY_NO_ASSIGNMENT,
    VAULT_ROLES_WHY_ID_TAKEN, /* by an assignment that says something else */
    VAULT_ROLES_WHY_ASSIGNMENT_EXISTS,
    VAULT_ROLES_WHY_ASSIGNMENT_LIMIT,
    VAULT_ROLES_WHY_NOT_ASSIGNABLE
};

/** `text`: the resource as it is now, or as it was before it was deleted; borrowed. With KW_OK the
 *  change is durable and every check goes by it. */
typedef void vault_roles_change_fn(void *ctx, kw_status status, enum vault_roles_why why,
                                   struct kw_span text);

/** Adds a custom role or takes the place of the one with its id. Takes over `role`. */
void vault_roles_put(struct vault_roles *roles, struct gw_loop *loop, struct vault_role *role,
                     vault_roles_change_fn *done, void *ctx);
void vault_roles_delete(struct vault_roles *roles, struct gw_loop *loop,
                        const uint8_t id[GW_GUID_LEN], vault_roles_change_fn *done, void *ctx);
/** Adds an assignment; one that is there already in the same words is answered as new. Takes over
 *  `assignment`. */
void vault_roles_assign(struct vault_roles *roles, struct gw_loop *loop,
                        struct vault_assignment *assignment, vault_roles_change_fn *done,
                        void *ctx);
/** Deletes the assignment `id` of this scope or one within it. */
void vault_roles_unassign(struct vault_roles *roles, struct gw_loop *loop,
                          const uint8_t id[GW_GUID_LEN], struct role_scope scope,
                          vault_roles_change_fn *done, void *ctx);
/** `text` is empty. */
void vault_roles_set(struct vault_roles *roles, struct gw_loop *loop, bool value,
                     vault_roles_change_fn *done, void *ctx);

/* --- while everything of the vault is exchanged --- */

/** Waits until no change runs, then keeps changes out; one at a time. `done` on the loop. */
void vault_roles_hold(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                      void *ctx);
/** Reads everything anew and lets changes in again. On failure nothing is loaded: checks say so
 *  until a later load succeeds. */
void vault_roles_release(struct vault_roles *roles, struct gw_loop *loop, vault_roles_done_fn *done,
                         void *ctx);

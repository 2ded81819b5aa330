#pragma once
/* Role definitions and role assignments as they are kept in memory: compiled for checks, and
 * written out once as the service shows them. Immutable once made. */

#include <jansson.h>

#include "crypto/base/status.h"
#include "gateway/store/store.h"
#include "gateway/vault/roles/actions.h"

/** What an action is done to, and where an assignment holds: the whole, all keys, or one key. A
 *  wider scope holds the narrower ones. */
enum role_scope_level { ROLE_AT_ROOT, ROLE_AT_KEYS, ROLE_AT_KEY };

struct role_scope {
    enum role_scope_level level;
    struct kw_span key; /* ROLE_AT_KEY: its name, 1 to STORE_NAME_MAX bytes */
};

/** Longest scope as text: "/keys/NAME". */
#define ROLE_SCOPE_MAX (6 + STORE_NAME_MAX)

/** "/", "/keys", "/keys/NAME". */
void role_scope_text(char out[ROLE_SCOPE_MAX + 1], struct role_scope scope);
/** With or without the leading slash, "" being "/". False for anything else. The name borrows. */
bool role_scope_read(struct role_scope *out, struct kw_span text);
bool role_scope_equal(struct role_scope a, struct role_scope b);
/** Is `inner` the same scope as `outer`, or within it? */
bool role_scope_within(struct role_scope outer, struct role_scope inner);

#define VAULT_ROLE_NAME_MAX        512 /* bytes */
#define VAULT_ROLE_DESCRIPTION_MAX 2048
#define VAULT_ROLE_PERMISSIONS_MAX 16
#define VAULT_ROLE_ACTIONS_MAX     256 /* of each list of a permission */
#define VAULT_ROLE_ACTION_TEXT_MAX 256

struct vault_role {
    uint8_t id[GW_GUID_LEN];
    bool builtin;
    bool at_root; /* assignable to the whole; else to keys alone */
    struct vault_actions actions;
    char *name;
    char *text; /* the JSON resource */
    size_t text_len;
    json_t *doc; /* what is stored; NULL: built-in */
};

/** From {"roleName", "description", "permissions", "assignableScopes"}; takes a reference of `doc`.
 *  Data actions that this version does not know give nothing. KW_E_INTEGRITY: another form. */
KW_MUST_CHECK kw_status vault_role_make(struct vault_role **out, const uint8_t id[GW_GUID_LEN],
                                        json_t *doc);
KW_MUST_CHECK kw_status vault_role_make_builtin(struct vault_role **out, unsigned index);
/** NULL is allowed. */
void vault_role_free(struct vault_role *role);

struct vault_assignment {
    uint8_t id[GW_GUID_LEN], principal[GW_GUID_LEN], role[GW_GUID_LEN];
    struct role_scope scope; /* its key is in scope_text */
    char scope_text[ROLE_SCOPE_MAX + 1];
    char *text;
    size_t text_len;
};

/** KW_E_INPUT: the scope is none. */
KW_MUST_CHECK kw_status vault_assignment_make(struct vault_assignment **out,
                                              const uint8_t id[GW_GUID_LEN],
                                              const uint8_t principal[GW_GUID_LEN],
                                              const uint8_t role[GW_GUID_LEN],
                                              struct role_scope scope);
/** The stored form, {"principalId", "roleDefinitionId", "scope"}, and back. NULL without memory. */
json_t *vault_assignment_doc(const struct vault_assignment *assignment);
KW_MUST_CHECK kw_status vault_assignment_read(struct vault_assignment **out,
                                              const uint8_t id[GW_GUID_LEN], const json_t *doc);
/** NULL is allowed. */
void vault_assignment_free(struct vault_assignment *assignment);

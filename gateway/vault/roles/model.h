#pragma once
/* The roles of one vault in memory: definitions, assignments, settings, and the table that answers
 * a check. No locks in here; roles.c has them. What comes in is taken over. */

#include "gateway/vault/roles/role.h"

struct roles_model;

/** With the built-in roles. NULL without memory. */
struct roles_model *roles_model_create(void);
/** NULL is allowed. */
void roles_model_destroy(struct roles_model *model);

/** Borrowed; NULL: none. */
const struct vault_role *roles_model_role(const struct roles_model *model,
                                          const uint8_t id[GW_GUID_LEN]);
/** By index, in the order of their ids; NULL behind the last. */
const struct vault_role *roles_model_role_at(const struct roles_model *model, size_t index);
/** Another than `id` that has this name, without case; NULL: none. */
const struct vault_role *roles_model_role_named(const struct roles_model *model, const char *name,
                                                const uint8_t id[GW_GUID_LEN]);
size_t roles_model_custom_count(const struct roles_model *model);
/** Is it assigned to anybody? */
bool roles_model_assigned(const struct roles_model *model, const uint8_t role[GW_GUID_LEN]);

const struct vault_assignment *roles_model_assignment(const struct roles_model *model,
                                                      const uint8_t id[GW_GUID_LEN]);
/** By index, in the order of their ids; NULL behind the last. */
const struct vault_assignment *roles_model_assignment_at(const struct roles_model *model,
                                                         size_t index);
/** The index of the first one whose id is above `id`. */
size_t roles_model_after(const struct roles_model *model, const uint8_t id[GW_GUID_LEN]);
/** One with the same principal, role and scope. */
const struct vault_assignment *roles_model_same(const struct roles_model *model,
                                                const struct vault_assignment *like);
size_t roles_model_count_at(const struct roles_model *model, struct role_scope scope);

/** Makes room, so that the next put of one role and of one assignment at `scope` cannot fail. */
KW_MUST_CHECK kw_status roles_model_reserve(struct roles_model *model, struct role_scope scope);
/** Adds, or takes the place of the one with its id. After a reserve. */
void roles_model_put_role(struct roles_model *model, struct vault_role *role);
/** Adds; its id is new. After a reserve. */
void roles_model_put_assignment(struct roles_model *model, struct vault_assignment *assignment);
/** Takes out; the caller frees it. NULL: none. */
struct vault_role *roles_model_take_role(struct roles_model *model, const uint8_t id[GW_GUID_LEN]);
struct vault_assignment *roles_model_take_assignment(struct roles_model *model,
                                                     const uint8_t id[GW_GUID_LEN]);

/** May the principal do it? Some tens of nanoseconds, whatever the number of assignments. */
bool roles_model_allows(const struct roles_model *model, const uint8_t principal[GW_GUID_LEN],
                        unsigned action, struct role_scope resource);

/** The one setting there is: AllowKeyManagementOperationsThroughARM. */
bool roles_model_setting(const struct roles_model *model);
void roles_model_set(struct roles_model *model, bool value);

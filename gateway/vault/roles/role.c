#include "gateway/vault/roles/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define PROVIDER    "providers/Microsoft.Authorization/"
#define DEFINITIONS "Microsoft.KeyVault/" PROVIDER "roleDefinitions/"

/* --- scopes --- */

void role_scope_text(char out[ROLE_SCOPE_MAX + 1], struct role_scope scope)
{
    if (scope.level == ROLE_AT_KEY)
        snprintf(out, ROLE_SCOPE_MAX + 1, "/keys/%.*s", (int)scope.key.len,
                 (const char *)scope.key.data);
    else
        snprintf(out, ROLE_SCOPE_MAX + 1, "%s", scope.level == ROLE_AT_KEYS ? "/keys" : "/");
}

static bool name_ok(struct kw_span name)
{
    if (name.len < 1 || name.len > STORE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

bool role_scope_read(struct role_scope *out, struct kw_span text)
{
    static const char keys[] = "keys";
    *out = (struct role_scope){.level = ROLE_AT_ROOT};
    if (text.len > 0 && text.data[0] == '/')
        text = kw_span_of(text.data + 1, text.len - 1);
    if (text.len == 0)
        return true;
    if (text.len < 4 || strncasecmp((const char *)text.data, keys, 4) != 0)
        return false;
    out->level = ROLE_AT_KEYS;
    if (text.len == 4)
        return true;
    out->level = ROLE_AT_KEY;
    out->key = kw_span_of(text.data + 5, text.len - 5);
    return text.data[4] == '/' && name_ok(out->key);
}

static bool same_name(struct kw_span a, struct kw_span b)
{
    return a.len == b.len && strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0;
}

bool role_scope_equal(struct role_scope a, struct role_scope b)
{
    return a.level == b.level && (a.level != ROLE_AT_KEY || same_name(a.key, b.key));
}

bool role_scope_within(struct role_scope outer, struct role_scope inner)
{
    return outer.level < inner.level || role_scope_equal(outer, inner);
}

/* --- definitions --- */

static kw_status add_list(struct vault_actions *set, const json_t *permission, const char *name)
{
    const json_t *list = json_object_get(permission, name);
    if (list && !json_is_array(list))
        return KW_E_INTEGRITY;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item))
            return KW_E_INTEGRITY;
        vault_actions_add_named(set, kw_span_of(json_string_value(item), json_string_length(item)));
    }
    return KW_OK;
}

static kw_status compile(struct vault_actions *out, const json_t *permissions)
{
    if (!json_is_array(permissions))
        return KW_E_INTEGRITY;
    for (size_t i = 0; i < json_array_size(permissions); i++) {
        const json_t *permission = json_array_get(permissions, i);
        struct vault_actions yes = {{0}}, no = {{0}};
        KW_TRY(add_list(&yes, permission, "dataActions"));
        KW_TRY(add_list(&no, permission, "notDataActions"));
        out->bits[0] |= yes.bits[0] & ~no.bits[0];
        out->bits[1] |= yes.bits[1] & ~no.bits[1];
    }
    return KW_OK;
}

static kw_status read_scopes(struct vault_role *role, const json_t *scopes)
{
    if (!json_is_array(scopes))
        return KW_E_INTEGRITY;
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const char *text = json_string_value(json_array_get(scopes, i));
        if (!text)
            return KW_E_INTEGRITY;
        role->at_root |= strcmp(text, "/") == 0;
    }
    return KW_OK;
}

/** The resource as the service shows it; its id has no leading slash. */
static kw_status write_role(struct vault_role *role, const json_t *doc)
{
    char guid[GW_GUID_TEXT + 1];
    gw_guid_write(guid, role->id);
    json_t *root = json_pack(
        "{s:s+,s:s,s:s,s:{s:O,s:O,s:O,s:s,s:s}}", "id", DEFINITIONS, guid, "name", guid, "type",
        "Microsoft.Authorization/roleDefinitions", "properties", "assignableScopes",
        json_object_get(doc, "assignableScopes"), "description",
        json_object_get(doc, "description"), "permissions", json_object_get(doc, "permissions"),
        "roleName", role->name, "type", role->builtin ? "AKVBuiltInRole" : "CustomRole");
    role->text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!role->text)
        return KW_E_NOMEM;
    role->text_len = strlen(role->text);
    return KW_OK;
}

static kw_status fill(struct vault_role *role, const json_t *doc)
{
    const char *name = json_string_value(json_object_get(doc, "roleName"));
    if (!name || !json_is_string(json_object_get(doc, "description")))
        return KW_E_INTEGRITY;
    KW_TRY(compile(&role->actions, json_object_get(doc, "permissions")));
    KW_TRY(read_scopes(role, json_object_get(doc, "assignableScopes")));
    role->name = strdup(name);
    return role->name ? write_role(role, doc) : KW_E_NOMEM;
}

static kw_status make(struct vault_role **out, const uint8_t id[GW_GUID_LEN], bool builtin,
                      json_t *doc)
{
    struct vault_role *role = calloc(1, sizeof *role);
    if (!role)
        return KW_E_NOMEM;
    memcpy(role->id, id, sizeof role->id);
    role->builtin = builtin;
    kw_status status = fill(role, doc);
    if (status != KW_OK) {
        vault_role_free(role);
        return status;
    }
    if (!builtin)
        role->doc = json_incref(doc);
    *out = role;
    return KW_OK;
}

kw_status vault_role_make(struct vault_role **out, const uint8_t id[GW_GUID_LEN], json_t *doc)
{
    return make(out, id, false, doc);
}

kw_status vault_role_make_builtin(struct vault_role **out, unsigned index)
{
    struct vault_builtin builtin = vault_builtin_at(index);
    uint8_t id[GW_GUID_LEN];
    json_t *actions = json_array(), *data = json_array();
    for (size_t i = 0; builtin.management[i]; i++)
        json_array_append_new(actions, json_string(builtin.management[i]));
    for (unsigned i = 0; i < vault_action_count; i++) {
        if (vault_actions_have(&builtin.actions, i))
            json_array_append_new(data, json_string(vault_action_name(i)));
    }
    json_t *doc = json_pack("{s:s,s:s,s:[s],s:[{s:o,s:[],s:o,s:[]}]}", "roleName", builtin.name,
                            "description", "", "assignableScopes", "/", "permissions", "actions",
                            actions, "notActions", "dataActions", data, "notDataActions");
    kw_status status = doc && gw_guid_read(id, kw_span_str(builtin.id)) ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK)
        status = make(out, id, true, doc);
    json_decref(doc);
    return status;
}

void vault_role_free(struct vault_role *role)
{
    if (!role)
        return;
    json_decref(role->doc);
    free(role->name);
    free(role->text);
    free(role);
}

/* --- assignments --- */

static kw_status write_assignment(struct vault_assignment *a)
{
    char id[GW_GUID_TEXT + 1], principal[GW_GUID_TEXT + 1], role[GW_GUID_TEXT + 1];
    gw_guid_write(id, a->id);
    gw_guid_write(principal, a->principal);
    gw_guid_write(role, a->role);
    json_t *root = json_pack(
        "{s:s++,s:s,s:s,s:{s:s,s:s+,s:s}}", "id",
        a->scope.level == ROLE_AT_ROOT ? "" : a->scope_text, "/" PROVIDER "roleAssignments/", id,
        "name", id, "type", "Microsoft.Authorization/roleAssignments", "properties", "principalId",
        principal, "roleDefinitionId", DEFINITIONS, role, "scope", a->scope_text);
    a->text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!a->text)
        return KW_E_NOMEM;
    a->text_len = strlen(a->text);
    return KW_OK;
}

kw_status vault_assignment_make(struct vault_assignment **out, const uint8_t id[GW_GUID_LEN],
                                const uint8_t principal[GW_GUID_LEN],
                                const uint8_t role[GW_GUID_LEN], struct role_scope scope)
{
    if (scope.level == ROLE_AT_KEY && !name_ok(scope.key))
        return KW_E_INPUT;
    struct vault_assignment *a = calloc(1, sizeof *a);
    if (!a)
        return KW_E_NOMEM;
    memcpy(a->id, id, GW_GUID_LEN);
    memcpy(a->principal, principal, GW_GUID_LEN);
    memcpy(a->role, role, GW_GUID_LEN);
    role_scope_text(a->scope_text, scope);
    a->scope = scope;
    if (scope.level == ROLE_AT_KEY)
        a->scope.key = kw_span_of(a->scope_text + 6, scope.key.len);
    kw_status status = write_assignment(a);
    if (status != KW_OK) {
        vault_assignment_free(a);
        return status;
    }
    *out = a;
    return KW_OK;
}

json_t *vault_assignment_doc(const struct vault_assignment *a)
{
    char principal[GW_GUID_TEXT + 1], role[GW_GUID_TEXT + 1];
    gw_guid_write(principal, a->principal);
    gw_guid_write(role, a->role);
    return json_pack("{s:s,s:s,s:s}", "principalId", principal, "roleDefinitionId", role, "scope",
                     a->scope_text);
}

static bool read_guid(uint8_t out[GW_GUID_LEN], const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));
    return text && gw_guid_read(out, kw_span_str(text));
}

kw_status vault_assignment_read(struct vault_assignment **out, const uint8_t id[GW_GUID_LEN],
                                const json_t *doc)
{
    uint8_t principal[GW_GUID_LEN], role[GW_GUID_LEN];
    struct role_scope scope;
    const char *text = json_string_value(json_object_get(doc, "scope"));
    if (!text || !role_scope_read(&scope, kw_span_str(text)) ||
        !read_guid(principal, doc, "principalId") || !read_guid(role, doc, "roleDefinitionId"))
        return KW_E_INTEGRITY;
    return vault_assignment_make(out, id, principal, role, scope);
}

void vault_assignment_free(struct vault_assignment *assignment)
{
    if (!assignment)
        return;
    free(assignment->text);
    free(assignment);
}

/* /providers/Microsoft.Authorization/roleDefinitions, at the scope "/" alone. */

#include <strings.h>

#include "gateway/api/json/read.h"
#include "gateway/api/roles/common.h"
#include "gateway/api/roles/roles.h"

/* --- bodies --- */

/** A list of strings as a new array; absent: an empty one. */
static json_t *copy_list(const json_t *from, const char *name, struct gw_fault *fault)
{
    json_t *array = NULL, *out = json_array();
    gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    bool ok = out && gw_json_array(from, name, &array, fault);
    if (ok && json_array_size(array) > VAULT_ROLE_ACTIONS_MAX)
        ok = gw_fault_bad(fault, "Property '%s' holds more than %d entries.", name,
                          VAULT_ROLE_ACTIONS_MAX);
    for (size_t i = 0; ok && i < json_array_size(array); i++) {
        json_t *item = json_array_get(array, i);
        if (!json_is_string(item) || json_string_length(item) > VAULT_ROLE_ACTION_TEXT_MAX)
            ok = gw_fault_bad(fault, "Property '%s' must hold strings of at most %d bytes.", name,
                              VAULT_ROLE_ACTION_TEXT_MAX);
        else
            json_array_append(out, item);
    }
    if (!ok) {
        json_decref(out);
        return NULL;
    }
    return out;
}

/** Data actions that are known, in the table's spelling; patterns stay as they are. */
static json_t *copy_actions(const json_t *from, const char *name, struct gw_fault *fault)
{
    json_t *list = copy_list(from, name, fault);
    for (size_t i = 0; list && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        struct kw_span text = kw_span_of(json_string_value(item), json_string_length(item));
        struct vault_actions named = {{0}};
        if (!vault_actions_add_named(&named, text)) {
            gw_fault_bad(fault, "Property '%s' holds '%.120s', which is no data action.", name,
                         (const char *)text.data);
            json_decref(list);
            return NULL;
        }
        for (unsigned a = 0; !memchr(text.data, '*', text.len) && a < vault_action_count; a++) {
            if (vault_actions_have(&named, a))
                json_array_set_new(list, i, json_string(vault_action_name(a)));
        }
    }
    return list;
}

/** Management actions have no meaning here: they cannot be given. */
static json_t *no_actions(const json_t *from, const char *name, struct gw_fault *fault)
{
    json_t *list = copy_list(from, name, fault);
    if (list && json_array_size(list) > 0) {
        gw_fault_bad(fault, "Property '%s' must be empty: there are data actions alone here.",
                     name);
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *read_permission(const json_t *from, struct gw_fault *fault)
{
    json_t *actions = NULL, *not_actions = NULL, *data = NULL, *not_data = NULL;
    if (!json_is_object(from)) {
        gw_fault_bad(fault, "Property 'permissions' must hold objects.");
        return NULL;
    }
    actions = no_actions(from, "actions", fault);
    if (actions)
        not_actions = no_actions(from, "notActions", fault);
    if (not_actions)
        data = copy_actions(from, "dataActions", fault);
    if (data)
        not_data = copy_actions(from, "notDataActions", fault);
    if (not_data)
        return json_pack("{s:o,s:o,s:o,s:o}", "actions", actions, "notActions", not_actions,
                         "dataActions", data, "notDataActions", not_data);
    json_decref(actions);
    json_decref(not_actions);
    json_decref(data);
    return NULL;
}

static json_t *read_permissions(const json_t *properties, struct gw_fault *fault)
{
    json_t *array = NULL, *out = json_array();
    gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    bool ok = out && gw_json_array(properties, "permissions", &array, fault);
    if (ok && json_array_size(array) > VAULT_ROLE_PERMISSIONS_MAX)
        ok = gw_fault_bad(fault, "Property 'permissions' holds more than %d entries.",
                          VAULT_ROLE_PERMISSIONS_MAX);
    for (size_t i = 0; ok && i < json_array_size(array); i++) {
        json_t *one = read_permission(json_array_get(array, i), fault);
        ok = one && json_array_append_new(out, one) == 0;
    }
    if (!ok) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *read_scopes(const json_t *properties, struct gw_fault *fault)
{
    json_t *list = copy_list(properties, "assignableScopes", fault);
    for (size_t i = 0; list && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        struct role_scope scope;
        if (!role_scope_read(&scope,
                             kw_span_of(json_string_value(item), json_string_length(item))) ||
            scope.level == ROLE_AT_KEY) {
            gw_fault_bad(fault, "Property 'assignableScopes' must hold '/' or '/keys'.");
            json_decref(list);
            return NULL;
        }
        json_array_set_new(list, i, json_string(scope.level == ROLE_AT_ROOT ? "/" : "/keys"));
    }
    if (list && json_array_size(list) == 0)
        json_array_append_new(list, json_string("/"));
    return list;
}

static json_t *read_properties(const json_t *properties, struct gw_fault *fault)
{
    struct kw_span name, description, type;
    if (!gw_json_string(properties, "roleName", VAULT_ROLE_NAME_MAX, &name, fault) ||
        !gw_json_string(properties, "description", VAULT_ROLE_DESCRIPTION_MAX, &description,
                        fault) ||
        !gw_json_string(properties, "type", 64, &type, fault))
        return NULL;
    if (name.len == 0) {
        gw_fault_bad(fault, "The property 'roleName' is missing.");
        return NULL;
    }
    if (memchr(name.data, 0, name.len) ||
        (description.len > 0 && memchr(description.data, 0, description.len))) {
        gw_fault_bad(fault, "The property 'roleName' or 'description' holds a NUL.");
        return NULL;
    }
    if (type.len > 0 &&
        (type.len != 10 || strncasecmp((const char *)type.data, "CustomRole", 10))) {
        gw_fault_bad(fault, "The property 'type' must be 'CustomRole'.");
        return NULL;
    }
    json_t *permissions = read_permissions(properties, fault);
    json_t *scopes = permissions ? read_scopes(properties, fault) : NULL;
    if (!scopes) {
        json_decref(permissions);
        return NULL;
    }
    gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    return json_pack("{s:s%,s:s%,s:o,s:o}", "roleName", (const char *)name.data, name.len,
                     "description", description.len ? (const char *)description.data : "",
                     description.len, "permissions", permissions, "assignableScopes", scopes);
}

static json_t *read_body(struct gw_request *req, struct gw_fault *fault)
{
    json_t *root = gw_json_parse(kw_buf_span(&req->body), fault), *properties = NULL, *doc = NULL;
    if (!root)
        return NULL;
    if (gw_json_object(root, "properties", &properties, fault) && !properties)
        gw_fault_bad(fault, "The property 'properties' is missing.");
    else if (properties)
        doc = read_properties(properties, fault);
    json_decref(root);
    return doc;
}

/* --- handlers --- */

static void put(struct gw_roles_call *call)
{
    struct vault_role *role = call->role;
    call->role = NULL;
    vault_roles_put(call->roles, call->req->loop, role, gw_roles_changed, call);
}

void gw_role_definitions_put(struct gw_request *req)
{
    struct gw_fault fault;
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (!call || !gw_roles_id(call, false))
        return;
    json_t *doc = read_body(req, &fault);
    kw_status status = doc ? vault_role_make(&call->role, call->id, doc) : KW_OK;
    json_decref(doc);
    if (!doc)
        gw_reply_fault(req, &fault);
    else if (status != KW_OK)
        gw_reply_status(req, status, (struct kw_span){0});
    else
        gw_roles_start(call, put);
}

static void delete_it(struct gw_roles_call *call)
{
    vault_roles_delete(call->roles, call->req->loop, call->id, gw_roles_changed, call);
}

void gw_role_definitions_delete(struct gw_request *req)
{
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (call && gw_roles_id(call, false))
        gw_roles_start(call, delete_it);
}

static bool copy(void *ctx, const struct vault_role *role)
{
    struct gw_roles_call *call = ctx;
    gw_out_raw(&call->out, role->text, role->text_len);
    return true;
}

static void get(struct gw_roles_call *call)
{
    gw_roles_out(call);
    gw_roles_reply(call, vault_roles_get(call->roles, call->id, copy, call), false);
}

void gw_role_definitions_get(struct gw_request *req)
{
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (call && gw_roles_id(call, false))
        gw_roles_start(call, get);
}

static bool same(struct kw_span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

static bool list_one(void *ctx, const struct vault_role *role)
{
    struct gw_roles_call *call = ctx;
    const struct gw_role_filter *filter = &call->filter;
    if ((filter->has_name && !same(filter->name, role->name)) ||
        (filter->has_type && !same(filter->type, role->builtin ? "AKVBuiltInRole" : "CustomRole") &&
         !(role->builtin && same(filter->type, "BuiltInRole"))))
        return true;
    if (call->count++ > 0)
        gw_out_text(&call->out, ",");
    gw_out_raw(&call->out, role->text, role->text_len);
    return true;
}

static void list(struct gw_roles_call *call)
{
    gw_roles_out(call);
    gw_out_text(&call->out, "{\"value\":[");
    kw_status status = vault_roles_each(call->roles, list_one, call);
    gw_out_text(&call->out, "],\"nextLink\":null}");
    gw_roles_reply(call, status, false);
}

void gw_role_definitions_list(struct gw_request *req)
{
    struct gw_fault fault;
    struct kw_span text = {0};
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (!call)
        return;
    gw_query_get(req, "$filter", &text);
    if (gw_role_filter_read(&call->filter, text, false, req->arena, &fault))
        gw_roles_start(call, list);
    else
        gw_reply_fault(req, &fault);
}

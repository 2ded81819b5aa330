/* {scope}/providers/Microsoft.Authorization/roleAssignments, at "/", "/keys" and "/keys/NAME". */

#include "gateway/api/json/read.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/api/roles/common.h"
#include "gateway/api/roles/roles.h"

#define PAGE 250 /* of one list */

/* --- putting --- */

/** A role is named by the GUID at the end of its id, whatever stands before. */
static bool read_role(const json_t *properties, uint8_t out[GW_GUID_LEN], struct gw_fault *fault)
{
    struct kw_span text;
    if (!gw_json_string(properties, "roleDefinitionId", 512, &text, fault))
        return false;
    if (text.len == 0)
        return gw_fault_bad(fault, "The property 'roleDefinitionId' is missing.");
    const uint8_t *slash = memrchr(text.data, '/', text.len);
    if (slash)
        text = kw_span_of(slash + 1, text.len - (size_t)(slash + 1 - text.data));
    return gw_guid_read(out, text) ||
           gw_fault_bad(fault, "The property 'roleDefinitionId' does not end in a GUID.");
}

static bool read_principal(const json_t *properties, uint8_t out[GW_GUID_LEN],
                           struct gw_fault *fault)
{
    struct kw_span text;
    if (!gw_json_string(properties, "principalId", 512, &text, fault))
        return false;
    if (text.len == 0)
        return gw_fault_bad(fault, "The property 'principalId' is missing.");
    return gw_guid_read(out, text) ||
           gw_fault_bad(fault, "The property 'principalId' must be a GUID: the principal that "
                               "keyward token list shows, or the oid of a token.");
}

static bool read_assignment(struct gw_roles_call *call, const json_t *root, struct gw_fault *fault)
{
    json_t *properties = NULL;
    uint8_t role[GW_GUID_LEN], principal[GW_GUID_LEN];
    if (!gw_json_object(root, "properties", &properties, fault))
        return false;
    if (!properties)
        return gw_fault_bad(fault, "The property 'properties' is missing.");
    if (!read_role(properties, role, fault) || !read_principal(properties, principal, fault))
        return false;
    kw_status status =
        vault_assignment_make(&call->assignment, call->id, principal, role, call->scope);
    gw_guid_write(call->principal, principal);
    gw_guid_write(call->role_id, role);
    return status == KW_OK || gw_fault_status(fault, status, (struct kw_span){0});
}

static void put(struct gw_roles_call *call)
{
    struct vault_assignment *assignment = call->assignment;
    call->assignment = NULL;
    vault_roles_assign(call->roles, call->req->loop, assignment, gw_roles_changed, call);
}

void gw_role_assignments_put(struct gw_request *req)
{
    struct gw_fault fault;
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (!call || !gw_roles_id(call, true))
        return;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    bool ok = root && read_assignment(call, root, &fault);
    json_decref(root);
    if (ok)
        gw_roles_start(call, put);
    else
        gw_reply_fault(req, &fault);
}

/* --- the others --- */

static void delete_it(struct gw_roles_call *call)
{
    vault_roles_unassign(call->roles, call->req->loop, call->id, call->scope, gw_roles_changed,
                         call);
}

void gw_role_assignments_delete(struct gw_request *req)
{
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (call && gw_roles_id(call, true))
        gw_roles_start(call, delete_it);
}

static bool copy(void *ctx, const struct vault_assignment *assignment)
{
    struct gw_roles_call *call = ctx;
    call->count = role_scope_within(call->scope, assignment->scope);
    if (call->count > 0)
        gw_out_raw(&call->out, assignment->text, assignment->text_len);
    return true;
}

static void get(struct gw_roles_call *call)
{
    gw_roles_out(call);
    kw_status status = vault_roles_get_assignment(call->roles, call->id, copy, call);
    gw_roles_reply(call, status == KW_OK && call->count == 0 ? KW_E_NOT_FOUND : status, true);
}

void gw_role_assignments_get(struct gw_request *req)
{
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (call && gw_roles_id(call, true))
        gw_roles_start(call, get);
}

/* --- lists --- */

/** At the scope and above it; without atScope() below it too. */
static bool is_wanted(const struct gw_roles_call *call, const struct vault_assignment *a)
{
    const struct gw_role_filter *filter = &call->filter;
    if (filter->has_principal && memcmp(filter->principal, a->principal, GW_GUID_LEN) != 0)
        return false;
    return role_scope_within(a->scope, call->scope) ||
           (!filter->at_scope && role_scope_within(call->scope, a->scope));
}

static bool list_one(void *ctx, const struct vault_assignment *a)
{
    struct gw_roles_call *call = ctx;
    if (!is_wanted(call, a))
        return true;
    if (call->count == PAGE) {
        call->more = true;
        return false;
    }
    if (call->count++ > 0)
        gw_out_text(&call->out, ",");
    gw_out_raw(&call->out, a->text, a->text_len);
    memcpy(call->last, a->id, GW_GUID_LEN);
    return true;
}

static void write_encoded(struct gw_out *out, struct kw_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '.' || c == '(' || c == ')';
        char code[3] = {'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]};
        gw_out_raw(out, plain ? (const char *)&text.data[i] : code, plain ? 1 : 3);
    }
}

/* The token is the id of the last one: any gateway of a fleet can go on from it. */
static void write_next(struct gw_roles_call *call)
{
    struct gw_request *req = call->req;
    struct kw_span version = {0}, filter = {0}, authority = gw_authority_of(req);
    char scope[ROLE_SCOPE_MAX + 1], id[GW_GUID_TEXT + 1];
    struct gw_out *out = &call->out;
    role_scope_text(scope, call->scope);
    gw_guid_write(id, call->last);
    gw_query_get(req, "api-version", &version);
    gw_out_text(out, "\"https://");
    gw_out_raw(out, authority.data, authority.len);
    gw_out_text(out, call->scope.level == ROLE_AT_ROOT ? "" : scope);
    gw_out_text(out, "/providers/Microsoft.Authorization/roleAssignments?api-version=");
    gw_out_raw(out, version.data, version.len);
    gw_out_text(out, "&$skiptoken=");
    gw_out_text(out, id);
    if (gw_query_get(req, "$filter", &filter) && filter.len > 0) {
        gw_out_text(out, "&$filter=");
        write_encoded(out, filter);
    }
    gw_out_text(out, "\"");
}

static void list(struct gw_roles_call *call)
{
    struct kw_span token;
    bool goes_on = gw_query_get(call->req, "$skiptoken", &token) && gw_guid_read(call->id, token);
    gw_roles_out(call);
    gw_out_text(&call->out, "{\"value\":[");
    kw_status status =
        vault_roles_each_assignment(call->roles, goes_on ? call->id : NULL, list_one, call);
    gw_out_text(&call->out, "],\"nextLink\":");
    if (call->more)
        write_next(call);
    else
        gw_out_text(&call->out, "null");
    gw_out_text(&call->out, "}");
    gw_roles_reply(call, status, true);
}

void gw_role_assignments_list(struct gw_request *req)
{
    struct gw_fault fault;
    struct kw_span text = {0}, token;
    uint8_t id[GW_GUID_LEN];
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (!call)
        return;
    gw_query_get(req, "$filter", &text);
    bool ok = gw_role_filter_read(&call->filter, text, true, req->arena, &fault);
    if (ok && gw_query_get(req, "$skiptoken", &token) && !gw_guid_read(id, token))
        ok = gw_fault_bad(&fault, "The query parameter '$skiptoken' is not one that this service "
                                  "has given out.");
    if (ok)
        gw_roles_start(call, list);
    else
        gw_reply_fault(req, &fault);
}

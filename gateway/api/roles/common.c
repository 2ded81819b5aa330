#include "gateway/api/roles/common.h"

#include "gateway/api/objects/common.h"
#include "gateway/api/reply.h"
#include "gateway/api/roles/scope.h"
#include "gateway/auth/auth.h"
#include "gateway/obs/log.h"

#define LIST_MAX (4u << 20) /* bytes of one answer */

struct gw_roles_call *gw_roles_call_new(struct gw_request *req)
{
    struct gw_fault fault;
    struct gw_roles_call *call = gw_arena_alloc(req->arena, sizeof *call);
    if (!call) {
        gw_reply_nomem(req);
        return NULL;
    }
    *call = (struct gw_roles_call){.req = req,
                                   .roles = gw_site_of(req)->roles,
                                   .scope = gw_route_scope(req->route, req->params)};
    if (call->scope.level != ROLE_AT_KEY || gw_object_name_ok(call->scope.key))
        return call;
    gw_fault_bad(&fault, "The scope of the request is not the one of a key.");
    gw_reply_fault(req, &fault);
    return NULL;
}

void gw_roles_end(struct gw_roles_call *call)
{
    vault_role_free(call->role);
    vault_assignment_free(call->assignment);
    gw_request_unref(call->req);
}

static void on_loaded(void *ctx, kw_status status)
{
    struct gw_roles_call *call = ctx;
    if (status == KW_OK) {
        call->go(call);
        return;
    }
    gw_reply_status(call->req, status, (struct kw_span){0});
    gw_roles_end(call);
}

void gw_roles_start(struct gw_roles_call *call, gw_roles_go *go)
{
    call->go = go;
    gw_request_ref(call->req);
    vault_roles_load(call->roles, call->req->loop, on_loaded, call);
}

static bool not_found(struct gw_fault *fault, bool assignment)
{
    return gw_fault_set(fault, 404,
                        assignment ? "RoleAssignmentNotFound" : "RoleDefinitionNotFound", NULL,
                        "Requested role %s not found", assignment ? "assignment" : "definition");
}

bool gw_roles_id(struct gw_roles_call *call, bool assignment)
{
    struct gw_request *req = call->req;
    struct gw_fault fault;
    if (gw_guid_read(call->id, req->params[req->param_count - 1]))
        return true;
    not_found(&fault, assignment);
    if (req->route->method == GW_PUT)
        gw_fault_bad(&fault, "The name of a role %s must be a GUID.",
                     assignment ? "assignment" : "definition");
    gw_reply_fault(req, &fault);
    return false;
}

/* --- refusals --- */

static const struct refusal {
    int http;
    const char *code, *text;
} refusals[] = {
    [VAULT_ROLES_WHY_BUILTIN] = {400, "BadParameter",
                                 "The role definition is built in: it can neither be changed nor "
                                 "deleted, and its name cannot be used."},
    [VAULT_ROLES_WHY_NO_ROLE] = {404, "RoleDefinitionNotFound",
                                 "Requested role definition not found"},
    [VAULT_ROLES_WHY_NAME_TAKEN] = {409, "RoleDefinitionWithSameNameExists",
                                    "Another role definition has this roleName already."},
    [VAULT_ROLES_WHY_ROLE_LIMIT] = {400, "RoleDefinitionLimitExceeded",
                                    "There are as many custom role definitions as there can be."},
    [VAULT_ROLES_WHY_ASSIGNED] = {409, "RoleDefinitionHasAssignments",
                                  "There are role assignments that refer to the role definition. "
                                  "Delete them first."},
    [VAULT_ROLES_WHY_NO_ASSIGNMENT] = {404, "RoleAssignmentNotFound",
                                       "Requested role assignment not found"},
    [VAULT_ROLES_WHY_ID_TAKEN] =
        {409, "RoleAssignmentExists",
         "There is a role assignment of this name, and its principal, role "
         "and scope cannot be changed."},
    [VAULT_ROLES_WHY_ASSIGNMENT_EXISTS] = {409, "RoleAssignmentExists",
                                           "The role assignment already exists."},
    [VAULT_ROLES_WHY_ASSIGNMENT_LIMIT] = {400, "RoleAssignmentLimitExceeded",
                                          "There are as many role assignments at this scope as "
                                          "there can be."},
    [VAULT_ROLES_WHY_NOT_ASSIGNABLE] = {400, "BadParameter",
                                        "The assignableScopes of the role definition do not hold "
                                        "this scope."},
};

void gw_roles_log(const struct gw_roles_call *call)
{
    char id[GW_GUID_TEXT + 1], scope[ROLE_SCOPE_MAX + 1];
    const struct gw_request *req = call->req;
    gw_guid_write(id, call->id);
    role_scope_text(scope, call->scope);
    gw_log(GW_LOG_INFO, "roles changed", "what", req->route->label, "by",
           req->identity ? req->identity->subject : "", "vault", gw_site_of(req)->name, "name", id,
           "scope", scope, "principal", call->principal, "role", call->role_id, NULL);
}

void gw_roles_changed(void *ctx, kw_status status, enum vault_roles_why why, struct kw_span text)
{
    struct gw_roles_call *call = ctx;
    struct gw_request *req = call->req;
    struct gw_fault fault;
    if (why != VAULT_ROLES_WHY_STATUS) {
        gw_fault_set(&fault, refusals[why].http, refusals[why].code, NULL, "%s",
                     refusals[why].text);
        gw_reply_fault(req, &fault);
    } else if (status != KW_OK) {
        gw_reply_status(req, status, (struct kw_span){0});
    } else {
        gw_roles_out(call);
        gw_out_raw(&call->out, text.data, text.len);
        gw_reply_json(req, req->route->method == GW_PUT ? 201 : 200, &call->out);
        gw_roles_log(call);
    }
    gw_roles_end(call);
}

void gw_roles_out(struct gw_roles_call *call)
{
    gw_out_init(&call->out, call->req->arena, 1024, LIST_MAX);
}

void gw_roles_reply(struct gw_roles_call *call, kw_status status, bool assignment)
{
    struct gw_fault fault;
    if (status == KW_OK) {
        gw_reply_json(call->req, 200, &call->out);
    } else if (status == KW_E_NOT_FOUND) {
        not_found(&fault, assignment);
        gw_reply_fault(call->req, &fault);
    } else {
        gw_reply_status(call->req, status, (struct kw_span){0});
    }
    gw_roles_end(call);
}

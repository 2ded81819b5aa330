/* /settings: the service knows one. It is kept and shown; keyward has no Azure Resource Manager in
 * front of it that it could let in. */

#include <strings.h>

#include "gateway/api/json/read.h"
#include "gateway/api/reply.h"
#include "gateway/api/roles/common.h"
#include "gateway/api/roles/roles.h"
#include "gateway/auth/auth.h"
#include "gateway/obs/log.h"

static void write_setting(struct gw_out *out, bool value)
{
    gw_out_text(out, "{\"name\":\"" VAULT_SETTING_ARM "\",\"value\":");
    gw_out_text(out, value ? "\"true\"" : "\"false\"");
    gw_out_text(out, ",\"type\":\"boolean\"}");
}

/* A name that is none is answered. */
static bool check_name(struct gw_request *req)
{
    static const char known[] = VAULT_SETTING_ARM;
    struct gw_fault fault;
    struct kw_span name = req->params[0];
    if (name.len == sizeof known - 1 && strncasecmp((const char *)name.data, known, name.len) == 0)
        return true;
    gw_fault_set(&fault, 404, "SettingNotFound", NULL, "There is no setting of this name.");
    gw_reply_fault(req, &fault);
    return false;
}

static void show(struct gw_roles_call *call, bool as_list)
{
    bool value = false;
    kw_status status = vault_roles_setting(call->roles, &value);
    gw_roles_out(call);
    if (as_list)
        gw_out_text(&call->out, "{\"settings\":[");
    write_setting(&call->out, value);
    if (as_list)
        gw_out_text(&call->out, "]}");
    gw_roles_reply(call, status, false);
}

static void list(struct gw_roles_call *call)
{
    show(call, true);
}

static void get(struct gw_roles_call *call)
{
    show(call, false);
}

void gw_settings_list(struct gw_request *req)
{
    struct gw_roles_call *call = gw_roles_call_new(req);
    if (call)
        gw_roles_start(call, list);
}

void gw_settings_get(struct gw_request *req)
{
    struct gw_roles_call *call = check_name(req) ? gw_roles_call_new(req) : NULL;
    if (call)
        gw_roles_start(call, get);
}

static void updated(void *ctx, kw_status status, enum vault_roles_why why, struct kw_span text)
{
    struct gw_roles_call *call = ctx;
    (void)why;
    (void)text;
    if (status == KW_OK) {
        gw_log(GW_LOG_INFO, "setting changed", "by", call->req->identity->subject, "vault",
               gw_site_of(call->req)->name, "name", VAULT_SETTING_ARM, "value",
               call->value ? "true" : "false", NULL);
        show(call, false);
        return;
    }
    gw_reply_status(call->req, status, (struct kw_span){0});
    gw_roles_end(call);
}

static void update(struct gw_roles_call *call)
{
    vault_roles_set(call->roles, call->req->loop, call->value, updated, call);
}

static bool read_value(const json_t *root, bool *out, struct gw_fault *fault)
{
    struct kw_span value;
    if (!gw_json_string(root, "value", 16, &value, fault))
        return false;
    const char *text = (const char *)value.data;
    bool yes = value.len == 4 && strncasecmp(text, "true", 4) == 0;
    bool no = value.len == 5 && strncasecmp(text, "false", 5) == 0;
    *out = yes;
    return yes || no || gw_fault_bad(fault, "The property 'value' must be \"true\" or \"false\".");
}

void gw_settings_update(struct gw_request *req)
{
    struct gw_fault fault;
    struct gw_roles_call *call = check_name(req) ? gw_roles_call_new(req) : NULL;
    if (!call)
        return;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    bool ok = root && read_value(root, &call->value, &fault);
    json_decref(root);
    if (ok)
        gw_roles_start(call, update);
    else
        gw_reply_fault(req, &fault);
}

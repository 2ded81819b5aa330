/* PATCH /keys/{name}/{version?} */

#include "gateway/api/json/read.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/app.h"

static void on_changed(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    if (status != KW_E_INPUT) {
        gw_reply_bundle(ctx, status, key);
        return;
    }
    gw_fault_bad(&fault, "Property 'key_ops': a key exchange key has 'import' alone, from its "
                         "creation on, and no other key gets it.");
    gw_reply_fault(req, &fault);
    gw_request_unref(req);
}

static void change_it(struct gw_request *req)
{
    struct gw_key_body body;
    struct gw_fault fault;
    struct kw_span version;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    bool ok = root && gw_key_body_read(root, root, req->arena, &body, &fault);
    json_decref(root);
    if (!ok) {
        gw_reply_fault(req, &fault);
        return;
    }
    if (!gw_version_param(req, 1, &version))
        return;
    struct vault_key_change change = {
        .common = body.common,
        .has_ops = body.has_ops,
        .ops = body.ops,
        .op_import = body.op_import,
        .op_export = body.op_export,
    };
    gw_request_ref(req);
    vault_key_update(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                     version, &change, on_changed, req);
}

void gw_keys_update(struct gw_request *req)
{
    gw_unless_managed(req, false, change_it);
}

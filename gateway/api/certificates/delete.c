/* DELETE /certificates/{name}, what can be done with a deleted one, backup and restore. */

#include "gateway/api/certificates/certificates.h"
#include "gateway/api/certificates/common.h"
#include "gateway/api/objects/deletion.h"
#include "gateway/api/reply.h"
#include "gateway/app.h"

static void reply_not_deleted(struct gw_request *req)
{
    struct gw_fault fault;
    gw_fault_not_deleted(&fault, STORE_CERTIFICATE, req->params[0]);
    gw_reply_fault(req, &fault);
}

static void reply_deleted(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 8192, 4u << 20);
        gw_cert_write_bundle(&out, req, answer, true);
        gw_reply_json(req, 200, &out);
    } else {
        gw_cert_reply_fault(req, answer);
    }
    gw_request_unref(req);
}

static void reply_deleted_get(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status != KW_E_NOT_FOUND) {
        reply_deleted(ctx, answer);
        return;
    }
    reply_not_deleted(req);
    gw_request_unref(req);
}

static void reply_recovered(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status != KW_E_NOT_FOUND) {
        gw_cert_reply_bundle(ctx, answer);
        return;
    }
    reply_not_deleted(req);
    gw_request_unref(req);
}

static void reply_purged(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status == KW_OK)
        gw_reply(req, 204, NULL, NULL, 0);
    else if (answer->status == KW_E_NOT_FOUND)
        reply_not_deleted(req);
    else
        gw_cert_reply_fault(req, answer);
    gw_request_unref(req);
}

void gw_certs_delete(struct gw_request *req)
{
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_deleted);
    vault_cert_delete(&call, gw_site_of(req)->retention_days);
}

void gw_certs_get_deleted(struct gw_request *req)
{
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_deleted_get);
    vault_cert_get_deleted(&call);
}

void gw_certs_recover(struct gw_request *req)
{
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_recovered);
    vault_cert_recover(&call);
}

/* The vault is protected: 403 for what could be purged elsewhere, 404 for what is not there. */
static void refuse_purge(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    if (answer->status != KW_OK) {
        reply_deleted_get(ctx, answer);
        return;
    }
    gw_fault_purge_protected(&fault, STORE_CERTIFICATE, req->params[0]);
    gw_reply_fault(req, &fault);
    gw_request_unref(req);
}

void gw_certs_purge(struct gw_request *req)
{
    if (gw_site_of(req)->purge_protection) {
        const struct vault_cert_call look = gw_cert_call(req, (struct kw_span){0}, refuse_purge);
        vault_cert_get_deleted(&look);
        return;
    }
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_purged);
    vault_cert_purge(&call);
}

/* --- backup --- */

void gw_certs_backup(struct gw_request *req)
{
    gw_back_up(req);
}

static void on_restored(void *ctx, const struct vault_restored *what)
{
    struct gw_request *req = ctx;
    struct gw_app *app = gw_loop_app(req->loop);
    struct gw_fault fault;
    if (what->status != KW_OK) {
        gw_fault_restore(&fault, STORE_CERTIFICATE, what, app->domain);
        gw_reply_fault(req, &fault);
    } else {
        /* read anew: the answer shows the policy too, whose name the request does not have */
        req->params[0] = kw_span_str(gw_arena_printf(req->arena, "%s", what->newest->name) ?: "");
        req->param_count = 1;
        const struct vault_cert_call call =
            gw_cert_call(req, (struct kw_span){0}, gw_cert_reply_bundle);
        vault_cert_get(&call);
    }
    gw_request_unref(req);
}

static void restore_it(struct gw_request *req, struct kw_span blob)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_restore(site->vault, req->loop, site->name, STORE_CERTIFICATE, blob, on_restored, req);
}

void gw_certs_restore(struct gw_request *req)
{
    gw_with_backup(req, restore_it);
}

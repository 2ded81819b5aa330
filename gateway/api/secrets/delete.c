/* DELETE /secrets/{name} and what can be done with a deleted secret. */

#include "gateway/api/objects/deletion.h"
#include "gateway/api/reply.h"
#include "gateway/api/secrets/secret_json.h"
#include "gateway/api/secrets/secrets.h"
#include "gateway/app.h"

static void reply_not_deleted(struct gw_request *req)
{
    struct gw_fault fault;
    gw_fault_not_deleted(&fault, STORE_SECRET, req->params[0]);
    gw_reply_fault(req, &fault);
}

static void reply_deleted(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    if (status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 1024, 1u << 20);
        gw_secret_write_deleted(&out, req, secret, true);
        gw_reply_json(req, 200, &out);
    } else {
        gw_reply_status(req, status, gw_object_subject(req));
    }
    gw_request_unref(req);
}

static void reply_deleted_get(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    if (status != KW_E_NOT_FOUND) {
        reply_deleted(ctx, status, secret);
        return;
    }
    reply_not_deleted(req);
    gw_request_unref(req);
}

static void reply_recovered(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    if (status != KW_E_NOT_FOUND) {
        gw_reply_secret(ctx, status, secret);
        return;
    }
    reply_not_deleted(req);
    gw_request_unref(req);
}

static void reply_purged(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    (void)secret;
    if (status == KW_OK)
        gw_reply(req, 204, NULL, NULL, 0);
    else if (status == KW_E_NOT_FOUND)
        reply_not_deleted(req);
    else
        gw_reply_status(req, status, gw_object_subject(req));
    gw_request_unref(req);
}

static void delete_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_secret_delete(site->vault, req->loop, site->name, req->params[0], site->retention_days,
                        reply_deleted, req);
}

void gw_secrets_delete(struct gw_request *req)
{
    gw_unless_managed(req, false, delete_it);
}

void gw_secrets_get_deleted(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_secret_get_deleted(site->vault, req->loop, site->name, req->params[0], reply_deleted_get,
                             req);
}

static void recover_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_secret_recover(site->vault, req->loop, site->name, req->params[0], reply_recovered, req);
}

void gw_secrets_recover(struct gw_request *req)
{
    gw_unless_managed(req, true, recover_it);
}

static void purge_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_secret_purge(site->vault, req->loop, site->name, req->params[0], reply_purged, req);
}

void gw_secrets_purge(struct gw_request *req)
{
    struct gw_fault fault;
    if (gw_site_of(req)->purge_protection) {
        gw_fault_purge_protected(&fault, STORE_SECRET, req->params[0]);
        gw_reply_fault(req, &fault);
        return;
    }
    gw_unless_managed(req, true, purge_it);
}

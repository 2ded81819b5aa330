/* POST /secrets/{name}/backup, /secrets/restore: one secret with all its versions. */

#include "gateway/api/objects/deletion.h"
#include "gateway/api/secrets/secret_json.h"
#include "gateway/api/secrets/secrets.h"
#include "gateway/app.h"

void gw_secrets_backup(struct gw_request *req)
{
    gw_unless_managed(req, false, gw_back_up);
}

static void on_restored(void *ctx, const struct vault_restored *what)
{
    struct gw_request *req = ctx;
    struct gw_app *app = gw_loop_app(req->loop);
    struct vault_secret *secret = NULL;
    struct gw_fault fault;
    kw_status status = KW_OK;
    if (what->status != KW_OK) {
        gw_fault_restore(&fault, STORE_SECRET, what, app->domain);
        gw_reply_fault(req, &fault);
        gw_request_unref(req);
        return;
    }
    status = vault_secret_record_open(app->domain, gw_site_of(req)->name, what->newest, &secret);
    gw_reply_secret(req, status, secret);
    if (secret)
        vault_object_unref(&secret->object);
}

static void restore_it(struct gw_request *req, struct kw_span blob)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_restore(site->vault, req->loop, site->name, STORE_SECRET, blob, on_restored, req);
}

void gw_secrets_restore(struct gw_request *req)
{
    gw_with_backup(req, restore_it);
}

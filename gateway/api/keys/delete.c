/* DELETE /keys/{name} and what can be done with a deleted key. */

#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/objects/deletion.h"
#include "gateway/app.h"

static void delete_it(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_delete(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                     gw_site_of(req)->retention_days, gw_reply_deleted, req);
}

void gw_keys_delete(struct gw_request *req)
{
    gw_unless_managed(req, false, delete_it);
}

void gw_keys_get_deleted(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_get_deleted(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                          gw_reply_deleted_get, req);
}

static void recover_it(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_recover(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                      gw_reply_recovered, req);
}

void gw_keys_recover(struct gw_request *req)
{
    gw_unless_managed(req, true, recover_it);
}

/** The vault is protected: 403 for what could be purged elsewhere, 404 for what is not there. */
static void refuse_purge(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    if (status != KW_OK) {
        gw_reply_deleted_get(ctx, status, key);
        return;
    }
    gw_fault_purge_protected(&fault, STORE_KEY, req->params[0]);
    gw_reply_fault(req, &fault);
    gw_request_unref(req);
}

static void purge_it(struct gw_request *req)
{
    if (gw_site_of(req)->purge_protection) {
        gw_request_ref(req);
        vault_key_get_deleted(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name,
                              req->params[0], refuse_purge, req);
        return;
    }
    gw_request_ref(req);
    vault_key_purge(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                    gw_reply_purged, req);
}

void gw_keys_purge(struct gw_request *req)
{
    gw_unless_managed(req, true, purge_it);
}

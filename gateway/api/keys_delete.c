/* DELETE /keys/{name} and what can be done with a deleted key. */

#include "gateway/api/keys.h"
#include "gateway/api/keys_common.h"
#include "gateway/app.h"

void gw_keys_delete(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_delete(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                     gw_site_of(req)->retention_days, gw_reply_deleted, req);
}

void gw_keys_get_deleted(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_get_deleted(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                          gw_reply_deleted_get, req);
}

void gw_keys_recover(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_recover(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                      gw_reply_recovered, req);
}

void gw_keys_purge(struct gw_request *req)
{
    gw_request_ref(req);
    vault_key_purge(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                    gw_reply_purged, req);
}

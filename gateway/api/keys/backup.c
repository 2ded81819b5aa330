/* POST /keys/{name}/backup, POST /keys/restore */

#include "gateway/api/keys/common.h"
#include "gateway/api/keys/key_json.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/objects/deletion.h"
#include "gateway/api/reply.h"
#include "gateway/app.h"

void gw_keys_backup(struct gw_request *req)
{
    gw_unless_managed(req, false, gw_back_up);
}

static void on_restored(void *ctx, const struct vault_restored *what, struct vault_key *key)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    if (key) {
        gw_reply_bundle(req, KW_OK, key); /* takes the reference to the request */
        return;
    }
    gw_fault_restore(&fault, STORE_KEY, what, gw_loop_app(req->loop)->domain);
    gw_reply_fault(req, &fault);
    gw_request_unref(req);
}

static void restore_it(struct gw_request *req, struct kw_span blob)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    vault_key_restore(site->vault, req->loop, site->name, blob, on_restored, req);
}

void gw_keys_restore(struct gw_request *req)
{
    gw_with_backup(req, restore_it);
}

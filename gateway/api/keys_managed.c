/* The key of a certificate is changed through its certificate alone. */

#include "gateway/api/keys.h"
#include "gateway/api/keys_common.h"

struct gate {
    struct gw_request *req;
    gw_handler *next;
};

static void on_looked(void *ctx, kw_status status, struct vault_key *key)
{
    struct gate *gate = ctx;
    struct gw_request *req = gate->req;
    struct gw_fault fault;
    if (status == KW_OK && key->managed) {
        gw_fault_set(&fault, 403, "Forbidden", "KeyManagedByKeyVault",
                     "The key belongs to the certificate of its name and is changed through that "
                     "alone.");
        gw_reply_fault(req, &fault);
    } else if (status == KW_OK || status == KW_E_NOT_FOUND) {
        gate->next(req);
    } else {
        gw_reply_status(req, status, gw_object_subject(req));
    }
    gw_request_unref(req);
}

void gw_key_unless_managed(struct gw_request *req, bool deleted, gw_handler *next)
{
    const struct gw_site *site = gw_site_of(req);
    struct gate *gate = gw_arena_alloc(req->arena, sizeof *gate);
    if (!gate) {
        gw_reply_nomem(req);
        return;
    }
    *gate = (struct gate){.req = req, .next = next};
    gw_request_ref(req);
    if (deleted)
        vault_key_get_deleted(site->vault, req->loop, site->name, req->params[0], on_looked, gate);
    else
        vault_key_get(site->vault, req->loop, site->name, req->params[0], (struct kw_span){0},
                      on_looked, gate);
}

#include "gateway/api/managed.h"

#include "gateway/api/error.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/objects/common.h"
#include "gateway/vault/secrets/secret.h"

struct gate {
    struct gw_request *req;
    gw_handler *next;
};

static void decide(struct gate *gate, kw_status status, bool managed)
{
    struct gw_request *req = gate->req;
    struct gw_fault fault;
    bool secret = req->route->kind == STORE_SECRET;
    if (status == KW_OK && managed) {
        gw_fault_set(&fault, 403, "Forbidden",
                     secret ? "SecretManagedByKeyVault" : "KeyManagedByKeyVault",
                     "The %s belongs to the certificate of its name and is changed through that "
                     "alone.",
                     secret ? "secret" : "key");
        gw_reply_fault(req, &fault);
    } else if (status == KW_OK || status == KW_E_NOT_FOUND) {
        gate->next(req);
    } else {
        gw_reply_status(req, status, gw_object_subject(req));
    }
    gw_request_unref(req);
}

static void on_key(void *ctx, kw_status status, struct vault_key *key)
{
    decide(ctx, status, key && key->managed);
}

static void on_secret(void *ctx, kw_status status, struct vault_secret *secret)
{
    decide(ctx, status, secret && secret->managed);
}

void gw_unless_managed(struct gw_request *req, bool deleted, gw_handler *next)
{
    const struct gw_site *site = gw_site_of(req);
    const struct kw_span newest = {0}, name = req->params[0];
    struct gate *gate = gw_arena_alloc(req->arena, sizeof *gate);
    if (!gate) {
        gw_reply_nomem(req);
        return;
    }
    *gate = (struct gate){.req = req, .next = next};
    gw_request_ref(req);
    if (req->route->kind == STORE_SECRET && deleted)
        vault_secret_get_deleted(site->vault, req->loop, site->name, name, on_secret, gate);
    else if (req->route->kind == STORE_SECRET)
        vault_secret_get(site->vault, req->loop, site->name, name, newest, on_secret, gate);
    else if (deleted)
        vault_key_get_deleted(site->vault, req->loop, site->name, name, on_key, gate);
    else
        vault_key_get(site->vault, req->loop, site->name, name, newest, on_key, gate);
}

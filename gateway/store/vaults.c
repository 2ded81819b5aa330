#include "gateway/store/vaults.h"

#include "gateway/store/calls.h"

static void submit(struct store *store, enum store_op op, struct gw_loop *loop, const char *vault,
                   const char *to, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(op, loop, done, ctx);
    if (!req)
        return;
    kw_status status = vault && vault[0] ? KW_OK : KW_E_INPUT;
    if (status == KW_OK)
        status = store_call_text(req->vault, sizeof req->vault, vault);
    if (status == KW_OK)
        status = store_call_text(req->name, STORE_VAULT_MAX + 1, to);
    store_call_submit(store, req, status);
}

void store_vault_move(struct store *store, struct gw_loop *loop, const char *from, const char *to,
                      store_done_fn *done, void *ctx)
{
    submit(store, STORE_OP_VAULT_MOVE, loop, from, to, done, ctx);
}

void store_vault_replace(struct store *store, struct gw_loop *loop, const char *from,
                         const char *to, store_done_fn *done, void *ctx)
{
    submit(store, STORE_OP_VAULT_REPLACE, loop, from, to, done, ctx);
}

void store_vault_drop(struct store *store, struct gw_loop *loop, const char *vault,
                      store_done_fn *done, void *ctx)
{
    submit(store, STORE_OP_VAULT_DROP, loop, vault, "", done, ctx);
}

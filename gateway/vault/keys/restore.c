/* Keys back from their backups. */

#include <stdlib.h>

#include "gateway/vault/archive/backup.h"
#include "gateway/vault/vault.h"

struct restoring {
    struct vault *vault;
    vault_key_restore_fn *done;
    void *ctx;
    char vault_name[STORE_VAULT_MAX + 1];
};

static void on_restored(void *ctx, const struct vault_restored *what)
{
    struct restoring *r = ctx;
    struct vault_restored answer = *what;
    struct vault_key *key = NULL;
    if (what->status == KW_OK)
        answer.status = vault_row_open(r->vault, r->vault_name, what->newest, true, &key);
    r->done(r->ctx, &answer, key);
    vault_key_unref(key);
    free(r);
}

void vault_key_restore(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       struct kw_span blob, vault_key_restore_fn *done, void *ctx)
{
    size_t len = strlen(vault_name);
    struct restoring *r = len <= STORE_VAULT_MAX ? calloc(1, sizeof *r) : NULL;
    if (!r) {
        done(ctx, &(struct vault_restored){.status = KW_E_NOMEM}, NULL);
        return;
    }
    *r = (struct restoring){.vault = vault, .done = done, .ctx = ctx};
    memcpy(r->vault_name, vault_name, len);
    vault_restore(vault, loop, vault_name, STORE_KEY, blob, on_restored, r);
}

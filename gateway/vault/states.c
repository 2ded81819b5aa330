/* Delete, recover, purge: changes of a whole object. The cache forgets all of it before the answer
 * goes out, so that nothing that starts after the answer sees the state before. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

#define RETENTION_S ((int64_t)VAULT_RETENTION_DAYS * 86400)

static void on_changed(void *ctx, struct store_result *result)
{
    struct vault_job *job = ctx;
    struct vault_key *key = NULL;
    kw_status status = result->status;
    if (status == KW_OK || status == KW_E_IO)
        vault_job_drop(job);
    if (status == KW_OK && result->row_count > 0)
        status = vault_row_open(job->vault, job->vault_name, &result->rows[0], true, &key);
    vault_job_end(job, status, key);
    vault_key_unref(key);
}

void vault_key_delete(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    int64_t now = kw_wall_s();
    store_delete(vault->store, loop, &ref, now, now + RETENTION_S, on_changed, job);
}

void vault_key_recover(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       struct kw_span name, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    store_recover(vault->store, loop, &ref, on_changed, job);
}

void vault_key_purge(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                     struct kw_span name, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    store_purge(vault->store, loop, &ref, on_changed, job);
}

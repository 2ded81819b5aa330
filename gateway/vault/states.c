/* Delete, recover, purge of keys. The caches have forgotten the key before the answer goes out, so
 * that nothing that starts after the answer sees the state before. */

#include <stdlib.h>

#include "gateway/vault/lifecycle.h"
#include "gateway/vault/vault.h"

static void on_changed(void *ctx, struct store_result *result)
{
    struct vault_job *job = ctx;
    struct vault_key *key = NULL;
    kw_status status = result->status;
    if (status == KW_OK && result->row_count > 0 && result->rows[0].record)
        status = vault_row_open(job->vault, job->vault_name, &result->rows[0], true, &key);
    vault_job_end(job, status, key);
    vault_key_unref(key);
}

void vault_key_delete(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, unsigned retention_days, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    vault_object_delete(vault, loop, &ref, retention_days, on_changed, job);
}

void vault_key_recover(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       struct kw_span name, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    vault_object_recover(vault, loop, &ref, on_changed, job);
}

void vault_key_purge(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                     struct kw_span name, vault_key_fn *done, void *ctx)
{
    struct vault_job *job = vault_job_create(sizeof *job, vault, loop, vault_name, name,
                                             (struct kw_span){0}, done, ctx);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    vault_object_purge(vault, loop, &ref, on_changed, job);
}

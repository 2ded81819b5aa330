/* Delete, recover, purge of an object of any kind. The caches have forgotten it before the answer
 * goes out, so that nothing that starts after the answer sees the state before. */

#include <stdlib.h>

#include "gateway/vault/lifecycle.h"
#include "gateway/vault/vault.h"

static void on_changed(void *ctx, struct store_result *result)
{
    struct vault_job *job = ctx;
    struct vault_object *object = NULL;
    kw_status status = result->status;
    if (status == KW_OK && result->row_count > 0 && result->rows[0].record)
        status = job->kind->open(job->vault, job->vault_name, &result->rows[0], true, &object);
    vault_job_end(job, status, object);
    vault_object_unref(object);
}

void vault_object_delete(const struct vault_call *call)
{
    struct vault_job *job = vault_job_create(sizeof *job, call);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    unsigned days = call->retention_days ? call->retention_days : VAULT_RETENTION_DEFAULT;
    vault_ref_delete(call->vault, call->loop, &ref, days, on_changed, job);
}

void vault_object_recover(const struct vault_call *call)
{
    struct vault_job *job = vault_job_create(sizeof *job, call);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    vault_ref_recover(call->vault, call->loop, &ref, on_changed, job);
}

void vault_object_purge(const struct vault_call *call)
{
    struct vault_job *job = vault_job_create(sizeof *job, call);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    vault_ref_purge(call->vault, call->loop, &ref, on_changed, job);
}

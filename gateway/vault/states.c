/* Delete, recover, purge: changes of a whole object. The cache forgets all of it before the answer
 * goes out, so that nothing that starts after the answer sees the state before. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

#define RETENTION_S ((int64_t)VAULT_RETENTION_DAYS * 86400)

static void on_changed(void *ctx, struct store_result *result)
{
    struct vault_job *job = ctx;
    struct vault_object *object = NULL;
    kw_status status = result->status;
    if (status == KW_OK || status == KW_E_IO)
        vault_job_drop(job);
    if (status == KW_OK && result->row_count > 0)
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
    int64_t now = kw_wall_s();
    store_delete(call->vault->store, call->loop, &ref, now, now + RETENTION_S, on_changed, job);
}

void vault_object_recover(const struct vault_call *call)
{
    struct vault_job *job = vault_job_create(sizeof *job, call);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    store_recover(call->vault->store, call->loop, &ref, on_changed, job);
}

void vault_object_purge(const struct vault_call *call)
{
    struct vault_job *job = vault_job_create(sizeof *job, call);
    if (!job)
        return;
    struct store_ref ref = vault_job_ref(job);
    store_purge(call->vault->store, call->loop, &ref, on_changed, job);
}

/* Delete, recover, purge: the certificate takes key, secret, policy and operation with it in one
 * transaction (lifecycle.h). */

#include <stdlib.h>

#include "gateway/vault/certificates/job.h"

struct state {
    struct cert_job job;
    unsigned retention_days;
};

static void on_moved(void *ctx, struct store_result *result)
{
    struct cert_job *job = ctx;
    kw_status status = result->status;
    if (status == KW_OK && result->row_count > 0 && result->rows[0].record) {
        struct vault_cert *cert = NULL;
        status =
            vault_cert_record_open(job->vault->domain, job->vault_name, &result->rows[0], &cert);
        if (status == KW_OK) {
            vault_object_unref(&job->cert->object);
            job->cert = cert;
        }
    }
    cert_job_end(job, status);
}

static void delete_loaded(struct cert_job *job)
{
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE, NULL);
    if (!job->cert)
        cert_job_end(job, KW_E_NOT_FOUND);
    else
        vault_ref_delete(job->vault, job->loop, &ref, ((struct state *)job)->retention_days,
                         on_moved, job);
}

static void recover_loaded(struct cert_job *job)
{
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE, NULL);
    if (!job->cert)
        cert_job_end(job, KW_E_NOT_FOUND);
    else
        vault_ref_recover(job->vault, job->loop, &ref, on_moved, job);
}

static void purge_loaded(struct cert_job *job)
{
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE, NULL);
    if (!job->cert)
        cert_job_end(job, KW_E_NOT_FOUND);
    else
        vault_ref_purge(job->vault, job->loop, &ref, on_moved, job);
}

static void start(const struct vault_cert_call *call, bool deleted, unsigned days,
                  void (*next)(struct cert_job *job))
{
    struct state *state = cert_job_new(sizeof *state, call);
    if (!state)
        return;
    state->job.deleted = deleted;
    state->retention_days = days;
    cert_job_load(&state->job, next);
}

void vault_cert_delete(const struct vault_cert_call *call, unsigned retention_days)
{
    start(call, false, retention_days, delete_loaded);
}

void vault_cert_recover(const struct vault_cert_call *call)
{
    start(call, true, 0, recover_loaded);
}

void vault_cert_purge(const struct vault_cert_call *call)
{
    start(call, true, 0, purge_loaded);
}

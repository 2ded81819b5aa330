#include <stdlib.h>

#include "gateway/vault/vault.h"

static bool name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/** Object names are letters, digits and dashes, 1 to 127 of them. */
static kw_status copy_name(char out[STORE_NAME_MAX + 1], struct kw_span name)
{
    if (name.len == 0 || name.len > STORE_NAME_MAX)
        return KW_E_INPUT;
    for (size_t i = 0; i < name.len; i++)
        if (!name_char(name.data[i]))
            return KW_E_INPUT;
    memcpy(out, name.data, name.len);
    out[name.len] = '\0';
    return KW_OK;
}

static kw_status fill(struct vault_job *job, const char *vault_name, struct kw_span name,
                      struct kw_span version)
{
    uint8_t id[KW_KEY_ID_LEN];
    size_t vault_len = strlen(vault_name);
    if (vault_len == 0 || vault_len > STORE_VAULT_MAX)
        return KW_E_INPUT;
    memcpy(job->vault_name, vault_name, vault_len + 1);
    KW_TRY(copy_name(job->name, name));
    if (version.len == 0)
        return KW_OK;
    if (version.len != STORE_VERSION_LEN)
        return KW_E_NOT_FOUND;
    memcpy(job->version, version.data, version.len);
    return vault_version_id(id, job->version) == KW_OK ? KW_OK : KW_E_NOT_FOUND;
}

void *vault_job_create(size_t size, const struct vault_call *call)
{
    struct vault_job *job = calloc(1, size);
    kw_status status = job ? fill(job, call->vault_name, call->name, call->version) : KW_E_NOMEM;
    if (status != KW_OK) {
        free(job);
        call->kind->answer(call->done, call->ctx, status, NULL);
        return NULL;
    }
    job->vault = call->vault;
    job->kind = call->kind;
    job->loop = call->loop;
    job->done = call->done;
    job->ctx = call->ctx;
    vault_job_note(job);
    return job;
}

struct store_ref vault_job_ref(const struct vault_job *job)
{
    return (struct store_ref){.vault = job->vault_name,
                              .kind = job->kind->store,
                              .name = job->name,
                              .version = job->version};
}

void vault_job_end(struct vault_job *job, kw_status status, struct vault_object *object)
{
    job->kind->answer(job->done, job->ctx, status, status == KW_OK ? object : NULL);
    free(job);
}

struct vault_cache *vault_job_cache(const struct vault_job *job)
{
    return job->vault->caches[job->kind->store];
}

void vault_job_note(struct vault_job *job)
{
    job->generation =
        vault_cache_generation(vault_job_cache(job), job->vault_name, kw_span_str(job->name));
}

void vault_job_drop(const struct vault_job *job)
{
    vault_cache_drop(vault_job_cache(job), job->vault_name, kw_span_str(job->name));
}

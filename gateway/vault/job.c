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

void *vault_job_create(size_t size, struct vault *vault, struct gw_loop *loop,
                       const char *vault_name, struct kw_span name, struct kw_span version,
                       vault_key_fn *done, void *ctx)
{
    struct vault_job *job = calloc(1, size);
    kw_status status = job ? fill(job, vault_name, name, version) : KW_E_NOMEM;
    if (status != KW_OK) {
        free(job);
        done(ctx, status, NULL);
        return NULL;
    }
    job->vault = vault;
    job->loop = loop;
    job->done = done;
    job->ctx = ctx;
    job->generation = vault_cache_generation(vault->cache, job->vault_name, kw_span_str(job->name));
    return job;
}

struct store_ref vault_job_ref(const struct vault_job *job)
{
    return (struct store_ref){
        .vault = job->vault_name, .kind = STORE_KEY, .name = job->name, .version = job->version};
}

void vault_job_end(struct vault_job *job, kw_status status, struct vault_key *key)
{
    job->done(job->ctx, status, status == KW_OK ? key : NULL);
    free(job);
}

void vault_job_drop(const struct vault_job *job)
{
    vault_cache_drop(job->vault->cache, job->vault_name, kw_span_str(job->name));
}

kw_status vault_key_make_usable(struct vault *vault, struct vault_key *key,
                                const struct kc_public *pub)
{
    struct pool_key_desc desc = {.hsm = key->hsm,
                                 .pub = *pub,
                                 .blob = kw_span_of(key->blob, key->blob_len),
                                 .name = key->name};
    if (vault_version_id(desc.id, key->version) != KW_OK)
        return KW_E_INTEGRITY;
    return pool_key_create(&key->key, vault->pool, &desc);
}

kw_status vault_row_open(struct vault *vault, const char *vault_name, const struct store_row *row,
                         bool usable, struct vault_key **out)
{
    struct kc_public pub;
    struct vault_key *key = NULL;
    KW_TRY(vault_record_open(vault->domain, vault_name, row, &key, &pub));
    kw_status status = usable ? vault_key_make_usable(vault, key, &pub) : KW_OK;
    if (status != KW_OK) {
        vault_key_unref(key);
        return status;
    }
    *out = key;
    return KW_OK;
}

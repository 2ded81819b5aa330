/* Changes of attributes, operations and tags: read, change, write if it is still what was read;
 * otherwise again. */

#include <openssl/sha.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

#define TRIES_MAX 16

struct update {
    struct vault_job job;
    unsigned tries;
    struct vault_key_change change; /* its tags point into `tags` */
    struct vault_key *tags;         /* holds the copies; one reference */
    struct vault_key *key;          /* as it will be */
};

static void end(struct update *update, kw_status status)
{
    struct vault_key *key = update->key, *tags = update->tags;
    vault_job_end(&update->job, status, key);
    vault_key_unref(key);
    vault_key_unref(tags);
}

static void read_again(struct update *update);

static void on_stored(void *ctx, struct store_result *result)
{
    struct update *update = ctx;
    struct vault_job *job = &update->job;
    if (result->status == KW_E_CONFLICT && ++update->tries < TRIES_MAX) {
        vault_key_unref(update->key);
        update->key = NULL;
        read_again(update);
        return;
    }
    if (result->status == KW_OK)
        vault_cache_publish(job->vault->cache, update->key, false, job->generation);
    else if (result->status == KW_E_IO)
        vault_job_drop(job);
    end(update, result->status == KW_E_CONFLICT ? KW_E_BUSY : result->status);
}

static kw_status apply(const struct vault_key_change *change, struct vault_key *key)
{
    struct vault_attributes *a = &key->attributes;
    if (change->has_ops) {
        key->ops = change->ops;
        key->op_import = change->op_import;
        key->op_export = change->op_export;
    }
    if (change->has_enabled)
        a->enabled = change->enabled;
    if (change->has_nbf)
        a->nbf = change->nbf;
    if (change->has_exp)
        a->exp = change->exp;
    a->updated = kw_wall_s();
    if (!change->has_tags)
        return KW_OK;
    free(key->tags);
    key->tags = NULL;
    key->tag_count = 0;
    return vault_key_set_tags(key, change->tags, change->tag_count);
}

static kw_status write_back(struct update *update, const struct store_row *row)
{
    struct vault_job *job = &update->job;
    uint8_t hash[SHA256_DIGEST_LENGTH];
    uint8_t *record = NULL;
    size_t record_len = 0;
    KW_TRY(vault_row_open(job->vault, job->vault_name, row, true, &update->key));
    KW_TRY(apply(&update->change, update->key));
    KW_TRY(vault_record_seal(job->vault->domain, update->key, pool_key_public(update->key->key),
                             &record, &record_len));
    SHA256(row->record, row->record_len, hash);
    struct store_ref ref = vault_job_ref(job);
    ref.version = row->version;
    store_update(job->vault->store, job->loop, &ref, kw_span_of(record, record_len),
                 kw_span_of(hash, sizeof hash), on_stored, update);
    free(record);
    return KW_OK;
}

static void on_read(void *ctx, struct store_result *result)
{
    struct update *update = ctx;
    kw_status status = result->status;
    if (status == KW_OK)
        status = write_back(update, &result->rows[0]);
    if (status != KW_OK)
        end(update, status);
}

static void read_again(struct update *update)
{
    struct vault_job *job = &update->job;
    struct store_ref ref = vault_job_ref(job);
    job->generation =
        vault_cache_generation(job->vault->cache, job->vault_name, kw_span_str(job->name));
    store_get(job->vault->store, job->loop, &ref, on_read, update);
}

void vault_key_update(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, struct kw_span version,
                      const struct vault_key_change *change, vault_key_fn *done, void *ctx)
{
    struct update *update =
        vault_job_create(sizeof *update, vault, loop, vault_name, name, version, done, ctx);
    if (!update)
        return;
    update->change = *change;
    update->change.tags = NULL;
    if (change->has_tags) {
        update->tags = vault_key_new(vault_name, update->job.name, "");
        kw_status status = update->tags
                               ? vault_key_set_tags(update->tags, change->tags, change->tag_count)
                               : KW_E_NOMEM;
        if (status != KW_OK) {
            end(update, status);
            return;
        }
        update->change.tags = update->tags->tags;
    }
    read_again(update);
}

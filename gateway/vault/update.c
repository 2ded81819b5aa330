/* Changes of attributes, tags and what a kind has besides: read, change, write if it is still what
 * was read; otherwise again. */

#include <openssl/sha.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/vault/vault.h"

#define TRIES_MAX 16

struct update {
    struct vault_job job;
    unsigned tries;
    struct vault_change change;  /* its tags point into `tags` */
    struct vault_object *tags;   /* holds the copies; one reference */
    struct vault_object *object; /* as it will be */
    vault_apply_fn *apply;
    size_t more_len;
    _Alignas(16) uint8_t more[];
};

static void end(struct update *update, kw_status status)
{
    struct vault_object *object = update->object, *tags = update->tags;
    kw_wipe(update->more, update->more_len);
    vault_job_end(&update->job, status, object);
    vault_object_unref(object);
    vault_object_unref(tags);
}

static void read_again(struct update *update);

static void on_stored(void *ctx, struct store_result *result)
{
    struct update *update = ctx;
    struct vault_job *job = &update->job;
    if (result->status == KW_E_CONFLICT && ++update->tries < TRIES_MAX) {
        vault_object_unref(update->object);
        update->object = NULL;
        read_again(update);
        return;
    }
    if (result->status == KW_OK)
        vault_cache_publish(vault_job_cache(job), update->object, false, job->generation);
    else if (result->status == KW_E_IO)
        vault_job_drop(job);
    end(update, result->status == KW_E_CONFLICT ? KW_E_BUSY : result->status);
}

static kw_status write_back(struct update *update, const struct store_row *row)
{
    struct vault_job *job = &update->job;
    uint8_t hash[SHA256_DIGEST_LENGTH];
    uint8_t *record = NULL;
    size_t record_len = 0;
    KW_TRY(job->kind->open(job->vault, job->vault_name, row, true, &update->object));
    if (update->apply)
        KW_TRY(update->apply(update->object, update->more));
    KW_TRY(vault_object_apply(update->object, &update->change));
    KW_TRY(job->kind->seal(job->vault, update->object, &record, &record_len));
    SHA256(row->record, row->record_len, hash);
    struct store_ref ref = vault_job_ref(job);
    ref.version = row->version;
    struct store_change changes[2] = {{.op = STORE_CHANGE_UPDATE,
                                       .ref = ref,
                                       .record = kw_span_of(record, record_len),
                                       .expected = kw_span_of(hash, sizeof hash)}};
    /* a key that expires at another time, or is enabled again, is rotated at another time */
    bool wakes = ref.kind == STORE_KEY && (update->change.has_exp || update->change.has_enabled);
    changes[1] = (struct store_change){
        .op = STORE_CHANGE_WAKE, .ref = ref, .wake_at = kw_wall_s(), .optional = true};
    changes[1].ref.kind = STORE_KEY_POLICY;
    changes[1].ref.version = NULL;
    store_apply(job->vault->store, job->loop, changes, wakes ? 2 : 1, on_stored, update);
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
    vault_job_note(job);
    store_get(job->vault->store, job->loop, &ref, on_read, update);
}

static kw_status keep_tags(struct update *update)
{
    struct vault_job *job = &update->job;
    struct vault_change *change = &update->change;
    if (!change->has_tags)
        return KW_OK;
    update->tags = vault_object_new(job->kind, job->vault_name, job->name, "");
    if (!update->tags)
        return KW_E_NOMEM;
    KW_TRY(vault_object_set_tags(update->tags, change->tags, change->tag_count));
    change->tags = update->tags->tags;
    return KW_OK;
}

void vault_object_update(const struct vault_call *call, const struct vault_change *change,
                         vault_apply_fn *apply, const void *more, size_t more_len)
{
    struct update *update = vault_job_create(sizeof *update + more_len, call);
    if (!update)
        return;
    update->change = *change;
    update->apply = apply;
    update->more_len = more_len;
    if (more_len > 0)
        memcpy(update->more, more, more_len);
    kw_status status = keep_tags(update);
    if (status == KW_OK)
        read_again(update);
    else
        end(update, status);
}

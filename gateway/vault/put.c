/* A new version on its way into the store. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

struct put {
    struct vault_job *job;
    struct vault_object *object;
};

static void end(struct put *put, kw_status status)
{
    struct vault_object *object = put->object;
    vault_job_end(put->job, status, object);
    vault_object_unref(object);
    free(put);
}

static void on_stored(void *ctx, struct store_result *result)
{
    struct put *put = ctx;
    struct vault_job *job = put->job;
    struct vault_object *object = put->object;
    if (result->status == KW_OK) {
        /* nobody else has it yet: it takes the spelling that the object was created with */
        memcpy(object->name, result->rows[0].name, sizeof object->name);
        vault_cache_publish(vault_job_cache(job), object, true, job->generation);
    } else if (result->status == KW_E_IO) {
        vault_job_drop(job);
    }
    end(put, result->status);
}

/** A key's new version changes when its rotation policy is due: the scheduler is to look at it, or
 *  has done so already and made this version. */
static void put_policy_change(const struct vault_job *job, struct store_change *change)
{
    *change = (struct store_change){.op = STORE_CHANGE_WAKE,
                                    .ref = vault_job_ref(job),
                                    .wake_at = kw_wall_s(),
                                    .optional = true};
    change->ref.kind = STORE_KEY_POLICY;
    change->ref.version = NULL;
    if (job->has_terms) {
        change->optional = false;
        change->checks_wake = true;
        change->was_wake = job->terms.was_wake;
        change->wake_at = job->terms.wake_at;
    }
}

void vault_job_put(struct vault_job *job, struct vault_object *object)
{
    uint8_t *record = NULL;
    size_t record_len = 0;
    struct put *put = malloc(sizeof *put);
    kw_status status = put ? job->kind->seal(job->vault, object, &record, &record_len) : KW_E_NOMEM;
    if (status != KW_OK) {
        vault_job_end(job, status, NULL);
        vault_object_unref(object);
        free(put);
        return;
    }
    *put = (struct put){.job = job, .object = object};
    /* noted now: what changed while the object was being made does not matter */
    vault_job_note(job);
    struct store_ref ref = vault_job_ref(job);
    ref.version = object->version;
    struct store_change changes[2] = {{.op = STORE_CHANGE_PUT,
                                       .ref = ref,
                                       .created = object->attributes.created,
                                       .record = kw_span_of(record, record_len)}};
    size_t count = 1;
    if (ref.kind == STORE_KEY) {
        put_policy_change(job, &changes[1]);
        changes[0].base = job->has_terms ? job->terms.base : NULL;
        count = 2;
    }
    store_apply(job->vault->store, job->loop, changes, count, on_stored, put);
    free(record);
}

#include "gateway/vault/certificates/job.h"

#include <openssl/sha.h>
#include <stdlib.h>

static bool copy(char *out, size_t room, struct kw_span text)
{
    if (text.len >= room || (text.len > 0 && memchr(text.data, 0, text.len)))
        return false;
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

void *cert_job_new(size_t size, const struct vault_cert_call *call)
{
    struct cert_job *job = calloc(1, size);
    kw_status status = job ? KW_OK : KW_E_NOMEM;
    if (job && (call->name.len == 0 || !copy(job->name, sizeof job->name, call->name) ||
                !copy(job->vault_name, sizeof job->vault_name, kw_span_str(call->vault_name)) ||
                !copy(job->version, sizeof job->version, call->version)))
        status = KW_E_INPUT;
    if (status != KW_OK) {
        if (call->done)
            call->done(call->ctx, &(struct vault_cert_answer){.status = status});
        free(job);
        return NULL;
    }
    job->vault = call->vault;
    job->loop = call->loop;
    job->done = call->done;
    job->ctx = call->ctx;
    return job;
}

static void drop_loaded(struct cert_job *job)
{
    if (job->cert)
        vault_object_unref(&job->cert->object);
    json_decref(job->policy);
    json_decref(job->pending);
    job->cert = NULL;
    job->policy = job->pending = NULL;
}

void cert_job_end(struct cert_job *job, kw_status status)
{
    struct vault_cert_answer answer = {.status = status,
                                       .conflict = job->conflict,
                                       .conflict_kind = job->conflict_kind,
                                       .in_progress = job->in_progress,
                                       .why = job->why};
    if (status == KW_OK) {
        answer.cert = job->cert;
        answer.policy = job->policy;
        answer.pending = job->pending;
    }
    if (job->done)
        job->done(job->ctx, &answer);
    if (job->clear)
        job->clear(job);
    drop_loaded(job);
    free(job);
}

void cert_job_refuse(struct cert_job *job, kw_status status, const char *why)
{
    job->why = why;
    cert_job_end(job, status);
}

void cert_job_note(struct cert_job *job, const struct store_result *result,
                   const struct store_change *changes)
{
    job->conflict = result->conflict;
    job->conflict_kind = changes[result->failed].ref.kind;
}

struct store_ref cert_ref(const struct cert_job *job, enum store_kind kind, const char *version)
{
    return (struct store_ref){
        .vault = job->vault_name, .kind = kind, .name = job->name, .version = version};
}

/* --- loading --- */

static const enum store_kind load_order[] = {STORE_CERTIFICATE, STORE_CERTIFICATE_POLICY,
                                             STORE_PENDING};

static kw_status take(struct cert_job *job, enum store_kind kind, const struct store_row *row)
{
    memcpy(job->name, row->name, sizeof job->name);
    if (kind == STORE_CERTIFICATE) {
        SHA256(row->record, row->record_len, job->cert_hash);
        return vault_cert_record_open(job->vault->domain, job->vault_name, row, &job->cert);
    }
    if (kind == STORE_PENDING)
        return vault_doc_open(job->vault, kind, job->vault_name, row, &job->pending,
                              job->pending_hash);
    return vault_doc_open(job->vault, kind, job->vault_name, row, &job->policy, job->policy_hash);
}

static void load_step(struct cert_job *job);

static void on_read(void *ctx, struct store_result *result)
{
    struct cert_job *job = ctx;
    kw_status status = result->status;
    if (status == KW_OK)
        status = take(job, load_order[job->step], &result->rows[0]);
    if (status != KW_OK && status != KW_E_NOT_FOUND) {
        cert_job_end(job, status);
        return;
    }
    job->step++;
    load_step(job);
}

static void load_step(struct cert_job *job)
{
    if (job->step == sizeof load_order / sizeof load_order[0]) {
        job->next(job);
        return;
    }
    enum store_kind kind = load_order[job->step];
    struct store_ref ref = cert_ref(job, kind, kind == STORE_CERTIFICATE ? job->version : NULL);
    if (job->deleted)
        store_get_deleted(job->vault->store, job->loop, &ref, on_read, job);
    else
        store_get(job->vault->store, job->loop, &ref, on_read, job);
}

void cert_job_load(struct cert_job *job, void (*next)(struct cert_job *job))
{
    drop_loaded(job);
    job->step = 0;
    job->next = next;
    load_step(job);
}

/* --- reading --- */

static void on_loaded(struct cert_job *job)
{
    bool there = job->cert || (!job->version[0] && !job->deleted && job->pending);
    cert_job_end(job, there ? KW_OK : KW_E_NOT_FOUND);
}

void vault_cert_get(const struct vault_cert_call *call)
{
    struct cert_job *job = cert_job_new(sizeof *job, call);
    if (job)
        cert_job_load(job, on_loaded);
}

void vault_cert_get_deleted(const struct vault_cert_call *call)
{
    struct cert_job *job = cert_job_new(sizeof *job, call);
    if (!job)
        return;
    job->deleted = true;
    cert_job_load(job, on_loaded);
}

/* --- small helpers --- */

bool cert_in_progress(const json_t *pending)
{
    const char *status = json_string_value(json_object_get(pending, "status"));
    return status && strcmp(status, "inProgress") == 0;
}

const char *cert_pending_version(const json_t *pending)
{
    const json_t *version = json_object_get(pending, "version");
    return json_string_length(version) == STORE_VERSION_LEN ? json_string_value(version) : "";
}

size_t cert_tags_of(struct vault_tag tags[VAULT_MAX_TAGS], const json_t *object)
{
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (count == VAULT_MAX_TAGS || !json_is_string(value))
            break;
        tags[count++] = (struct vault_tag){name, json_string_value(value)};
    }
    return count;
}

json_t *cert_tags_json(const struct vault_tag *tags, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < count; i++)
        if (json_object_set_new(object, tags[i].name, json_string(tags[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

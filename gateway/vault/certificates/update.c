/* Changes of attributes, tags and policy: certificate, key and secret of a version change together,
 * or none of them. */

#include <openssl/sha.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/certificates/job.h"
#include "gateway/vault/secrets/secret.h"

#define CHANGES_MAX 5

struct update {
    struct cert_job job;
    struct vault_change change; /* its tags point into `tags` */
    json_t *tags, *policy_change;
    struct vault_tag list[VAULT_MAX_TAGS];
    struct vault_cert *cert; /* as it will be */
    json_t *policy;          /* as it will be; NULL: stays */
    struct store_change changes[CHANGES_MAX];
    uint8_t *records[CHANGES_MAX];
    uint8_t hashes[CHANGES_MAX][VAULT_DOC_HASH];
    size_t count;
};

static void drop_changes(struct update *u)
{
    for (size_t i = 0; i < u->count; i++)
        free(u->records[i]);
    u->count = 0;
    if (u->cert)
        vault_object_unref(&u->cert->object);
    u->cert = NULL;
    json_decref(u->policy);
    u->policy = NULL;
}

static void clear(struct cert_job *job)
{
    struct update *u = (struct update *)job;
    drop_changes(u);
    json_decref(u->tags);
    json_decref(u->policy_change);
}

static void on_loaded(struct cert_job *job);

static void on_stored(void *ctx, struct store_result *result)
{
    struct update *u = ctx;
    struct cert_job *job = &u->job;
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE, NULL);
    kw_status status = result->status;
    if (status == KW_E_CONFLICT && result->conflict != STORE_CONFLICT_DELETED &&
        ++job->tries < CERT_TRIES_MAX) {
        drop_changes(u);
        cert_job_load(job, on_loaded);
        return;
    }
    if (status == KW_OK || status == KW_E_IO)
        vault_ref_changed(job->vault, &ref);
    if (status == KW_OK && u->cert) {
        vault_object_unref(&job->cert->object);
        job->cert = (struct vault_cert *)vault_object_ref(&u->cert->object);
    }
    if (status == KW_OK && u->policy) {
        json_decref(job->policy);
        job->policy = json_incref(u->policy);
    }
    cert_job_end(job, status == KW_E_CONFLICT ? KW_E_BUSY : status);
}

/** One more change; the record is taken over. `expected`: of the record it was made from. */
static struct store_change *add(struct update *u, enum store_kind kind, const char *version,
                                uint8_t *record, size_t len)
{
    struct store_change *change = &u->changes[u->count];
    u->records[u->count] = record;
    *change = (struct store_change){.op = STORE_CHANGE_UPDATE,
                                    .ref = cert_ref(&u->job, kind, version),
                                    .created = kw_wall_s(),
                                    .record = kw_span_of(record, len),
                                    .expected = kw_span_of(u->hashes[u->count], VAULT_DOC_HASH)};
    u->count++;
    return change;
}

static kw_status add_policy(struct update *u)
{
    struct cert_job *job = &u->job;
    uint8_t *record = NULL;
    size_t len = 0;
    u->policy = vault_policy_merge(job->policy, u->policy_change, job->why_text);
    if (!u->policy) {
        job->why = job->why_text;
        return KW_E_INPUT;
    }
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE_POLICY, VAULT_DOC_VERSION);
    KW_TRY(vault_doc_seal(job->vault, &ref, u->policy, &record, &len));
    memcpy(u->hashes[u->count], job->policy_hash, VAULT_DOC_HASH);
    struct store_change *change = add(u, STORE_CERTIFICATE_POLICY, VAULT_DOC_VERSION, record, len);
    if (!job->policy) {
        change->op = STORE_CHANGE_ADD;
        change->expected = (struct kw_span){0};
    }
    /* when it is to be renewed is another question now: the next sweep asks it */
    u->changes[u->count] = (struct store_change){.op = STORE_CHANGE_WAKE,
                                                 .ref = cert_ref(job, STORE_CERTIFICATE, NULL),
                                                 .wake_at = 1,
                                                 .optional = true};
    u->records[u->count++] = NULL;
    return KW_OK;
}

static void finish(struct update *u)
{
    struct cert_job *job = &u->job;
    kw_status status = u->policy_change ? add_policy(u) : KW_OK;
    if (status != KW_OK || u->count == 0) {
        cert_job_end(job, status);
        return;
    }
    store_apply(job->vault->store, job->loop, u->changes, u->count, on_stored, u);
}

/* --- attributes and tags of the three --- */

static kw_status add_cert(struct update *u, const struct vault_cert *from)
{
    struct cert_job *job = &u->job;
    uint8_t *record = NULL;
    size_t len = 0;
    struct vault_cert *cert = (struct vault_cert *)vault_object_new(&vault_cert_kind, from->vault,
                                                                    from->name, from->version);
    if (!cert)
        return KW_E_NOMEM;
    u->cert = cert;
    for (size_t i = 0; i < from->count; i++) {
        struct gw_x509_bytes *to = &cert->certs[i];
        to->data = malloc(from->certs[i].len);
        if (!to->data)
            return KW_E_NOMEM;
        memcpy(to->data, from->certs[i].data, from->certs[i].len);
        to->len = from->certs[i].len;
        cert->count++;
    }
    cert->pem = from->pem;
    cert->keep_order = from->keep_order;
    memcpy(cert->thumbprint, from->thumbprint, sizeof cert->thumbprint);
    cert->attributes = from->attributes;
    KW_TRY(vault_object_set_tags(&cert->object, from->tags, from->tag_count));
    KW_TRY(vault_object_apply(&cert->object, &u->change));
    KW_TRY(vault_cert_record_seal(job->vault->domain, cert, &record, &len));
    memcpy(u->hashes[u->count], job->cert_hash, VAULT_DOC_HASH);
    add(u, STORE_CERTIFICATE, cert->version, record, len);
    return KW_OK;
}

static kw_status add_secret(struct update *u, const struct store_row *row)
{
    struct vault_secret *secret = NULL;
    uint8_t *record = NULL;
    size_t len = 0;
    const struct kc_domain *domain = u->job.vault->domain;
    KW_TRY(vault_secret_record_open(domain, u->job.vault_name, row, &secret));
    kw_status status = vault_object_apply(&secret->object, &u->change);
    if (status == KW_OK)
        status = vault_secret_record_seal(domain, secret, &record, &len);
    if (status == KW_OK) {
        SHA256(row->record, row->record_len, u->hashes[u->count]);
        add(u, STORE_SECRET, secret->version, record, len)->ref.version = u->cert->version;
    }
    vault_object_unref(&secret->object);
    return status;
}

static kw_status add_key(struct update *u, const struct store_row *row)
{
    struct vault_key *key = NULL;
    struct kc_public pub;
    uint8_t *record = NULL;
    size_t len = 0;
    const struct kc_domain *domain = u->job.vault->domain;
    KW_TRY(vault_record_open(domain, u->job.vault_name, row, &key, &pub));
    kw_status status = vault_object_apply(&key->object, &u->change);
    if (status == KW_OK)
        status = vault_record_seal(domain, key, &pub, &record, &len);
    if (status == KW_OK) {
        SHA256(row->record, row->record_len, u->hashes[u->count]);
        add(u, STORE_KEY, key->version, record, len)->ref.version = u->cert->version;
    }
    vault_key_unref(key);
    return status;
}

static void on_secret(void *ctx, struct store_result *result)
{
    struct update *u = ctx;
    kw_status status = result->status;
    if (status == KW_OK)
        status = add_secret(u, &result->rows[0]);
    if (status == KW_OK)
        finish(u);
    else
        cert_job_end(&u->job, status);
}

static void on_key(void *ctx, struct store_result *result)
{
    struct update *u = ctx;
    struct cert_job *job = &u->job;
    kw_status status = result->status;
    if (status == KW_OK)
        status = add_key(u, &result->rows[0]);
    if (status != KW_OK) {
        cert_job_end(job, status);
        return;
    }
    struct store_ref ref = cert_ref(job, STORE_SECRET, u->cert->version);
    store_get(job->vault->store, job->loop, &ref, on_secret, u);
}

static void on_loaded(struct cert_job *job)
{
    struct update *u = (struct update *)job;
    bool objects = u->change.has_enabled || u->change.has_tags;
    bool alone = !job->cert && job->pending && !objects && !job->version[0];
    if (!job->cert && !alone) {
        cert_job_end(job, KW_E_NOT_FOUND);
        return;
    }
    if (!objects) {
        finish(u);
        return;
    }
    kw_status status = add_cert(u, job->cert);
    if (status != KW_OK) {
        cert_job_end(job, status);
        return;
    }
    struct store_ref ref = cert_ref(job, STORE_KEY, job->cert->version);
    store_get(job->vault->store, job->loop, &ref, on_key, u);
}

void vault_cert_update(const struct vault_cert_call *call, const struct vault_change *change,
                       const json_t *policy)
{
    struct update *u = cert_job_new(sizeof *u, call);
    if (!u)
        return;
    u->job.clear = clear;
    /* nbf and exp are the certificate's own */
    u->change = (struct vault_change){.has_enabled = change->has_enabled,
                                      .enabled = change->enabled,
                                      .has_tags = change->has_tags};
    u->tags = cert_tags_json(change->tags, change->tag_count);
    u->policy_change = policy ? json_deep_copy(policy) : NULL;
    if (!u->tags || (policy && !u->policy_change)) {
        cert_job_end(&u->job, KW_E_NOMEM);
        return;
    }
    u->change.tag_count = cert_tags_of(u->list, u->tags);
    u->change.tags = u->list;
    cert_job_load(&u->job, on_loaded);
}

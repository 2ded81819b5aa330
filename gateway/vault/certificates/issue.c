/* A version with its key and its secret into the store. What the version starts from is part of the
 * transaction: of two who issue at the same time only one succeeds. */

#include <openssl/evp.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/api/aside.h"
#include "gateway/vault/certificates/job.h"
#include "gateway/vault/secrets/secret.h"

#define TYPE_PKCS12 "application/x-pkcs12"
#define TYPE_PEM    "application/x-pem-file"

static void drop_records(struct cert_issue *issue)
{
    for (size_t i = 0; i < issue->change_count; i++)
        free(issue->records[i]);
    issue->change_count = 0;
}

void cert_issue_clear(struct cert_issue *issue)
{
    drop_records(issue);
    for (size_t i = 0; i < issue->count; i++)
        free(issue->certs[i].data);
    issue->count = 0;
    vault_key_unref(issue->key);
    issue->key = NULL;
    if (issue->cert)
        vault_object_unref(&issue->cert->object);
    if (issue->secret)
        vault_object_unref(&issue->secret->object);
    issue->cert = NULL;
    issue->secret = NULL;
    json_decref(issue->policy_doc);
    issue->policy_doc = NULL;
    free(issue->policy);
    issue->policy = NULL;
    kw_secret_clear(&issue->value);
}

/* --- the value of the secret --- */

static kw_status in_base64(struct kw_secret *value)
{
    struct kw_secret text = {.data = kw_secret_alloc(value->len / 3 * 4 + 8)};
    if (!text.data)
        return KW_E_NOMEM;
    text.len = (size_t)EVP_EncodeBlock(text.data, value->data, (int)value->len);
    kw_secret_clear(value);
    *value = text;
    return KW_OK;
}

static kw_status build_value(struct cert_issue *issue)
{
    struct kc_key *key = NULL;
    uint8_t id[KW_KEY_ID_LEN];
    kw_status status = KW_OK;
    if (issue->policy->exportable) {
        KW_TRY(vault_version_id(id, issue->key->version));
        KW_TRY(kc_blob_open(issue->job->vault->domain, id,
                            kw_span_of(issue->key->blob, issue->key->blob_len), false, &key));
    }
    if (issue->policy->pem) {
        status = gw_x509_to_pem(&issue->value, key, issue->certs, issue->count);
    } else {
        status = gw_x509_to_pkcs12(&issue->value, key, issue->certs, issue->count);
        if (status == KW_OK)
            status = in_base64(&issue->value);
    }
    kc_key_unref(key);
    return status;
}

/* Beside the loops: key derivation for PKCS#12, and the parsing of a private key. */
static void on_thread(void *ctx)
{
    struct cert_issue *issue = ctx;
    issue->built = build_value(issue);
}

/* --- the objects --- */

static kw_status make_cert(struct cert_issue *issue)
{
    struct cert_job *job = issue->job;
    struct gw_x509_info info;
    struct vault_cert *cert = (struct vault_cert *)vault_object_new(
        &vault_cert_kind, job->vault_name, job->name, issue->key->version);
    if (!cert)
        return KW_E_NOMEM;
    issue->cert = cert;
    memcpy(cert->certs, issue->certs, sizeof cert->certs);
    cert->count = issue->count;
    issue->count = 0;
    cert->pem = issue->policy->pem;
    cert->keep_order = issue->keep_order;
    struct kw_span leaf = kw_span_of(cert->certs[0].data, cert->certs[0].len);
    KW_TRY(gw_x509_read(&info, leaf));
    KW_TRY(gw_x509_thumbprint(cert->thumbprint, leaf));
    cert->attributes.enabled = issue->enabled;
    cert->attributes.nbf = info.not_before;
    cert->attributes.exp = info.not_after;
    cert->attributes.created = cert->attributes.updated = kw_wall_s();
    return vault_object_set_tags(&cert->object, issue->tags, issue->tag_count);
}

static kw_status make_others(struct cert_issue *issue)
{
    const struct vault_cert *cert = issue->cert;
    struct vault_key *key = issue->key;
    const char *type = cert->pem ? TYPE_PEM : TYPE_PKCS12;
    struct vault_secret_request request = {
        .vault = cert->vault,
        .name = cert->name,
        .version = cert->version,
        .value = kw_span_of(issue->value.data, issue->value.len),
        .content_type = kw_span_str(type),
        .managed = true,
        .previous = issue->job->cert ? issue->job->cert->version : NULL,
        .attributes = cert->attributes,
        .tags = issue->tags,
        .tag_count = issue->tag_count,
    };
    key->attributes = cert->attributes;
    key->attributes.exportable = issue->policy->exportable;
    key->ops = issue->policy->ops;
    key->managed = true;
    memcpy(key->name, cert->name, sizeof key->name);
    KW_TRY(vault_object_set_tags(&key->object, issue->tags, issue->tag_count));
    kw_status status = vault_secret_make(&issue->secret, issue->job->vault->domain, &request);
    if (status == KW_E_INPUT)
        issue->job->why = "The certificate, its chain and its key are larger than a secret can be "
                          "(25600 bytes).";
    return status;
}

/* --- the transaction --- */

static struct store_change *add_change(struct cert_issue *issue, enum store_kind kind,
                                       const char *version, uint8_t *record, size_t len)
{
    struct store_change *change = &issue->changes[issue->change_count];
    issue->records[issue->change_count++] = record;
    *change = (struct store_change){.ref = cert_ref(issue->job, kind, version),
                                    .created = issue->cert->attributes.created,
                                    .record = kw_span_of(record, len)};
    return change;
}

/** One of the three: new, or on top of the version that was read. */
static kw_status add_object(struct cert_issue *issue, const struct vault_object *object,
                            struct store_change **out)
{
    const struct vault_cert *before = issue->job->cert;
    uint8_t *record = NULL;
    size_t len = 0;
    KW_TRY(object->kind->seal(issue->job->vault, object, &record, &len));
    struct store_change *change =
        add_change(issue, object->kind->store, object->version, record, len);
    change->op = before ? STORE_CHANGE_PUT : STORE_CHANGE_ADD;
    change->base = before ? before->version : NULL;
    if (out)
        *out = change;
    return KW_OK;
}

static kw_status add_pending(struct cert_issue *issue)
{
    struct cert_job *job = issue->job;
    uint8_t *record = NULL;
    size_t len = 0;
    struct store_ref ref = cert_ref(job, STORE_PENDING, VAULT_DOC_VERSION);
    json_t *pending = json_deep_copy(job->pending);
    if (!pending)
        return KW_E_NOMEM;
    json_object_set_new(pending, "status", json_string("completed"));
    json_object_del(pending, "key"); /* it stands by itself now */
    kw_status status = vault_doc_seal(job->vault, &ref, pending, &record, &len);
    json_decref(pending);
    if (status != KW_OK)
        return status;
    struct store_change *change = add_change(issue, STORE_PENDING, VAULT_DOC_VERSION, record, len);
    change->op = STORE_CHANGE_UPDATE;
    change->expected = kw_span_of(job->pending_hash, sizeof job->pending_hash);
    change->sets_wake = true;
    return KW_OK;
}

static kw_status add_policy(struct cert_issue *issue)
{
    struct cert_job *job = issue->job;
    uint8_t *record = NULL;
    size_t len = 0;
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE_POLICY, VAULT_DOC_VERSION);
    KW_TRY(vault_doc_seal(job->vault, &ref, issue->policy_doc, &record, &len));
    struct store_change *change =
        add_change(issue, STORE_CERTIFICATE_POLICY, VAULT_DOC_VERSION, record, len);
    change->op = job->policy ? STORE_CHANGE_UPDATE : STORE_CHANGE_ADD;
    if (job->policy)
        change->expected = kw_span_of(job->policy_hash, sizeof job->policy_hash);
    return KW_OK;
}

static kw_status gather(struct cert_issue *issue)
{
    struct store_change *cert = NULL;
    const struct vault_attributes *a = &issue->cert->attributes;
    KW_TRY(add_object(issue, &issue->cert->object, &cert));
    cert->sets_wake = true;
    cert->wake_at = vault_policy_renew_at(issue->policy, a->nbf, a->exp);
    KW_TRY(add_object(issue, &issue->key->object, NULL));
    KW_TRY(add_object(issue, &issue->secret->object, NULL));
    if (issue->ends_pending)
        KW_TRY(add_pending(issue));
    return issue->policy_doc ? add_policy(issue) : KW_OK;
}

static void on_stored(void *ctx, struct store_result *result)
{
    struct cert_issue *issue = ctx;
    struct cert_job *job = issue->job;
    struct store_ref ref = cert_ref(job, STORE_CERTIFICATE, NULL);
    kw_status status = result->status;
    if (status == KW_OK || status == KW_E_IO)
        vault_ref_changed(job->vault, &ref);
    if (status == KW_OK) {
        if (job->cert)
            vault_object_unref(&job->cert->object);
        job->cert = (struct vault_cert *)vault_object_ref(&issue->cert->object);
        if (issue->policy_doc) {
            json_decref(job->policy);
            job->policy = json_incref(issue->policy_doc);
        }
    } else {
        cert_job_note(job, result, issue->changes);
    }
    issue->done(issue, status);
}

static void on_built(void *ctx)
{
    struct cert_issue *issue = ctx;
    struct cert_job *job = issue->job;
    kw_status status = issue->built;
    if (status == KW_OK)
        status = make_cert(issue);
    if (status == KW_OK)
        status = make_others(issue);
    if (status == KW_OK)
        status = gather(issue);
    if (status != KW_OK) {
        issue->done(issue, status);
        return;
    }
    store_apply(job->vault->store, job->loop, issue->changes, issue->change_count, on_stored,
                issue);
}

void cert_issue(struct cert_issue *issue)
{
    kw_status status = gw_aside_run(issue->job->loop, on_thread, on_built, issue);
    if (status != KW_OK)
        issue->done(issue, status);
}

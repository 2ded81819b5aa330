/* The ends of an operation: signed by its own key, merged with what an authority signed, cancelled,
 * failed, forgotten. */

#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/vault/certificates/job.h"

#define BACKDATE_S 600 /* for clocks of relying parties that are behind */

struct ending {
    struct cert_job job;
    struct cert_issue issue;
    struct cert_signing signing;
    json_t *tags; /* what issue's tags point into */
    bool held;    /* no request keeps the loop */
    bool merge, has_enabled, enabled;
    json_t *merge_tags; /* in the place of the operation's; NULL: none were given */
};

static struct ending *of(struct cert_job *job)
{
    return (struct ending *)job;
}

static void clear(struct cert_job *job)
{
    struct ending *e = of(job);
    json_decref(e->tags);
    json_decref(e->merge_tags);
    free(e->signing.der);
    gw_x509_draft_clear(&e->signing.draft);
    cert_issue_clear(&e->issue);
    if (e->held)
        gw_loop_unhold(job->loop);
}

/* --- failing --- */

static void on_failed(void *ctx, struct store_result *result)
{
    struct ending *e = ctx;
    (void)result; /* whoever came first has the word */
    cert_job_end(&e->job, KW_E_CONFLICT);
}

/** What will not change by trying again is written down for those who poll. */
static bool lasting(kw_status status)
{
    return status == KW_E_INPUT || status == KW_E_UNSUPPORTED || status == KW_E_INTEGRITY ||
           status == KW_E_FORBIDDEN || status == KW_E_CONFLICT || status == KW_E_TOO_LARGE;
}

static const char *reason(const struct ending *e, kw_status status)
{
    const struct cert_job *job = &e->job;
    if (job->why)
        return job->why;
    if (status == KW_E_CONFLICT)
        return "The name was taken, or the certificate was changed, before the operation ended.";
    return "The certificate could not be made from its policy and key.";
}

static void fail(struct ending *e, kw_status status)
{
    struct cert_job *job = &e->job;
    struct store_change change = {.op = STORE_CHANGE_UPDATE, .sets_wake = true};
    uint8_t *record = NULL;
    size_t len = 0;
    json_t *pending = lasting(status) ? json_deep_copy(job->pending) : NULL;
    if (!pending) {
        cert_job_end(job, status);
        return;
    }
    json_object_set_new(pending, "status", json_string("failed"));
    json_object_set_new(pending, "error",
                        json_pack("{s:s,s:s}", "code",
                                  status == KW_E_CONFLICT ? "Conflict" : "BadParameter", "message",
                                  reason(e, status)));
    json_object_del(pending, "key");
    change.ref = cert_ref(job, STORE_PENDING, VAULT_DOC_VERSION);
    kw_status sealed = vault_doc_seal(job->vault, &change.ref, pending, &record, &len);
    json_decref(pending);
    if (sealed != KW_OK) {
        cert_job_end(job, status);
        return;
    }
    change.record = kw_span_of(record, len);
    change.expected = kw_span_of(job->pending_hash, sizeof job->pending_hash);
    store_apply(job->vault->store, job->loop, &change, 1, on_failed, e);
    free(record);
}

/* --- issuing --- */

static void on_issued(struct cert_issue *issue, kw_status status)
{
    struct ending *e = (struct ending *)((char *)issue - offsetof(struct ending, issue));
    struct cert_job *job = &e->job;
    if (status == KW_OK) {
        cert_job_end(job, KW_OK);
        return;
    }
    /* somebody else has ended the operation: nothing to say about it any more */
    bool ended = (status == KW_E_CONFLICT || status == KW_E_NOT_FOUND) &&
                 job->conflict_kind == STORE_PENDING;
    if (e->merge || ended)
        cert_job_end(job, status);
    else
        fail(e, status);
}

/** Key, policy, tags and attributes as the operation has them. */
static kw_status take_operation(struct ending *e)
{
    struct cert_job *job = &e->job;
    struct cert_issue *issue = &e->issue;
    const json_t *pending = job->pending;
    issue->job = job;
    issue->done = on_issued;
    issue->ends_pending = true;
    issue->enabled = !json_is_false(json_object_get(pending, "enabled"));
    issue->keep_order = json_is_true(json_object_get(pending, "keep_order"));
    e->tags = json_incref(json_object_get(pending, "tags"));
    issue->tag_count = cert_tags_of(issue->tags, e->tags);
    issue->policy = vault_policy_read(json_object_get(pending, "policy"), job->why_text);
    if (!issue->policy) {
        job->why = job->why_text;
        return KW_E_INPUT;
    }
    return cert_key_of_json(&issue->key, job->vault, job->vault_name, job->name, pending);
}

static void on_signed(struct cert_signing *signing, kw_status status)
{
    struct ending *e = (struct ending *)((char *)signing - offsetof(struct ending, signing));
    if (status != KW_OK) {
        fail(e, status);
        return;
    }
    e->issue.certs[0] = (struct gw_x509_bytes){signing->der, signing->der_len};
    e->issue.count = 1;
    signing->der = NULL;
    cert_issue(&e->issue);
}

static void sign_itself(struct cert_job *job)
{
    struct ending *e = of(job);
    const char *base = json_string_value(json_object_get(job->pending, "base"));
    int64_t now = kw_wall_s();
    if (!cert_in_progress(job->pending)) {
        cert_job_end(job, KW_E_NOT_FOUND);
        return;
    }
    kw_status status = take_operation(e);
    if (status == KW_OK && e->issue.policy->issuer != VAULT_ISSUER_SELF) {
        cert_job_end(job, KW_E_NOT_FOUND); /* waits for a merge */
        return;
    }
    /* a renewal counts only on top of the version that it renews */
    if (status == KW_OK && base && base[0] && (!job->cert || strcmp(job->cert->version, base) != 0))
        status = KW_E_CONFLICT;
    if (status == KW_OK)
        status = gw_x509_draft_self_signed(&e->signing.draft, &e->issue.policy->profile,
                                           pool_key_public(e->issue.key->key), now - BACKDATE_S,
                                           gw_x509_add_months(now, e->issue.policy->months));
    if (status != KW_OK) {
        fail(e, status);
        return;
    }
    e->signing.key = e->issue.key;
    e->signing.done = on_signed;
    cert_sign(&e->signing, job);
}

void vault_cert_finish(const struct vault_cert_call *call)
{
    struct ending *e = cert_job_new(sizeof *e, call);
    if (!e)
        return;
    e->job.clear = clear;
    e->held = true;
    gw_loop_hold(call->loop);
    cert_job_load(&e->job, sign_itself);
}

/* --- merging --- */

/** The leaf to the front: the one certificate of the operation's key. */
static kw_status find_leaf(struct ending *e)
{
    struct cert_issue *issue = &e->issue;
    const struct kc_public *pub = pool_key_public(issue->key->key);
    struct gw_x509_info info;
    for (size_t i = 0; i < issue->count; i++) {
        struct gw_x509_bytes found = issue->certs[i];
        if (gw_x509_read(&info, kw_span_of(found.data, found.len)) != KW_OK ||
            !gw_x509_same_key(&info.pub, pub))
            continue;
        memmove(&issue->certs[1], &issue->certs[0], i * sizeof found);
        issue->certs[0] = found;
        return KW_OK;
    }
    e->job.why = "The public key of the end-entity certificate in property 'x5c' does not match "
                 "the key of the pending certificate.";
    return KW_E_INPUT;
}

static void merge_loaded(struct cert_job *job)
{
    struct ending *e = of(job);
    if (!cert_in_progress(job->pending)) {
        cert_job_end(job, KW_E_NOT_FOUND);
        return;
    }
    kw_status status = take_operation(e);
    if (status == KW_OK)
        status = find_leaf(e);
    if (status != KW_OK) {
        cert_job_end(job, status);
        return;
    }
    if (e->has_enabled)
        e->issue.enabled = e->enabled;
    if (e->merge_tags)
        e->issue.tag_count = cert_tags_of(e->issue.tags, e->merge_tags);
    cert_issue(&e->issue);
}

static kw_status copy_certs(struct cert_issue *issue, const struct gw_x509_bytes *certs,
                            size_t count)
{
    if (count == 0 || count > GW_X509_CHAIN_MAX)
        return KW_E_INPUT;
    for (size_t i = 0; i < count; i++) {
        struct gw_x509_bytes *to = &issue->certs[i];
        to->data = malloc(certs[i].len ? certs[i].len : 1);
        if (!to->data)
            return KW_E_NOMEM;
        memcpy(to->data, certs[i].data, certs[i].len);
        to->len = certs[i].len;
        issue->count++;
    }
    return KW_OK;
}

void vault_cert_merge(const struct vault_cert_call *call, const struct gw_x509_bytes *certs,
                      size_t count, const struct vault_change *change)
{
    struct ending *e = cert_job_new(sizeof *e, call);
    if (!e)
        return;
    e->job.clear = clear;
    e->merge = true;
    e->has_enabled = change->has_enabled;
    e->enabled = change->enabled;
    kw_status status = copy_certs(&e->issue, certs, count);
    if (status == KW_OK && change->has_tags) {
        e->merge_tags = cert_tags_json(change->tags, change->tag_count);
        status = e->merge_tags ? KW_OK : KW_E_NOMEM;
    }
    if (status != KW_OK)
        cert_job_end(&e->job, status);
    else
        cert_job_load(&e->job, merge_loaded);
}

/* --- cancelling, forgetting --- */

struct change {
    struct cert_job job;
    bool cancel;
};

static void on_changed(void *ctx, struct store_result *result)
{
    struct change *c = ctx;
    struct cert_job *job = &c->job;
    bool other = result->status == KW_E_CONFLICT || result->status == KW_E_NOT_FOUND;
    if (other && result->conflict != STORE_CONFLICT_DELETED && ++job->tries < CERT_TRIES_MAX)
        cert_job_load(job, job->next); /* it was finished at the same moment: look again */
    else
        cert_job_end(job, result->status);
}

static kw_status mark_cancelled(struct change *c)
{
    struct cert_job *job = &c->job;
    struct store_change change = {.op = STORE_CHANGE_UPDATE,
                                  .ref = cert_ref(job, STORE_PENDING, VAULT_DOC_VERSION),
                                  .expected = kw_span_of(job->pending_hash, VAULT_DOC_HASH)};
    uint8_t *record = NULL;
    size_t len = 0;
    json_object_set_new(job->pending, "cancel", json_boolean(c->cancel));
    if (c->cancel && cert_in_progress(job->pending)) {
        json_object_set_new(job->pending, "status", json_string("cancelled"));
        json_object_del(job->pending, "key");
        change.sets_wake = true;
    }
    KW_TRY(vault_doc_seal(job->vault, &change.ref, job->pending, &record, &len));
    change.record = kw_span_of(record, len);
    store_apply(job->vault->store, job->loop, &change, 1, on_changed, c);
    free(record);
    return KW_OK;
}

static void cancel_loaded(struct cert_job *job)
{
    kw_status status = job->pending ? mark_cancelled((struct change *)job) : KW_E_NOT_FOUND;
    if (status != KW_OK)
        cert_job_end(job, status);
}

void vault_cert_cancel(const struct vault_cert_call *call, bool cancel)
{
    struct change *c = cert_job_new(sizeof *c, call);
    if (!c)
        return;
    c->cancel = cancel;
    cert_job_load(&c->job, cancel_loaded);
}

/** A name that never had a certificate loses its policy too: nothing is left of it. */
static void forget_loaded(struct cert_job *job)
{
    struct store_change changes[2] = {
        {.op = STORE_CHANGE_REMOVE, .ref = cert_ref(job, STORE_PENDING, NULL)},
        {.op = STORE_CHANGE_REMOVE,
         .ref = cert_ref(job, STORE_CERTIFICATE_POLICY, NULL),
         .optional = true}};
    if (!job->pending) {
        cert_job_end(job, KW_E_NOT_FOUND);
        return;
    }
    store_apply(job->vault->store, job->loop, changes, job->cert ? 1 : 2, on_changed, job);
}

void vault_cert_forget(const struct vault_cert_call *call)
{
    struct change *c = cert_job_new(sizeof *c, call);
    if (c)
        cert_job_load(&c->job, forget_loaded);
}

/* The beginning of a version: a key, a request signed by it, an operation in the store. Nothing is
 * kept anywhere before the store's commit; after it the operation holds all that its end needs. */

#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/vault/certificates/job.h"

#define FINISH_AGAIN_S 10   /* when the sweep takes over what was not finished at once */
#define RENEW_AGAIN_S  3600 /* when a renewal that failed is tried again */

struct creation {
    struct cert_job job;
    json_t *change; /* the body's policy, or NULL */
    json_t *tags;
    bool enabled, keep_order, renewal;
    char base[STORE_VERSION_LEN + 1]; /* of a renewal */
    json_t *policy_doc;               /* as it will be */
    struct vault_policy *policy;
    struct cert_keying keying;
    struct cert_signing signing;
    json_t *pending; /* as it will be */
    unsigned probe;
    struct store_change changes[3];
};

static struct creation *of(struct cert_job *job)
{
    return (struct creation *)job;
}

static void clear(struct cert_job *job)
{
    struct creation *c = of(job);
    json_decref(c->change);
    json_decref(c->tags);
    json_decref(c->policy_doc);
    json_decref(c->pending);
    free(c->policy);
    free(c->signing.der);
    cert_keying_clear(&c->keying);
}

/* --- storing --- */

/** A self-signed version needs nobody else: on with it, whether the client waits or not. */
static void go_on(const struct creation *c)
{
    const struct cert_job *job = &c->job;
    vault_cert_finish(&(struct vault_cert_call){.vault = job->vault,
                                                .loop = job->loop,
                                                .vault_name = job->vault_name,
                                                .name = kw_span_str(job->name)});
}

static void on_stored(void *ctx, struct store_result *result)
{
    struct creation *c = ctx;
    struct cert_job *job = &c->job;
    if (result->status != KW_OK) {
        cert_job_note(job, result, c->changes);
        /* somebody else has begun a version since it was looked */
        job->in_progress =
            job->conflict_kind == STORE_PENDING && job->conflict != STORE_CONFLICT_DELETED;
        cert_job_end(job, result->status);
        return;
    }
    json_decref(job->pending);
    job->pending = json_incref(c->pending);
    json_decref(job->policy);
    job->policy = json_incref(c->policy_doc);
    if (c->policy->issuer == VAULT_ISSUER_SELF)
        go_on(c);
    cert_job_end(job, KW_OK);
}

static kw_status seal(struct creation *c, struct store_change *change, enum store_kind kind,
                      const json_t *doc, uint8_t **record)
{
    size_t len = 0;
    change->ref = cert_ref(&c->job, kind, VAULT_DOC_VERSION);
    change->created = kw_wall_s();
    KW_TRY(vault_doc_seal(c->job.vault, &change->ref, doc, record, &len));
    change->record = kw_span_of(*record, len);
    return KW_OK;
}

static kw_status store_it(struct creation *c)
{
    struct cert_job *job = &c->job;
    uint8_t *records[2] = {NULL, NULL};
    size_t count = 1;
    struct store_change *pending = &c->changes[0];
    kw_status status = seal(c, pending, STORE_PENDING, c->pending, &records[0]);
    pending->op = job->pending ? STORE_CHANGE_UPDATE : STORE_CHANGE_ADD;
    if (job->pending)
        pending->expected = kw_span_of(job->pending_hash, sizeof job->pending_hash);
    pending->sets_wake = true;
    if (c->policy->issuer == VAULT_ISSUER_SELF)
        pending->wake_at = kw_wall_s() + FINISH_AGAIN_S;
    if (c->renewal) {
        c->changes[count++] = (struct store_change){.op = STORE_CHANGE_WAKE,
                                                    .ref = cert_ref(job, STORE_CERTIFICATE, NULL),
                                                    .wake_at = kw_wall_s() + RENEW_AGAIN_S};
    } else if (status == KW_OK) {
        struct store_change *policy = &c->changes[count++];
        status = seal(c, policy, STORE_CERTIFICATE_POLICY, c->policy_doc, &records[1]);
        policy->op = job->policy ? STORE_CHANGE_UPDATE : STORE_CHANGE_ADD;
        if (job->policy)
            policy->expected = kw_span_of(job->policy_hash, sizeof job->policy_hash);
    }
    if (status == KW_OK)
        store_apply(job->vault->store, job->loop, c->changes, count, on_stored, c);
    free(records[0]);
    free(records[1]);
    return status;
}

static json_t *request_id(void)
{
    char text[STORE_VERSION_LEN + 1];
    uint8_t id[KW_KEY_ID_LEN];
    if (kw_random(id, sizeof id) != KW_OK)
        return NULL;
    vault_version_text(text, id);
    return json_string(text);
}

static json_t *make_pending(const struct creation *c)
{
    return json_pack("{s:s,s:s,s:o,s:o,s:O,s:b,s:O,s:b,s:b,s:s,s:o,s:I}", "status", "inProgress",
                     "version", c->keying.key->version, "request_id", request_id(), "csr",
                     vault_doc_bytes(kw_span_of(c->signing.der, c->signing.der_len)), "policy",
                     c->policy_doc, "enabled", c->enabled, "tags", c->tags, "keep_order",
                     c->keep_order, "cancel", 0, "base", c->base, "key",
                     cert_key_json(c->keying.key), "created", (json_int_t)kw_wall_s());
}

static void on_signed(struct cert_signing *signing, kw_status status)
{
    struct creation *c = (struct creation *)((char *)signing - offsetof(struct creation, signing));
    if (status == KW_OK) {
        c->pending = make_pending(c);
        status = c->pending ? store_it(c) : KW_E_NOMEM;
    }
    if (status != KW_OK)
        cert_job_end(&c->job, status);
}

static void on_key(struct cert_keying *keying, kw_status status)
{
    struct creation *c = (struct creation *)((char *)keying - offsetof(struct creation, keying));
    struct cert_signing *signing = &c->signing;
    if (status == KW_OK)
        status = gw_x509_draft_request(&signing->draft, &c->policy->profile,
                                       pool_key_public(keying->key->key));
    if (status != KW_OK) {
        cert_job_end(&c->job, status);
        return;
    }
    signing->key = keying->key;
    signing->done = on_signed;
    cert_sign(signing, &c->job);
}

/* --- the key --- */

static void on_key_before(void *ctx, struct store_result *result)
{
    struct creation *c = ctx;
    struct vault_key *before = NULL;
    kw_status status = result->status;
    if (status == KW_OK)
        status = vault_row_open(c->job.vault, c->job.vault_name, &result->rows[0], true, &before);
    if (status != KW_OK) {
        cert_job_end(&c->job, status);
        return;
    }
    cert_key_again(&c->keying, &c->job, c->policy, before);
    vault_key_unref(before);
}

static void make_key(struct creation *c)
{
    struct cert_job *job = &c->job;
    c->keying.done = on_key;
    if (!job->cert || !c->policy->reuse_key) {
        cert_key_generate(&c->keying, job, c->policy);
        return;
    }
    struct store_ref ref = cert_ref(job, STORE_KEY, job->cert->version);
    store_get(job->vault->store, job->loop, &ref, on_key_before, c);
}

/* --- may it begin? --- */

/* A first version takes the name in three kinds: nothing may stand there, live or deleted. The
 * transaction that issues asks the same; asked here, nobody waits for a key in vain. */
static const struct {
    enum store_kind kind;
    bool deleted;
} probes[] = {{STORE_CERTIFICATE, true},
              {STORE_KEY, false},
              {STORE_KEY, true},
              {STORE_SECRET, false},
              {STORE_SECRET, true}};

static void probe(struct creation *c);

static void on_probed(void *ctx, struct store_result *result)
{
    struct creation *c = ctx;
    struct cert_job *job = &c->job;
    if (result->status == KW_E_NOT_FOUND) {
        c->probe++;
        probe(c);
        return;
    }
    if (result->status == KW_OK) {
        job->conflict = probes[c->probe].deleted ? STORE_CONFLICT_DELETED : STORE_CONFLICT_EXISTS;
        job->conflict_kind = probes[c->probe].kind;
    }
    cert_job_end(job, result->status == KW_OK ? KW_E_CONFLICT : result->status);
}

static void probe(struct creation *c)
{
    struct cert_job *job = &c->job;
    if (job->cert || c->probe == sizeof probes / sizeof probes[0]) {
        make_key(c);
        return;
    }
    struct store_ref ref = cert_ref(job, probes[c->probe].kind, NULL);
    if (probes[c->probe].deleted)
        store_get_deleted(job->vault->store, job->loop, &ref, on_probed, c);
    else
        store_get(job->vault->store, job->loop, &ref, on_probed, c);
}

static bool settle_policy(struct creation *c)
{
    struct cert_job *job = &c->job;
    json_t *nothing = json_object();
    if (c->change)
        c->policy_doc = vault_policy_merge(NULL, c->change, job->why_text);
    else if (job->policy)
        c->policy_doc = json_incref(job->policy);
    else
        c->policy_doc = vault_policy_merge(NULL, nothing, job->why_text);
    json_decref(nothing);
    if (c->policy_doc)
        c->policy = vault_policy_read(c->policy_doc, job->why_text);
    return c->policy != NULL;
}

static void on_loaded(struct cert_job *job)
{
    struct creation *c = of(job);
    if (cert_in_progress(job->pending)) {
        job->in_progress = true;
        cert_job_end(job, KW_E_CONFLICT);
        return;
    }
    /* another gateway has renewed it meanwhile, or it is gone */
    if (c->renewal && (!job->cert || strcmp(job->cert->version, c->base) != 0)) {
        cert_job_end(job, KW_E_NOT_FOUND);
        return;
    }
    if (!settle_policy(c)) {
        cert_job_refuse(job, KW_E_INPUT, job->why_text);
        return;
    }
    if (c->policy->issuer == VAULT_ISSUER_NAMED) {
        cert_job_refuse(job, KW_E_UNSUPPORTED,
                        "The issuer that the policy names has no certification authority behind "
                        "it here: use \"Unknown\" and merge what an authority has signed, or "
                        "\"Self\".");
        return;
    }
    if (c->renewal) { /* as the version before */
        c->enabled = job->cert->attributes.enabled;
        c->keep_order = job->cert->keep_order;
        json_decref(c->tags);
        c->tags = cert_tags_json(job->cert->tags, job->cert->tag_count);
    }
    probe(c);
}

static struct creation *begin(const struct vault_cert_call *call)
{
    struct creation *c = cert_job_new(sizeof *c, call);
    if (!c)
        return NULL;
    c->job.clear = clear;
    c->job.version[0] = '\0';
    if (store_read_only(call->vault->store)) {
        cert_job_end(&c->job, KW_E_UNAVAILABLE);
        return NULL;
    }
    return c;
}

void vault_cert_create(const struct vault_cert_call *call, const json_t *policy,
                       const struct vault_change *change, bool keep_order)
{
    struct creation *c = begin(call);
    if (!c)
        return;
    c->enabled = change->has_enabled ? change->enabled : true;
    c->keep_order = keep_order;
    c->tags = cert_tags_json(change->tags, change->tag_count);
    c->change = policy ? json_deep_copy(policy) : NULL;
    if (!c->tags || (policy && !c->change))
        cert_job_end(&c->job, KW_E_NOMEM);
    else
        cert_job_load(&c->job, on_loaded);
}

void cert_renew(const struct vault_cert_call *call, const char *base)
{
    struct creation *c = begin(call);
    if (!c)
        return;
    c->renewal = true;
    strncpy(c->base, base, sizeof c->base - 1);
    cert_job_load(&c->job, on_loaded);
}

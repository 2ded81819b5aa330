/* A certificate with its key from a file. */

#include <stdlib.h>
#include <string.h>

#include "gateway/vault/certificates/job.h"

struct import {
    struct cert_job job;
    struct gw_x509_bundle bundle;
    json_t *change, *tags;
    bool enabled, keep_order, pem;
    struct cert_keying keying;
    struct cert_issue issue;
};

static void clear(struct cert_job *job)
{
    struct import *i = (struct import *)job;
    gw_x509_bundle_clear(&i->bundle);
    json_decref(i->change);
    json_decref(i->tags);
    cert_keying_clear(&i->keying);
    cert_issue_clear(&i->issue);
}

static void on_issued(struct cert_issue *issue, kw_status status)
{
    struct import *i = (struct import *)((char *)issue - offsetof(struct import, issue));
    cert_job_end(&i->job, status);
}

static void on_key(struct cert_keying *keying, kw_status status)
{
    struct import *i = (struct import *)((char *)keying - offsetof(struct import, keying));
    struct cert_issue *issue = &i->issue;
    if (status != KW_OK) {
        cert_job_end(&i->job, status);
        return;
    }
    issue->key = keying->key;
    keying->key = NULL;
    issue->job = &i->job;
    issue->done = on_issued;
    memcpy(issue->certs, i->bundle.certs, sizeof issue->certs);
    issue->count = i->bundle.count;
    i->bundle.count = 0;
    issue->enabled = i->enabled;
    issue->keep_order = i->keep_order;
    issue->tag_count = cert_tags_of(issue->tags, i->tags);
    cert_issue(issue);
}

static void on_loaded(struct cert_job *job)
{
    struct import *i = (struct import *)job;
    struct kw_span leaf = kw_span_of(i->bundle.certs[0].data, i->bundle.certs[0].len);
    json_t *policy =
        vault_policy_of_cert(leaf, kc_key_public(i->bundle.key), i->pem, i->change, job->why_text);
    i->issue.policy_doc = policy;
    i->issue.policy = policy ? vault_policy_read(policy, job->why_text) : NULL;
    if (!i->issue.policy) {
        cert_job_refuse(job, KW_E_INPUT, job->why_text);
        return;
    }
    i->keying.done = on_key;
    cert_key_import(&i->keying, job, i->issue.policy, i->bundle.key);
}

void vault_cert_import(const struct vault_cert_call *call, struct gw_x509_bundle *bundle,
                       const json_t *policy, const struct vault_change *change, bool pem,
                       bool keep_order)
{
    struct import *i = cert_job_new(sizeof *i, call);
    if (!i) {
        gw_x509_bundle_clear(bundle);
        return;
    }
    i->job.clear = clear;
    i->bundle = *bundle;
    *bundle = (struct gw_x509_bundle){0};
    i->pem = pem;
    i->keep_order = keep_order;
    i->enabled = change->has_enabled ? change->enabled : true;
    i->tags = cert_tags_json(change->tags, change->tag_count);
    i->change = policy ? json_deep_copy(policy) : NULL;
    if (!i->tags || (policy && !i->change))
        cert_job_end(&i->job, KW_E_NOMEM);
    else
        cert_job_load(&i->job, on_loaded);
}

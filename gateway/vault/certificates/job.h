#pragma once
/* Inside the certificates of the vault: what every call carries, and the steps that several share.
 */

#include "gateway/vault/certificates/certificates.h"
#include "gateway/vault/certificates/doc.h"
#include "gateway/vault/certificates/policy.h"
#include "gateway/vault/lifecycle.h"
#include "gateway/vault/vault.h"

#define CERT_TRIES_MAX 16

/** The callback of vault_cert_kind. */
typedef void vault_cert_object_fn(void *ctx, kw_status status, struct vault_object *object);

/* --- the job --- */

/** First member of every call's own structure. */
struct cert_job {
    struct vault *vault;
    struct gw_loop *loop;
    vault_cert_fn *done; /* NULL: nobody waits */
    void *ctx;
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1]; /* as it was asked for; once loaded, as it is spelled */
    char version[STORE_VERSION_LEN + 1];
    bool deleted; /* of the deleted objects */
    unsigned tries;

    /* what cert_job_load found; NULL: not there */
    struct vault_cert *cert;
    json_t *policy, *pending;
    uint8_t cert_hash[VAULT_DOC_HASH], policy_hash[VAULT_DOC_HASH], pending_hash[VAULT_DOC_HASH];

    /* for the answer */
    const char *why;
    char why_text[VAULT_POLICY_WHY];
    enum store_conflict conflict;
    enum store_kind conflict_kind;
    bool in_progress;

    unsigned step;
    void (*next)(struct cert_job *job);
    void (*clear)(struct cert_job *job); /* frees what the call added; may be NULL */
};

/** `size` zeroed bytes that begin with a cert_job. NULL: answered. */
void *cert_job_new(size_t size, const struct vault_cert_call *call);
/** Reads certificate, policy and operation anew, then goes on with `next`; ends the job when the
 * store fails. What is not there is no failure. */
void cert_job_load(struct cert_job *job, void (*next)(struct cert_job *job));
/** Answers and frees. */
void cert_job_end(struct cert_job *job, kw_status status);
/** The same with a sentence (static). */
void cert_job_refuse(struct cert_job *job, kw_status status, const char *why);
/** What a refused store_apply says, for the answer. */
void cert_job_note(struct cert_job *job, const struct store_result *result,
                   const struct store_change *changes);
struct store_ref cert_ref(const struct cert_job *job, enum store_kind kind, const char *version);

/* --- operations --- */

/** True while the operation is to be finished. */
bool cert_in_progress(const json_t *pending);
/** The version it makes; "" when the document is damaged. */
const char *cert_pending_version(const json_t *pending);

/* --- keys --- */

/** Makes a key that is not stored yet. */
struct cert_keying {
    struct vault *vault;
    struct gw_loop *loop;
    void (*done)(struct cert_keying *keying, kw_status status);
    struct vault_key *key; /* usable; one reference, NULL until it is made */
    uint8_t id[KW_KEY_ID_LEN];
    struct pool_op op;
    struct pool_generated generated;
    struct pool_proof proof;
};

/** A new key as `policy` wants it, under a version that is drawn here. `done` runs later. */
void cert_key_generate(struct cert_keying *keying, const struct cert_job *job,
                       const struct vault_policy *policy);
/** The same for a key from a file. */
void cert_key_import(struct cert_keying *keying, const struct cert_job *job,
                     const struct vault_policy *policy, struct kc_key *key);
/** The same for the key of the version before, where it fits `policy`; else as generate. */
void cert_key_again(struct cert_keying *keying, const struct cert_job *job,
                    const struct vault_policy *policy, const struct vault_key *before);
void cert_keying_clear(struct cert_keying *keying);

/** A key as part of an operation, and back. NULL, or a status, on failure. */
json_t *cert_key_json(const struct vault_key *key);
KW_MUST_CHECK kw_status cert_key_of_json(struct vault_key **out, struct vault *vault,
                                         const char *vault_name, const char *name,
                                         const json_t *pending);

/** Signs a draft in the pool. */
struct cert_signing {
    struct gw_x509_draft draft; /* cleared before `done` */
    struct vault_key *key;      /* borrowed */
    void (*done)(struct cert_signing *signing, kw_status status);
    uint8_t *der; /* malloc'd; the owner takes it */
    size_t der_len;
    struct pool_op op;
    uint8_t room[KW_RSA_MAX_BYTES];
};
void cert_sign(struct cert_signing *signing, const struct cert_job *job);

/* --- issuing --- */

/** Stores a version with its key and its secret, all in one transaction: the end of an operation,
 * of a merge and of an import. The owner fills it, with members that stay until `done`. */
struct cert_issue {
    struct cert_job *job;                          /* loaded */
    struct vault_key *key;                         /* one reference, taken over */
    struct gw_x509_bytes certs[GW_X509_CHAIN_MAX]; /* taken over */
    size_t count;
    struct vault_policy *policy; /* taken over */
    json_t *policy_doc;          /* taken over; replaces the policy; NULL: stays */
    bool enabled;
    struct vault_tag tags[VAULT_MAX_TAGS]; /* borrowed strings */
    size_t tag_count;
    bool keep_order;
    bool ends_pending; /* the job's operation is marked completed */
    void (*done)(struct cert_issue *issue, kw_status status);

    /* its own */
    struct kw_secret value; /* of the secret object */
    kw_status built;
    struct vault_cert *cert;
    struct vault_secret *secret;
    struct store_change changes[6];
    size_t change_count;
    uint8_t *records[6];
};
/** On KW_OK the job's `cert` is the new version. */
void cert_issue(struct cert_issue *issue);
void cert_issue_clear(struct cert_issue *issue);

/** Tags of a JSON object, borrowed from it. */
size_t cert_tags_of(struct vault_tag tags[VAULT_MAX_TAGS], const json_t *object);
json_t *cert_tags_json(const struct vault_tag *tags, size_t count);

/** A new version of a certificate that is there, as its policy says; `base` is the version it
 * starts from. */
void cert_renew(const struct vault_cert_call *call, const char *base);

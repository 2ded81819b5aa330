/* Keys of certificates before they are stored: generated in the pool, imported, or taken again from
 * the version before; and their signatures. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/certificates/job.h"

#define GENERATE_DEADLINE KW_S(120)
#define PROOF_DEADLINE    KW_S(20)
#define SIGN_DEADLINE     KW_S(20)

void cert_keying_clear(struct cert_keying *keying)
{
    vault_key_unref(keying->key);
    keying->key = NULL;
}

static kw_status begin(struct cert_keying *keying, const struct cert_job *job,
                       const struct vault_policy *policy)
{
    char version[STORE_VERSION_LEN + 1];
    keying->vault = job->vault;
    keying->loop = job->loop;
    KW_TRY(kw_random(keying->id, sizeof keying->id));
    vault_version_text(version, keying->id);
    keying->key = vault_key_new(job->vault_name, job->name, version);
    if (!keying->key)
        return KW_E_NOMEM;
    keying->key->hsm = policy->hsm;
    keying->key->ops = policy->ops;
    keying->key->managed = true;
    return KW_OK;
}

static void on_proven(struct pool_proof *proof)
{
    struct cert_keying *keying = proof->owner;
    keying->done(keying, proof->status);
}

static kw_status set_blob(struct vault_key *key, struct kw_span blob)
{
    key->blob = malloc(blob.len ? blob.len : 1);
    if (!key->blob)
        return KW_E_NOMEM;
    memcpy(key->blob, blob.data, blob.len);
    key->blob_len = blob.len;
    return KW_OK;
}

/** Both halves are known: usable, and shown on as many members as the group wants copies. */
static void finish(struct cert_keying *keying, const struct kc_public *pub, struct kw_span blob)
{
    struct pool_proof *proof = &keying->proof;
    kw_status status = set_blob(keying->key, blob);
    if (status == KW_OK)
        status = vault_key_make_usable(keying->vault, keying->key, pub);
    if (status != KW_OK) {
        keying->done(keying, status);
        return;
    }
    proof->key = keying->key->key;
    proof->shown_on = keying->op.served_on;
    proof->deadline_ns = kw_now_ns() + PROOF_DEADLINE;
    proof->on_done = on_proven;
    proof->owner = keying;
    pool_prove(keying->vault->port(keying->loop), proof);
}

static void on_generated(struct pool_op *op)
{
    struct cert_keying *keying = op->owner;
    if (op->lane.status != KW_OK) {
        keying->done(keying, op->lane.status);
        return;
    }
    finish(keying, &keying->generated.pub,
           kw_span_of(keying->generated.blob, keying->generated.blob_len));
}

static kw_status submit(struct cert_keying *keying, const struct vault_policy *policy)
{
    struct pool_op *op = &keying->op;
    op->generate.scope = vault_scope(keying->vault, keying->key->vault);
    if (policy->hsm)
        KW_TRY(pool_copies_possible(keying->vault->pool, op->generate.scope));
    op->lane.kind = KW_KIND_GENERATE;
    op->generate.kty = policy->kty;
    op->generate.curve = policy->curve;
    op->generate.bits = policy->bits;
    op->generate.exponent = 65537;
    op->generate.hsm = policy->hsm;
    memcpy(op->generate.key_id, keying->id, sizeof keying->id);
    op->generate.out = &keying->generated;
    op->deadline_ns = kw_now_ns() + GENERATE_DEADLINE;
    op->on_done = on_generated;
    op->owner = keying;
    return pool_submit(keying->vault->port(keying->loop), op);
}

void cert_key_generate(struct cert_keying *keying, const struct cert_job *job,
                       const struct vault_policy *policy)
{
    kw_status status = begin(keying, job, policy);
    if (status == KW_OK)
        status = submit(keying, policy);
    if (status != KW_OK)
        keying->done(keying, status);
}

void cert_key_import(struct cert_keying *keying, const struct cert_job *job,
                     const struct vault_policy *policy, struct kc_key *key)
{
    struct kw_buf blob = {.data = keying->generated.blob, .cap = sizeof keying->generated.blob};
    kw_status status = begin(keying, job, policy);
    if (status == KW_OK)
        status = pool_key_wrap(job->vault->pool, keying->id, key, policy->hsm, &blob);
    if (status == KW_OK)
        finish(keying, kc_key_public(key), kw_buf_span(&blob));
    else
        keying->done(keying, status);
}

static bool fits(const struct vault_key *key, const struct vault_policy *policy)
{
    const struct kc_public *pub = pool_key_public(key->key);
    return key->hsm == policy->hsm && pub->kty == policy->kty && pub->bits == policy->bits &&
           pub->curve == policy->curve;
}

/** A software blob is bound to the id of its version: opened and wrapped again. One for members is
 *  not, and cannot be opened here. */
static kw_status rewrap(struct cert_keying *keying, const struct vault_key *before,
                        struct kw_buf *blob)
{
    struct kw_span old = kw_span_of(before->blob, before->blob_len);
    struct kc_key *key = NULL;
    uint8_t id[KW_KEY_ID_LEN];
    if (before->hsm) {
        memcpy(blob->data, old.data, old.len);
        blob->len = old.len;
        return KW_OK;
    }
    KW_TRY(vault_version_id(id, before->version));
    KW_TRY(kc_blob_open(keying->vault->domain, id, old, false, &key));
    kw_status status = pool_key_wrap(keying->vault->pool, keying->id, key, false, blob);
    kc_key_unref(key);
    return status;
}

void cert_key_again(struct cert_keying *keying, const struct cert_job *job,
                    const struct vault_policy *policy, const struct vault_key *before)
{
    struct kw_buf blob = {.data = keying->generated.blob, .cap = sizeof keying->generated.blob};
    if (!fits(before, policy)) {
        cert_key_generate(keying, job, policy);
        return;
    }
    kw_status status = begin(keying, job, policy);
    if (status == KW_OK)
        status = rewrap(keying, before, &blob);
    if (status == KW_OK)
        finish(keying, pool_key_public(before->key), kw_buf_span(&blob));
    else
        keying->done(keying, status);
}

/* --- as part of an operation --- */

json_t *cert_key_json(const struct vault_key *key)
{
    const struct kc_public *pub = pool_key_public(key->key);
    return json_pack("{s:i,s:i,s:i,s:b,s:i,s:o,s:o,s:o,s:o,s:o}", "kty", (int)pub->kty, "curve",
                     (int)pub->curve, "bits", (int)pub->bits, "hsm", key->hsm, "ops", (int)key->ops,
                     "n", vault_doc_bytes(kw_span_of(pub->n, pub->n_len)), "e",
                     vault_doc_bytes(kw_span_of(pub->e, pub->e_len)), "x",
                     vault_doc_bytes(kw_span_of(pub->x, pub->coord_len)), "y",
                     vault_doc_bytes(kw_span_of(pub->y, pub->coord_len)), "blob",
                     vault_doc_bytes(kw_span_of(key->blob, key->blob_len)));
}

static bool take_part(const json_t *object, const char *name, uint8_t *out, size_t room,
                      size_t *len)
{
    uint8_t *bytes = NULL;
    if (!vault_doc_take_bytes(json_object_get(object, name), room, &bytes, len))
        return false;
    memcpy(out, bytes, *len);
    free(bytes);
    return true;
}

static bool take_public(struct kc_public *pub, const json_t *object)
{
    size_t x = 0, y = 0;
    pub->kty = (enum kw_kty)json_integer_value(json_object_get(object, "kty"));
    pub->curve = (enum kw_curve)json_integer_value(json_object_get(object, "curve"));
    pub->bits = (unsigned)json_integer_value(json_object_get(object, "bits"));
    bool ok = take_part(object, "n", pub->n, sizeof pub->n, &pub->n_len) &&
              take_part(object, "e", pub->e, sizeof pub->e, &pub->e_len) &&
              take_part(object, "x", pub->x, sizeof pub->x, &x) &&
              take_part(object, "y", pub->y, sizeof pub->y, &y) && x == y;
    pub->coord_len = x;
    return ok;
}

kw_status cert_key_of_json(struct vault_key **out, struct vault *vault, const char *vault_name,
                           const char *name, const json_t *pending)
{
    const json_t *object = json_object_get(pending, "key");
    struct kc_public pub = {0};
    struct vault_key *key = vault_key_new(vault_name, name, cert_pending_version(pending));
    if (!key)
        return KW_E_NOMEM;
    key->managed = true;
    key->hsm = json_is_true(json_object_get(object, "hsm"));
    key->ops = (uint16_t)json_integer_value(json_object_get(object, "ops"));
    bool whole =
        take_public(&pub, object) && vault_doc_take_bytes(json_object_get(object, "blob"),
                                                          KC_BLOB_MAX, &key->blob, &key->blob_len);
    kw_status status = whole ? vault_key_make_usable(vault, key, &pub) : KW_E_INTEGRITY;
    if (status != KW_OK) {
        vault_key_unref(key);
        return status;
    }
    *out = key;
    return KW_OK;
}

/* --- signing --- */

static void on_signed(struct pool_op *op)
{
    struct cert_signing *signing = op->owner;
    kw_status status = op->lane.status;
    if (status == KW_OK)
        status = gw_x509_draft_finish(&signing->draft, kw_buf_span(&op->lane.out), &signing->der,
                                      &signing->der_len);
    gw_x509_draft_clear(&signing->draft);
    signing->done(signing, status);
}

void cert_sign(struct cert_signing *signing, const struct cert_job *job)
{
    struct pool_op *op = &signing->op;
    *op = (struct pool_op){.key = signing->key->key,
                           .deadline_ns = kw_now_ns() + SIGN_DEADLINE,
                           .on_done = on_signed,
                           .owner = signing};
    op->lane.kind = KW_KIND_SIGN;
    op->lane.alg = signing->draft.alg;
    op->lane.in = kw_span_of(signing->draft.digest, signing->draft.digest_len);
    op->lane.out = (struct kw_buf){.data = signing->room, .cap = sizeof signing->room};
    kw_status status = pool_submit(job->vault->port(job->loop), op);
    if (status != KW_OK) {
        gw_x509_draft_clear(&signing->draft);
        signing->done(signing, status);
    }
}

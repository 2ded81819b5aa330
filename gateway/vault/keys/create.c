/* New versions: generated in the pool or imported, shown to work on as many members as the group
 * wants copies, then sealed, stored, published, answered. Nothing is kept anywhere before the
 * store's commit (in a member the key is a session object, in the gateway it is memory): a crash
 * leaves the whole version or none of it. */

#include <stdlib.h>

#include "crypto/base/clock.h"
#include "gateway/vault/vault.h"

#define GENERATE_DEADLINE KW_S(120) /* RSA-4096 inside a busy HSM takes tens of seconds */
#define PROOF_DEADLINE    KW_S(20)  /* loading and one use, on each member in turn */

struct creation {
    struct vault_job job;
    struct vault_key *key; /* being made; one reference */
    uint8_t id[KW_KEY_ID_LEN];
    struct pool_op op;
    struct pool_generated generated;
    struct pool_proof proof;
};

static void end(struct creation *creation, kw_status status)
{
    struct vault_key *key = creation->key;
    vault_job_end(&creation->job, status, key ? &key->object : NULL);
    vault_key_unref(key);
}

/** The key as it was asked for, with a new id, without its halves. */
static kw_status begin_key(struct creation *creation, const struct vault_key_request *req)
{
    struct vault_job *job = &creation->job;
    KW_TRY(kw_random(creation->id, sizeof creation->id));
    vault_version_text(job->version, creation->id);
    struct vault_key *key = vault_key_new(job->vault_name, job->name, job->version);
    if (!key)
        return KW_E_NOMEM;
    creation->key = key;
    job->has_terms = req->terms != NULL;
    if (req->terms)
        job->terms = *req->terms;
    key->hsm = req->hsm;
    key->ops = req->ops;
    key->op_import = req->op_import;
    key->op_export = req->op_export;
    key->attributes = req->attributes;
    key->attributes.created = key->attributes.updated = kw_wall_s();
    return vault_object_set_tags(&key->object, req->tags, req->tag_count);
}

static struct creation *begin(struct vault *vault, struct gw_loop *loop,
                              const struct vault_key_request *req, vault_key_fn *done, void *ctx)
{
    const struct vault_call call = {.kind = &vault_key_kind,
                                    .vault = vault,
                                    .loop = loop,
                                    .vault_name = req->vault,
                                    .name = kw_span_str(req->name),
                                    .done = (vault_any_fn *)done,
                                    .ctx = ctx};
    struct creation *creation = vault_job_create(sizeof *creation, &call);
    if (!creation)
        return NULL;
    kw_status status = begin_key(creation, req);
    if (status != KW_OK) {
        end(creation, status);
        return NULL;
    }
    return creation;
}

static void on_proven(struct pool_proof *proof)
{
    struct creation *creation = proof->owner;
    if (proof->status == KW_OK)
        vault_job_put(&creation->job, &creation->key->object);
    else
        end(creation, proof->status);
}

/** Both halves are known: make it usable, have it shown on other members, store it. */
static kw_status finish_key(struct creation *creation, const struct kc_public *pub,
                            struct kw_span blob)
{
    struct vault_job *job = &creation->job;
    struct vault_key *key = creation->key;
    key->blob = malloc(blob.len ? blob.len : 1);
    if (!key->blob)
        return KW_E_NOMEM;
    memcpy(key->blob, blob.data, blob.len);
    key->blob_len = blob.len;
    KW_TRY(vault_key_make_usable(job->vault, key, pub));
    struct pool_proof *proof = &creation->proof;
    proof->key = key->key;
    proof->shown_on = creation->op.served_on; /* an import was nowhere yet */
    proof->deadline_ns = kw_now_ns() + PROOF_DEADLINE;
    proof->on_done = on_proven;
    proof->owner = creation;
    pool_prove(job->vault->port(job->loop), proof);
    return KW_OK;
}

static void on_generated(struct pool_op *op)
{
    struct creation *creation = op->owner;
    kw_status status = op->lane.status;
    if (status == KW_OK)
        status = finish_key(creation, &creation->generated.pub,
                            kw_span_of(creation->generated.blob, creation->generated.blob_len));
    if (status != KW_OK)
        end(creation, status);
}

/** The name is free or live: generate. A deleted one is refused before an HSM spends seconds. */
static void on_checked(void *ctx, struct store_result *result)
{
    struct creation *creation = ctx;
    struct vault_job *job = &creation->job;
    kw_status status = result->status == KW_E_NOT_FOUND ? KW_OK : result->status;
    if (result->status == KW_OK)
        status = KW_E_CONFLICT;
    if (status == KW_OK && creation->key->hsm)
        status = pool_copies_possible(job->vault->pool, creation->op.generate.scope);
    if (status == KW_OK) {
        creation->op.deadline_ns = kw_now_ns() + GENERATE_DEADLINE;
        status = pool_submit(job->vault->port(job->loop), &creation->op);
    }
    if (status != KW_OK)
        end(creation, status);
}

void vault_key_create(struct vault *vault, struct gw_loop *loop,
                      const struct vault_key_request *req, vault_key_fn *done, void *ctx)
{
    if (store_read_only(vault->store)) {
        done(ctx, KW_E_UNAVAILABLE, NULL);
        return;
    }
    struct creation *creation = begin(vault, loop, req, done, ctx);
    if (!creation)
        return;
    struct pool_op *op = &creation->op;
    op->lane.kind = KW_KIND_GENERATE;
    op->generate.kty = req->kty;
    op->generate.curve = req->curve;
    op->generate.bits = req->bits;
    op->generate.exponent = req->exponent;
    op->generate.hsm = req->hsm;
    op->generate.scope = vault_scope(vault, req->vault);
    memcpy(op->generate.key_id, creation->id, sizeof creation->id);
    op->generate.out = &creation->generated;
    op->on_done = on_generated;
    op->owner = creation;
    struct store_ref ref = vault_job_ref(&creation->job);
    store_get_deleted(vault->store, loop, &ref, on_checked, creation);
}

void vault_key_import(struct vault *vault, struct gw_loop *loop,
                      const struct vault_key_request *req, struct kc_key *key, vault_key_fn *done,
                      void *ctx)
{
    struct creation *creation = begin(vault, loop, req, done, ctx);
    if (!creation)
        return;
    struct kw_buf blob = {.data = creation->generated.blob, .cap = sizeof creation->generated.blob};
    kw_status status = pool_key_wrap(vault->pool, creation->id, key, req->hsm, &blob);
    if (status == KW_OK)
        status = finish_key(creation, kc_key_public(key), kw_buf_span(&blob));
    if (status != KW_OK)
        end(creation, status);
}

static kw_status adopt(struct creation *creation, const struct vault_resident *resident,
                       const struct kc_public *pub)
{
    struct vault_key *key = creation->key;
    key->hsm = true;
    key->resident = malloc(sizeof *resident);
    if (!key->resident)
        return KW_E_NOMEM;
    *key->resident = *resident;
    KW_TRY(vault_key_make_usable(creation->job.vault, key, pub));
    vault_job_put(&creation->job, &key->object);
    return KW_OK;
}

void vault_key_adopt(struct vault *vault, struct gw_loop *loop, const struct vault_key_request *req,
                     const struct vault_resident *resident, const struct kc_public *pub,
                     vault_key_fn *done, void *ctx)
{
    struct creation *creation = begin(vault, loop, req, done, ctx);
    if (!creation)
        return;
    kw_status status = adopt(creation, resident, pub);
    if (status != KW_OK)
        end(creation, status);
}

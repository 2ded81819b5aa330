#include "pool/prove.h"

#include "crypto/base/secret.h"
#include "pool/key.h"
#include "pool/port.h"
#include "pool/slot.h"

/* A member that runs and can make keys of the scope; a remote one cannot. */
static bool makes(const struct pool_member *member, unsigned scope)
{
    return pool_slot_runs(member) && member->config.kind != POOL_MEMBER_REMOTE &&
           (scope == 0 || (member->config.scopes >> scope & 1) != 0);
}

/* No more than there are members that can make keys. */
static unsigned copies(struct pool *pool, unsigned scope)
{
    unsigned makers = 0, wanted = pool_config(pool)->min_copies;
    if (scope == 0) {
        makers = pool->makers;
    }
    for (unsigned i = 0; scope != 0 && i < pool->member_count; i++) {
        makers += makes(&pool->members[i], scope);
    }
    makers = makers > 0 ? makers : 1;
    return wanted < makers ? wanted : makers;
}

static unsigned wanted(struct pool *pool, const struct pool_key *key)
{
    return !pool_key_is_hsm(key) || pool_is_core_alone(pool) ? 0 : copies(pool, key->scope);
}

/* Remote members make no keys and hold none of the new ones. */
static uint64_t remotes(const struct pool *pool)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct pool_member *member = &pool->members[i];
        mask |= (uint64_t)(pool_slot_runs(member) && member->config.kind == POOL_MEMBER_REMOTE)
                << i;
    }
    return mask;
}

kw_status pool_copies_possible(struct pool *pool, unsigned scope)
{
    unsigned ready = 0;
    if (pool_is_core_alone(pool)) {
        return KW_OK;
    }
    for (unsigned i = 0; i < pool->member_count; i++) {
        ready += makes(&pool->members[i], scope) && pool_member_accepts(&pool->members[i]);
    }
    return ready >= copies(pool, scope) ? KW_OK : KW_E_COPIES;
}

static void finish(struct pool_proof *proof, kw_status status)
{
    proof->status = status;
    proof->on_done(proof);
}

/** The operation that shows a key: what to do, and on how many bytes. */
static enum kw_alg alg_of(const struct kc_public *pub, enum kw_kind *kind, size_t *len)
{
    static const enum kw_alg by_curve[] = {
        [KW_CURVE_P256] = KW_ALG_ES256,
        [KW_CURVE_P384] = KW_ALG_ES384,
        [KW_CURVE_P521] = KW_ALG_ES512,
        [KW_CURVE_P256K] = KW_ALG_ES256K,
    };
    enum kw_alg alg = KW_ALG_RS256;
    *kind = KW_KIND_SIGN;
    if (pub->kty == KW_KTY_OCT) {
        *kind = KW_KIND_ENCRYPT;
        *len = KW_AES_BLOCK_LEN;
        return pub->bits == 128   ? KW_ALG_A128CBC
               : pub->bits == 192 ? KW_ALG_A192CBC
                                  : KW_ALG_A256CBC;
    }
    if (pub->kty == KW_KTY_EC) {
        alg = by_curve[pub->curve];
    }
    *len = kw_alg_info(alg)->digest_len;
    return alg;
}

static void ask_next(struct pool_proof *proof);

static void on_shown(struct pool_op *op)
{
    struct pool_proof *proof = op->owner;
    kw_status status = op->lane.status;
    if (status == KW_E_UNAVAILABLE || status == KW_E_UNSUPPORTED) {
        status = KW_E_COPIES; /* those that are left cannot show it */
    }
    if (status != KW_OK) {
        finish(proof, status);
        return;
    }
    if (op->lane.kind == KW_KIND_ENCRYPT) {
        if (op->lane.out.len != KW_AES_BLOCK_LEN ||
            (proof->has_first && memcmp(proof->first, proof->out, KW_AES_BLOCK_LEN) != 0)) {
            finish(proof, KW_E_INTEGRITY);
            return;
        }
        memcpy(proof->first, proof->out, KW_AES_BLOCK_LEN);
        proof->has_first = true;
    }
    proof->shown_on |= op->served_on;
    ask_next(proof);
}

static void ask_next(struct pool_proof *proof)
{
    static const uint8_t zero_iv[KW_AES_BLOCK_LEN];
    if ((unsigned)__builtin_popcountll(proof->shown_on) >= wanted(proof->port->pool, proof->key)) {
        finish(proof, KW_OK);
        return;
    }
    struct pool_op *op = &proof->op;
    size_t len = 0;
    *op = (struct pool_op){.key = proof->key,
                           .deadline_ns = proof->deadline_ns,
                           .avoid = proof->shown_on | remotes(proof->port->pool),
                           .on_done = on_shown,
                           .owner = proof};
    op->lane.alg = alg_of(pool_key_public(proof->key), &op->lane.kind, &len);
    op->lane.in = kw_span_of(proof->plain, len);
    op->lane.out = (struct kw_buf){proof->out, 0, sizeof proof->out};
    if (op->lane.kind == KW_KIND_ENCRYPT) {
        op->lane.iv = kw_span_of(zero_iv, sizeof zero_iv);
    }
    kw_status status = pool_submit(proof->port, op);
    if (status != KW_OK) {
        finish(proof,
               status == KW_E_UNAVAILABLE || status == KW_E_UNSUPPORTED ? KW_E_COPIES : status);
    }
}

void pool_prove(struct pool_port *port, struct pool_proof *proof)
{
    proof->port = port;
    proof->has_first = false;
    if (wanted(port->pool, proof->key) == 0) {
        finish(proof, KW_OK);
        return;
    }
    if (pool_key_public(proof->key)->kty == KW_KTY_OCT) {
        proof->shown_on = 0; /* results are compared, so everyone is asked for the same block */
    }
    kw_status status = kw_random(proof->plain, sizeof proof->plain);
    if (status != KW_OK) {
        finish(proof, status);
        return;
    }
    ask_next(proof);
}

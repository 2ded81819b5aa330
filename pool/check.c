#include "pool/check.h"

#include <stdlib.h>

#include "pool/group.h"
#include "pool/key.h"

/* A check is an operation of the pool's own: a VERIFY of the answer against the request, run by the
 * core. RSA ones are cheap and run in the port's next batch, beside clients' verifications; ECDSA
 * ones cost as much as a signature and go to the core's workers. */
struct pool_check {
    struct pool_check *next; /* port's free list */
    struct pool_op verify;
    struct pool_op *subject;
};

bool pool_check_wanted(const struct pool_op *op, const struct pool_member *member)
{
    if (member->type == &pool_member_core) {
        return false;
    }
    if (op->lane.kind == KW_KIND_GENERATE) {
        return true;
    }
    if (op->lane.kind != KW_KIND_SIGN) {
        return false;
    }
    switch (kw_alg_info(op->lane.alg)->family) {
    case KW_FAMILY_RSA_PKCS1:
    case KW_FAMILY_RSA_PSS:
    case KW_FAMILY_ECDSA:
        return true;
    default:
        return false;
    }
}

static struct pool_check *take(struct pool_port *port)
{
    struct pool_check *check = port->checks_free;
    if (check != NULL) {
        port->checks_free = check->next;
        return check;
    }
    return calloc(1, sizeof *check);
}

static void check_done(struct pool_op *verify)
{
    struct pool_check *check = verify->owner;
    struct pool_op *subject = check->subject;
    struct pool_port *port = subject->port;
    kw_status verdict = verify->lane.status;
    if (verdict == KW_OK && !verify->lane.valid) {
        verdict = KW_E_CRYPTO;
    }
    check->next = port->checks_free;
    port->checks_free = check;
    pool_group_checked(subject, verdict);
}

/* A new key's public half must be one, and the one that was asked for. It is kept as the core
 * writes it: what is stored is later held against what the blob opens to, byte by byte. */
static kw_status check_generated(const struct pool_op *op)
{
    struct pool_generated *made = op->generate.out;
    const struct kc_public *pub = &made->pub;
    if (pub->kty != op->generate.kty || made->blob_len == 0 || made->blob_len > KC_BLOB_MAX) {
        return KW_E_CRYPTO;
    }
    if (pub->kty == KW_KTY_OCT) {
        return pub->bits == op->generate.bits ? KW_OK : KW_E_CRYPTO;
    }
    if (pub->kty == KW_KTY_RSA ? pub->bits != op->generate.bits
                               : pub->curve != op->generate.curve) {
        return KW_E_CRYPTO;
    }
    struct kc_key *key = NULL;
    kw_status status = kc_key_from_public(&key, pub);
    if (status == KW_OK) {
        made->pub = *kc_key_public(key);
    }
    kc_key_unref(key);
    return status == KW_E_INPUT || status == KW_E_UNSUPPORTED ? KW_E_CRYPTO : status;
}

static struct pool_op *prepare(struct pool_check *check, struct pool_op *subject)
{
    struct pool_op *verify = &check->verify;
    *verify = (struct pool_op){
        .lane =
            {
                .key = pool_key_core(subject->key),
                .kind = KW_KIND_VERIFY,
                .alg = subject->lane.alg,
                .in = subject->lane.in,
                .sig = kw_buf_span(&subject->lane.out),
            },
        .key = subject->key,
        .deadline_ns = subject->deadline_ns,
        .on_done = check_done,
        .owner = check,
        .port = subject->port,
        .flags = POOL_OP_INTERNAL,
        .submitted_ns = subject->port->now_ns,
    };
    check->subject = subject;
    return verify;
}

void pool_check_begin(struct pool_op *op)
{
    struct pool_port *port = op->port;
    if (op->lane.kind == KW_KIND_GENERATE) {
        pool_group_checked(op, check_generated(op));
        return;
    }
    struct pool_check *check = take(port);
    if (check == NULL) {
        pool_group_checked(op, KW_E_NOMEM);
        return;
    }
    struct pool_op *verify = prepare(check, op);
    if (op->lane.out.len > op->lane.out.cap ||
        kc_lanes_shape(&verify->lane, &verify->shape) != KW_OK) {
        /* not even the length of a signature of this key */
        check->next = port->checks_free;
        port->checks_free = check;
        pool_group_checked(op, KW_E_CRYPTO);
        return;
    }
    port->in_flight++;
    pool_op_set_state(verify, POOL_OP_ACCEPTED);
    pool_group_assign(verify, pool_core(port->pool));
}

void pool_check_free_all(struct pool_port *port)
{
    while (port->checks_free != NULL) {
        struct pool_check *check = port->checks_free;
        port->checks_free = check->next;
        free(check);
    }
}

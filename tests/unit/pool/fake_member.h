#pragma once
/* A scripted member for tests of the group's logic: it does what the test says of each attempt.
 * Where it answers, the answer is real: the operation runs on the private key with the real
 * kernels. */

#include <assert.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "pool/kinds.h"
#include "pool/member_state.h"
#include "pool/port.h"

enum fake_script {
    FAKE_ANSWER,      /* the right answer */
    FAKE_HOLD,        /* keeps the op until fake_release or detach */
    FAKE_OTHER,       /* fails over, charged */
    FAKE_OTHER_FREE,  /* fails over, not charged */
    FAKE_UNSUPPORTED, /* cannot */
    FAKE_INPUT,       /* the caller's fault */
    FAKE_FLIP,        /* right answer with one bit changed */
    FAKE_SHORT,       /* right answer, one byte short */
    FAKE_ZERO,        /* all zero bytes */
    FAKE_STRANGER,    /* a valid signature by another key */
    FAKE_PADDED,      /* a new EC key whose coordinates begin with a zero too much */
    FAKE_RANDOM_VERDICT
};

#define FAKE_MAX 6

struct fake {
    struct pool_member *member;
    _Atomic int script;
    _Atomic bool alive;        /* supervise brings it up */
    _Atomic bool at_once;      /* returns inside submit */
    _Atomic bool skip_warming; /* goes up without slow start */
    _Atomic unsigned attempts, starts;
    struct pool_op *first, *last; /* gathered or held; port's thread */
    unsigned held, abandoned;
    const struct kc_key *key, *stranger;
    struct kc_scratch *scratch;
    unsigned seed;
};

static struct fake fakes[FAKE_MAX];

static inline void fake_reset(void)
{
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        struct kc_scratch *scratch = fakes[i].scratch;
        memset(&fakes[i], 0, sizeof fakes[i]);
        fakes[i].scratch = scratch;
        fakes[i].alive = true;
        fakes[i].skip_warming = true;
        fakes[i].seed = i + 1;
        if (fakes[i].scratch == NULL) {
            fakes[i].scratch = kc_scratch_create();
        }
    }
}

static inline void fake_free(void)
{
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        kc_scratch_destroy(fakes[i].scratch);
        fakes[i].scratch = NULL;
    }
}

/* members are named "m0", "m1", ...: the digit is the index */
static inline struct fake *fake_of(const struct pool_member *member)
{
    return &fakes[member->config.name[1] - '0'];
}

static inline void fake_run(struct fake *fake, struct pool_op *op, const struct kc_key *key)
{
    const struct kc_key *was = op->lane.key;
    struct kc_lane_op *lane = &op->lane;
    enum kc_shape shape;
    lane->key = key;
    lane->status = kc_lanes_shape(lane, &shape);
    if (lane->status == KW_OK) {
        kc_lanes_run(&lane, 1, shape, fake->scratch);
    }
    lane->key = was;
}

static inline kw_status fake_generate(struct pool_op *op)
{
    struct kc_key *key = NULL;
    struct kw_buf blob = {.data = op->generate.out->blob, .cap = KC_BLOB_MAX};
    kw_status status = kc_key_generate(&key, op->generate.kty, op->generate.bits,
                                       op->generate.curve, op->generate.exponent);
    if (status == KW_OK) {
        status = kc_blob_wrap(pool_domain(op->port->pool), op->generate.key_id, key, true, &blob);
        op->generate.out->pub = *kc_key_public(key);
        op->generate.out->blob_len = blob.len;
    }
    kc_key_unref(key);
    return status;
}

static inline void fake_answer(struct fake *fake, struct pool_op *op, enum fake_script script)
{
    if (op->lane.kind == KW_KIND_GENERATE) {
        op->lane.status = fake_generate(op);
        if (script == FAKE_FLIP) {
            op->generate.out->pub.bits ^= 64;
            op->generate.out->pub.curve = KW_CURVE_NONE;
        } else if (script == FAKE_PADDED) {
            struct kc_public *pub = &op->generate.out->pub;
            memmove(pub->x + 1, pub->x, pub->coord_len);
            memmove(pub->y + 1, pub->y, pub->coord_len);
            pub->x[0] = pub->y[0] = 0;
            pub->coord_len++;
            pub->bits = 1;
        }
    } else if (op->lane.kind == KW_KIND_RANDOM) {
        memset(op->lane.out.data, 0x5a, op->lane.out.cap);
        op->lane.out.len = op->lane.out.cap;
        op->lane.status = KW_OK;
    } else {
        fake_run(fake, op, script == FAKE_STRANGER ? fake->stranger : fake->key);
        if (script == FAKE_FLIP) {
            op->lane.out.data[op->lane.out.len / 2] ^= 0x10;
        } else if (script == FAKE_SHORT) {
            op->lane.out.len--;
        } else if (script == FAKE_ZERO) {
            memset(op->lane.out.data, 0, op->lane.out.len);
        }
    }
    pool_op_return(op->serving, op, POOL_VERDICT_DONE, NULL);
}

static inline void fake_act(struct fake *fake, struct pool_op *op)
{
    enum fake_script script = (enum fake_script)atomic_load(&fake->script);
    if (script == FAKE_RANDOM_VERDICT) {
        static const enum fake_script any[] = {FAKE_ANSWER, FAKE_OTHER_FREE, FAKE_ANSWER,
                                               FAKE_HOLD,   FAKE_INPUT,      FAKE_UNSUPPORTED,
                                               FAKE_ANSWER};
        script = any[(unsigned)rand_r(&fake->seed) % (sizeof any / sizeof any[0])];
    }
    switch (script) {
    case FAKE_HOLD:
        op->next = NULL;
        if (fake->last != NULL) {
            fake->last->next = op;
        } else {
            fake->first = op;
        }
        fake->last = op;
        fake->held++;
        return;
    case FAKE_OTHER:
        pool_op_return(op->serving, op, POOL_VERDICT_OTHER, "scripted");
        return;
    case FAKE_OTHER_FREE:
        pool_op_return(op->serving, op, POOL_VERDICT_OTHER_FREE, "scripted");
        return;
    case FAKE_UNSUPPORTED:
        pool_op_return(op->serving, op, POOL_VERDICT_UNSUPPORTED, "scripted");
        return;
    case FAKE_INPUT:
        op->lane.status = KW_E_CRYPTO;
        pool_op_return(op->serving, op, POOL_VERDICT_DONE, NULL);
        return;
    default:
        fake_answer(fake, op, script);
        return;
    }
}

/* Port's thread: what is held ends as the script says now (HOLD: gives it up). */
static inline void fake_release(struct fake *fake)
{
    struct pool_op *op = fake->first;
    fake->first = fake->last = NULL;
    fake->held = 0;
    while (op != NULL) {
        struct pool_op *next = op->next;
        if (atomic_load(&fake->script) == FAKE_HOLD) {
            pool_op_return(op->serving, op, POOL_VERDICT_OTHER_FREE, "given up");
        } else {
            fake_act(fake, op);
        }
        op = next;
    }
}

/* --- the type --- */

static inline kw_status fake_create(struct pool_member *member,
                                    const struct pool_member_config *config)
{
    (void)config;
    fake_of(member)->member = member;
    return KW_OK;
}

struct fake_link {
    struct pool_op *first, *last;
};

static inline kw_status fake_attach(struct pool_member *member, struct pool_port *port, void **link)
{
    (void)member;
    (void)port;
    *link = calloc(1, sizeof(struct fake_link));
    return *link != NULL ? KW_OK : KW_E_NOMEM;
}

static inline void fake_detach(struct pool_member *member, struct pool_port *port, void *link)
{
    (void)port;
    struct fake *fake = fake_of(member);
    if (fake->held > 0) {
        atomic_store(&fake->script, FAKE_HOLD);
        fake_release(fake);
    }
    struct pool_op *op = ((struct fake_link *)link)->first;
    while (op != NULL) { /* gathered in this turn */
        struct pool_op *next = op->next;
        pool_op_return(member, op, POOL_VERDICT_OTHER_FREE, "detached");
        op = next;
    }
    free(link);
}

static inline void fake_submit(struct pool_member *member, void *arg, struct pool_op *op)
{
    struct fake *fake = fake_of(member);
    struct fake_link *link = arg;
    atomic_fetch_add(&fake->attempts, 1);
    if (atomic_load(&fake->at_once)) {
        fake_act(fake, op);
        return;
    }
    op->next = NULL;
    if (link->last != NULL) {
        link->last->next = op;
    } else {
        link->first = op;
    }
    link->last = op;
}

static inline bool fake_list_remove(struct pool_op **first, struct pool_op **last,
                                    struct pool_op *op)
{
    struct pool_op *before = NULL;
    for (struct pool_op *at = *first; at != NULL; before = at, at = at->next) {
        if (at == op) {
            *(before != NULL ? &before->next : first) = op->next;
            *last = *last == op ? before : *last;
            return true;
        }
    }
    return false;
}

static inline bool fake_abandon(struct pool_member *member, void *arg, struct pool_op *op)
{
    struct fake *fake = fake_of(member);
    struct fake_link *link = arg;
    fake->abandoned++;
    if (fake_list_remove(&fake->first, &fake->last, op)) {
        fake->held--;
    } else {
        assert_true(fake_list_remove(&link->first, &link->last, op));
    }
    return false;
}

static inline void fake_flush(struct pool_member *member, void *arg)
{
    struct fake_link *link = arg;
    struct pool_op *op = link->first;
    link->first = link->last = NULL;
    while (op != NULL) {
        struct pool_op *next = op->next;
        fake_act(fake_of(member), op);
        op = next;
    }
}

static inline void fake_rise(struct pool_member *member)
{
    pool_member_transition(member, POOL_EV_LOGGED_IN, "test");
    pool_member_transition(member, POOL_EV_IN_STEP, "test");
    pool_member_transition(member, POOL_EV_PROBE_OK, "test");
    if (atomic_load(&fake_of(member)->skip_warming)) {
        pool_member_transition(member, POOL_EV_WARMED, "test");
    }
}

static inline int64_t fake_supervise(struct pool_member *member, int64_t now_ns)
{
    struct fake *fake = fake_of(member);
    int64_t next = INT64_MAX;
    switch (pool_member_health(member)) {
    case POOL_HEALTH_DOWN:
        if (pool_member_retry_due(member, now_ns, &next)) {
            atomic_fetch_add(&fake->starts, 1);
            if (!atomic_load(&fake->alive)) {
                pool_member_transition(member, POOL_EV_LOST, "still dead");
                return now_ns;
            }
            pool_member_transition(member, POOL_EV_HOST_STARTED, "test");
            fake_rise(member);
        }
        return next;
    case POOL_HEALTH_STARTING:
        if (atomic_load(&fake->alive)) {
            fake_rise(member);
        }
        return INT64_MAX;
    default:
        return INT64_MAX;
    }
}

static const struct pool_member_type fake_type = {
    .kind = "fake",
    .create = fake_create,
    .attach = fake_attach,
    .detach = fake_detach,
    .submit = fake_submit,
    .abandon = fake_abandon,
    .flush = fake_flush,
    .supervise = fake_supervise,
};

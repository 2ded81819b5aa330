#pragma once
/* A group of scripted members with one port, and operations on it: what the tests of the group's
 * logic have in common. One group at a time; each test program has its own. */

#include "tests/unit/pool/fake_member.h"

static struct kc_domain *domain;
static struct pool *pool;
static struct pool_port *port;
static struct pool_config config;
static struct pool_member_config members[FAKE_MAX];
static uint8_t digest[32] = "thirty-two bytes of some digest!";

static unsigned finished; /* calls that were answered, of this test */

/* An operation with its room, how often it was answered, and after how many others. */
struct call {
    struct pool_op op;
    uint8_t out[512];
    struct pool_generated made;
    unsigned done, place;
};

/** For a group set-up: the type that stands for PKCS#11 members, kernels and a domain. */
static inline bool group_make(const struct pool_member_type *type)
{
    pool_kind_override(POOL_MEMBER_PKCS11, type);
    return kc_lanes_init() == KW_OK && kc_domain_create(&domain) == KW_OK;
}

static inline void group_free(void)
{
    kc_domain_destroy(domain);
    fake_free();
}

/** Before each test: settings of the group, and members "m0", "m1", ... that answer. */
static inline void group_reset(struct pool_config settings, unsigned sessions)
{
    fake_reset();
    finished = 0;
    memset(members, 0, sizeof members);
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        snprintf(members[i].name, sizeof members[i].name, "m%u", i);
        members[i].kind = POOL_MEMBER_PKCS11;
        members[i].sessions = sessions;
    }
    config = settings;
    config.members = members;
}

/** After each test. */
static inline int group_stop(void **state)
{
    (void)state;
    pool_port_destroy(port);
    pool_destroy(pool);
    port = NULL;
    pool = NULL;
    return 0;
}

static inline void await_health(unsigned member, enum pool_health health)
{
    int64_t limit = kw_now_ns() + KW_S(5);
    while (pool_member_health(&pool->members[member]) != health) {
        if (kw_now_ns() > limit) {
            fail_msg("member %u is %s", member,
                     pool_health_name(pool_member_health(&pool->members[member])));
        }
        usleep(500);
    }
}

/** The first `count` members and a port, without waiting for them. */
static inline void group_create(unsigned count)
{
    config.member_count = count;
    assert_int_equal(pool_create(&pool, &config, domain), KW_OK);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
}

/** ... that have all come up, those that the test says live. */
static inline void group_start(unsigned count)
{
    group_create(count);
    for (unsigned i = 0; i < count; i++) {
        if (atomic_load(&fakes[i].alive) && members[i].kind == POOL_MEMBER_PKCS11) {
            await_health(i, fakes[i].skip_warming ? POOL_HEALTH_UP : POOL_HEALTH_WARMING);
        }
    }
}

/** A key of the group from a blob; the members answer with it, those who lie with `stranger`. */
static inline struct pool_key *group_key(const struct kc_key *key, const struct kc_key *stranger,
                                         bool hsm)
{
    struct pool_key *made;
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    struct pool_key_desc desc = {.hsm = hsm, .id = {7}, .pub = *kc_key_public(key)};
    assert_int_equal(pool_key_wrap(pool, desc.id, key, hsm, &blob), KW_OK);
    desc.blob = kw_buf_span(&blob);
    assert_int_equal(pool_key_create(&made, pool, &desc), KW_OK);
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        fakes[i].key = key;
        fakes[i].stranger = stranger;
    }
    return made;
}

static inline void script(unsigned member, enum fake_script what)
{
    atomic_store(&fakes[member].script, what);
}

static inline void call_done(struct pool_op *op)
{
    struct call *call = op->owner;
    call->done++;
    call->place = finished++;
}

/** An operation on the digest, with 20 s. */
static inline void prepare(struct call *call, struct pool_key *key, enum kw_kind kind,
                           enum kw_alg alg)
{
    memset(call, 0, sizeof *call);
    call->op.lane.kind = kind;
    call->op.lane.alg = alg;
    call->op.lane.in = kw_span_of(digest, sizeof digest);
    call->op.lane.out = (struct kw_buf){.data = call->out, .cap = sizeof call->out};
    call->op.key = key;
    call->op.deadline_ns = kw_now_ns() + KW_S(20);
    call->op.on_done = call_done;
    call->op.owner = call;
}

/** A turn of the loop: what came, or 5 ms. */
static inline void turn(void)
{
    struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
    poll(&wait, 1, 5);
    pool_port_run(port);
}

static inline void run_until(struct call *call)
{
    int64_t limit = kw_now_ns() + KW_S(10);
    pool_port_run(port);
    while (call->done == 0) {
        turn();
        assert_true(kw_now_ns() < limit);
    }
    assert_int_equal(call->done, 1);
}

static inline kw_status run_one(struct call *call)
{
    KW_TRY(pool_submit(port, &call->op));
    assert_int_equal(call->done, 0); /* never from inside pool_submit */
    run_until(call);
    return call->op.lane.status;
}

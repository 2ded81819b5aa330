/* The in-process member with real keys and real kernels: several ports on several threads, every
 * result verified by another way; the queue's limit and deadlines; key generation beside
 * signatures. */

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "pool/core/engine.h"
#include "pool/pool_impl.h"

#define THREADS    3
#define PER_THREAD 3400
#define IN_FLIGHT  64

static struct kc_domain *domain;
static struct kc_key *keys[3]; /* RSA-2048, P-256, AES-256 */
static struct pool *pool;

static int group_setup(void **state)
{
    (void)state;
    return kc_lanes_init() != KW_OK || kc_domain_create(&domain) != KW_OK ||
           kc_key_generate(&keys[0], KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&keys[1], KW_KTY_EC, 0, KW_CURVE_P256, 0) != KW_OK ||
           kc_key_generate(&keys[2], KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        kc_key_unref(keys[i]);
    }
    kc_domain_destroy(domain);
    return 0;
}

static void start(unsigned workers, unsigned queue_max)
{
    struct pool_config config = {.workers = workers, .queue_max = queue_max};
    assert_int_equal(pool_create(&pool, &config, domain), KW_OK);
}

static int teardown(void **state)
{
    (void)state;
    pool_destroy(pool);
    pool = NULL;
    return 0;
}

static struct pool_key *make_key(unsigned which, bool hsm)
{
    struct pool_key *made = NULL;
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    struct pool_key_desc desc = {.hsm = hsm, .id = {9}, .pub = *kc_key_public(keys[which])};
    assert_int_equal(pool_key_wrap(pool, desc.id, keys[which], hsm, &blob), KW_OK);
    desc.blob = kw_buf_span(&blob);
    assert_int_equal(pool_key_create(&made, pool, &desc), KW_OK);
    return made;
}

/* --- mixed load --- */

struct load;
struct slot {
    struct pool_op op;
    struct load *load;
    uint8_t in[64], out[512], first[512], iv[16];
    size_t first_len;
    unsigned type, step;
};

struct load {
    pthread_t thread;
    struct pool_port *port;
    struct pool_key *keys[3];
    struct slot slots[IN_FLIGHT];
    unsigned started, verified, wrong, open, rng;
};

enum { T_RS256, T_ES256, T_HS256, T_KW, T_GCM, T_OAEP, T_COUNT };

static const struct {
    unsigned key;
    enum kw_alg alg;
    enum kw_kind there, back;
    unsigned in_len;
} types[T_COUNT] = {
    [T_RS256] = {0, KW_ALG_RS256, KW_KIND_SIGN, KW_KIND_VERIFY, 32},
    [T_ES256] = {1, KW_ALG_ES256, KW_KIND_SIGN, KW_KIND_VERIFY, 32},
    [T_HS256] = {2, KW_ALG_HS256, KW_KIND_SIGN, KW_KIND_VERIFY, 50},
    [T_KW] = {2, KW_ALG_AES_KW, KW_KIND_WRAP, KW_KIND_UNWRAP, 32},
    [T_GCM] = {2, KW_ALG_A256GCM, KW_KIND_ENCRYPT, KW_KIND_DECRYPT, 61},
    [T_OAEP] = {0, KW_ALG_RSA_OAEP_256, KW_KIND_ENCRYPT, KW_KIND_DECRYPT, 40},
};

static void slot_done(struct pool_op *op);

/* step 0: there; step 1: back, on what step 0 gave */
static void slot_submit(struct slot *slot)
{
    struct load *load = slot->load;
    struct kc_lane_op *lane = &slot->op.lane;
    bool back = slot->step == 1;
    bool check = back && types[slot->type].back == KW_KIND_VERIFY;
    slot->op.key = load->keys[types[slot->type].key];
    slot->op.on_done = slot_done;
    slot->op.owner = slot;
    slot->op.deadline_ns = kw_now_ns() + KW_S(120);
    lane->kind = back ? types[slot->type].back : types[slot->type].there;
    lane->alg = types[slot->type].alg;
    lane->in = back && !check ? kw_span_of(slot->first, slot->first_len)
                              : kw_span_of(slot->in, types[slot->type].in_len);
    lane->sig = kw_span_of(slot->first, check ? slot->first_len : 0);
    lane->iv = kw_span_of(slot->iv, 12);
    lane->aad = kw_span_of(slot->in, 5);
    lane->out = (struct kw_buf){.data = slot->out, .cap = sizeof slot->out};
    lane->status = KW_E_INTERNAL;
    if (pool_submit(load->port, &slot->op) == KW_OK) {
        load->open++;
    } else {
        load->wrong++;
    }
}

static void slot_start(struct slot *slot)
{
    struct load *load = slot->load;
    if (load->started >= PER_THREAD) {
        return;
    }
    load->started++;
    slot->type = (unsigned)rand_r(&load->rng) % T_COUNT;
    slot->step = 0;
    for (unsigned i = 0; i < sizeof slot->in; i++) {
        slot->in[i] = (uint8_t)rand_r(&load->rng);
    }
    memcpy(slot->iv, slot->in, sizeof slot->iv);
    slot_submit(slot);
}

static void slot_done(struct pool_op *op)
{
    struct slot *slot = op->owner;
    struct load *load = slot->load;
    load->open--;
    if (op->lane.status != KW_OK || op->served_by == NULL) {
        load->wrong++;
        slot_start(slot);
        return;
    }
    if (slot->step == 0) {
        memcpy(slot->first, slot->out, op->lane.out.len);
        slot->first_len = op->lane.out.len;
        slot->step = 1;
        slot_submit(slot);
        return;
    }
    bool right = types[slot->type].back == KW_KIND_VERIFY
                     ? op->lane.valid
                     : op->lane.out.len == types[slot->type].in_len &&
                           memcmp(slot->out, slot->in, op->lane.out.len) == 0;
    load->verified += right;
    load->wrong += !right;
    slot_start(slot);
}

static void *run_load(void *arg)
{
    struct load *load = arg;
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        load->slots[i].load = load;
        slot_start(&load->slots[i]);
    }
    while (load->open > 0) {
        struct pollfd wait = {.fd = pool_port_fd(load->port), .events = POLLIN};
        pool_port_run(load->port);
        if (load->open > 0) {
            poll(&wait, 1, 100);
        }
    }
    return NULL;
}

static void ten_thousand_mixed_operations_on_three_ports(void **state)
{
    (void)state;
    static struct load loads[THREADS];
    start(2, 0);
    memset(loads, 0, sizeof loads);
    for (unsigned t = 0; t < THREADS; t++) {
        loads[t].rng = t + 1;
        for (unsigned k = 0; k < 3; k++) {
            loads[t].keys[k] = make_key(k, t % 2 == 0); /* with no member the core serves both */
        }
        assert_int_equal(pool_port_create(&loads[t].port, pool), KW_OK);
        assert_int_equal(pthread_create(&loads[t].thread, NULL, run_load, &loads[t]), 0);
    }
    struct pool_stats *stats = malloc(sizeof *stats);
    for (unsigned i = 0; i < 50; i++) { /* read while it runs */
        pool_stats_read(pool, stats);
        usleep(1000);
    }
    uint64_t total = 0, counted = 0, in_buckets = 0, lanes = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(loads[t].thread, NULL);
        assert_int_equal(loads[t].wrong, 0);
        assert_int_equal(loads[t].verified, PER_THREAD);
        total += 2 * PER_THREAD;
        if (t > 0) {
            pool_port_destroy(loads[t].port); /* counters outlive ports */
        }
    }
    pool_stats_read(pool, stats);
    assert_int_equal(stats->member_count, 1);
    for (unsigned k = 0; k < KW_KIND_COUNT; k++) {
        counted += stats->members[0].kinds[k].ok;
        assert_int_equal(stats->members[0].kinds[k].failed, 0);
        for (unsigned b = 0; b < POOL_LATENCY_BUCKETS; b++) {
            in_buckets += stats->members[0].kinds[k].buckets[b];
        }
    }
    assert_int_equal(counted, total);
    assert_int_equal(in_buckets, total);
    for (unsigned i = 0; i < POOL_LANE_BUCKETS; i++) {
        lanes += stats->batch_lanes[i];
    }
    assert_int_equal(stats->batch_lanes_sum, total);
    assert_int_equal(lanes, stats->batches);
    assert_true(stats->batches < total); /* some shared a batch */
    assert_int_equal(stats->members[0].in_flight, 0);
    assert_int_equal(stats->queue_depth, 0);
    assert_true(stats->can_serve && !stats->hsm);
    free(stats);
    pool_port_destroy(loads[0].port);
    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned k = 0; k < 3; k++) {
            pool_key_unref(loads[t].keys[k]);
        }
    }
}

/* --- limits --- */

struct call {
    struct pool_op op;
    uint8_t in[32], out[512];
    struct pool_generated made;
    unsigned done;
    int64_t done_ns;
};

static void call_done(struct pool_op *op)
{
    struct call *call = op->owner;
    call->done++;
    call->done_ns = kw_now_ns();
}

static void prepare(struct call *call, struct pool_key *key, enum kw_alg alg, int64_t deadline_ns)
{
    memset(call, 0, sizeof *call);
    call->op.lane.kind = KW_KIND_SIGN;
    call->op.lane.alg = alg;
    call->op.lane.in = kw_span_of(call->in, sizeof call->in);
    call->op.lane.out = (struct kw_buf){.data = call->out, .cap = sizeof call->out};
    call->op.key = key;
    call->op.deadline_ns = kw_now_ns() + deadline_ns;
    call->op.on_done = call_done;
    call->op.owner = call;
}

static void prepare_keygen(struct call *call, enum kw_kty kty, unsigned bits, enum kw_curve curve)
{
    prepare(call, NULL, KW_ALG_NONE, KW_S(100));
    call->op.lane.kind = KW_KIND_GENERATE;
    call->op.generate.kty = kty;
    call->op.generate.bits = bits;
    call->op.generate.curve = curve;
    call->op.generate.exponent = 65537;
    call->op.generate.hsm = true;
    call->op.generate.out = &call->made;
}

static void run_all(struct pool_port *port, struct call *calls, unsigned n)
{
    for (;;) {
        unsigned done = 0;
        pool_port_run(port);
        for (unsigned i = 0; i < n; i++) {
            done += calls[i].done;
        }
        if (done >= n) {
            return;
        }
        struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
        poll(&wait, 1, 1000);
    }
}

static void a_full_queue_is_busy(void **state)
{
    (void)state;
    enum { LIMIT = 20 };
    static struct call calls[LIMIT + 1];
    struct pool_port *port;
    start(1, LIMIT);
    struct pool_key *key = make_key(0, false);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
    for (unsigned i = 0; i <= LIMIT; i++) {
        prepare(&calls[i], key, KW_ALG_RS256, KW_S(60));
        assert_int_equal(pool_submit(port, &calls[i].op), i < LIMIT ? KW_OK : KW_E_BUSY);
    }
    run_all(port, calls, LIMIT);
    for (unsigned i = 0; i < LIMIT; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
    }
    assert_int_equal(calls[LIMIT].done, 0);
    assert_int_equal(pool_submit(port, &calls[LIMIT].op), KW_OK);
    run_all(port, &calls[LIMIT], 1);
    pool_port_destroy(port);
    pool_key_unref(key);
}

static void what_waits_too_long_is_told_in_time(void **state)
{
    (void)state;
    enum { N = 4000 };
    struct call *calls = calloc(N, sizeof *calls);
    struct pool_port *port;
    start(1, N);
    struct pool_key *key = make_key(0, false);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
    for (unsigned i = 0; i < N; i++) {
        prepare(&calls[i], key, KW_ALG_RS256, KW_MS(60));
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    run_all(port, calls, N);
    unsigned ok = 0, late = 0;
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(calls[i].done, 1);
        ok += calls[i].op.lane.status == KW_OK;
        late += calls[i].op.lane.status == KW_E_DEADLINE;
        /* 4000 signatures take many times longer: these were taken out of the queue */
        assert_true(calls[i].done_ns - calls[i].op.deadline_ns < KW_MS(400));
    }
    assert_int_equal(ok + late, N);
    assert_true(ok > 0 && late > 0);
    pool_port_destroy(port);
    pool_key_unref(key);
    free(calls);
}

static void key_generation_never_delays_a_signature(void **state)
{
    (void)state;
    enum { KEYGENS = 2, SIGNS = 20 };
    static struct call keygens[KEYGENS], signs[SIGNS], quick;
    struct pool_port *port;
    start(1, 0);
    struct pool_key *key = make_key(1, false);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
    for (unsigned i = 0; i < KEYGENS; i++) {
        prepare_keygen(&keygens[i], KW_KTY_RSA, 3072, KW_CURVE_NONE);
        assert_int_equal(pool_submit(port, &keygens[i].op), KW_OK);
    }
    prepare_keygen(&quick, KW_KTY_EC, 0, KW_CURVE_P256);
    assert_int_equal(pool_submit(port, &quick.op), KW_OK);
    for (unsigned i = 0; i < SIGNS; i++) {
        prepare(&signs[i], key, KW_ALG_ES256, KW_S(60));
        assert_int_equal(pool_submit(port, &signs[i].op), KW_OK);
    }
    run_all(port, keygens, KEYGENS);
    run_all(port, signs, SIGNS);
    run_all(port, &quick, 1);
    for (unsigned i = 0; i < SIGNS; i++) {
        assert_int_equal(signs[i].op.lane.status, KW_OK);
        assert_true(signs[i].done_ns < keygens[KEYGENS - 1].done_ns);
    }
    assert_true(quick.done_ns < keygens[KEYGENS - 1].done_ns);
    for (unsigned i = 0; i < KEYGENS; i++) {
        struct kc_key *opened;
        struct pool_generated *made = &keygens[i].made;
        assert_int_equal(keygens[i].op.lane.status, KW_OK);
        assert_int_equal(made->pub.bits, 3072);
        assert_int_equal(made->blob[1], KC_BLOB_MEMBER_KWP);
        assert_int_equal(kc_blob_open(domain, keygens[i].op.generate.key_id,
                                      kw_span_of(made->blob, made->blob_len), true, &opened),
                         KW_OK);
        assert_memory_equal(kc_key_public(opened)->n, made->pub.n, made->pub.n_len);
        kc_key_unref(opened);
    }
    pool_port_destroy(port);
    pool_key_unref(key);
}

static void a_busy_port_can_be_destroyed(void **state)
{
    (void)state;
    enum { N = 200 };
    static struct call calls[N];
    struct pool_port *port;
    start(2, 0);
    struct pool_key *key = make_key(0, false);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(pool_port_create(&port, pool), KW_OK);
        for (unsigned i = 0; i < N; i++) {
            prepare(&calls[i], key, i % 2 ? KW_ALG_RS256 : KW_ALG_PS256, KW_S(60));
            assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
        }
        if (round > 0) {
            pool_port_run(port);
        }
        pool_port_destroy(port);
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(calls[i].done, 1);
            assert_int_equal(calls[i].op.lane.status, KW_OK);
        }
    }
    pool_key_unref(key);
}

static void random_and_bad_requests(void **state)
{
    (void)state;
    static struct call call;
    struct pool_port *port;
    start(1, 0);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
    prepare(&call, NULL, KW_ALG_NONE, KW_S(5));
    call.op.lane.kind = KW_KIND_RANDOM;
    call.op.lane.out.cap = 128;
    assert_int_equal(pool_submit(port, &call.op), KW_OK);
    run_all(port, &call, 1);
    assert_int_equal(call.op.lane.out.len, 128);
    unsigned zeros = 0;
    for (unsigned i = 0; i < 128; i++) {
        zeros += call.out[i] == 0;
    }
    assert_true(zeros < 16);
    prepare_keygen(&call, KW_KTY_RSA, 1024, KW_CURVE_NONE);
    assert_int_equal(pool_submit(port, &call.op), KW_E_UNSUPPORTED);
    prepare_keygen(&call, KW_KTY_OCT, 100, KW_CURVE_NONE);
    assert_int_equal(pool_submit(port, &call.op), KW_E_UNSUPPORTED);
    prepare_keygen(&call, KW_KTY_EC, 0, KW_CURVE_NONE);
    assert_int_equal(pool_submit(port, &call.op), KW_E_UNSUPPORTED);
    pool_port_destroy(port);
}

static void blobs_of_another_domain_do_not_open(void **state)
{
    (void)state;
    struct kc_domain *other;
    struct pool_key *made;
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    struct pool_key_desc desc = {.id = {1}, .pub = *kc_key_public(keys[0])};
    start(1, 0);
    assert_int_equal(kc_domain_create(&other), KW_OK);
    assert_int_equal(kc_blob_wrap(other, desc.id, keys[0], false, &blob), KW_OK);
    desc.blob = kw_buf_span(&blob);
    assert_int_equal(pool_key_create(&made, pool, &desc), KW_E_INTEGRITY);
    assert_null(made);
    kc_domain_destroy(other);
}

static void a_blob_of_another_key_is_refused(void **state)
{
    (void)state;
    struct kc_key *other;
    struct pool_key *made;
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    start(1, 0);
    assert_int_equal(kc_key_generate(&other, KW_KTY_EC, 0, KW_CURVE_P256, 0), KW_OK);
    for (unsigned hsm = 0; hsm < 2; hsm++) {
        /* same type and size, the record of one and the blob of the other */
        struct pool_key_desc desc = {.hsm = hsm, .id = {1}, .pub = *kc_key_public(keys[1])};
        blob.len = 0;
        assert_int_equal(pool_key_wrap(pool, desc.id, other, hsm, &blob), KW_OK);
        desc.blob = kw_buf_span(&blob);
        assert_int_equal(pool_key_create(&made, pool, &desc), KW_E_INTEGRITY);
        desc.pub = *kc_key_public(other);
        assert_int_equal(pool_key_create(&made, pool, &desc), KW_OK);
        pool_key_unref(made);
    }
    kc_key_unref(other);
}

/* --- batch size --- */

static void batches_fill_lanes_or_share_out(void **state)
{
    (void)state;
    assert_int_equal(core_batch_size(0, 8, 3), 0);
    assert_int_equal(core_batch_size(1, 8, 3), 1);
    assert_int_equal(core_batch_size(5, 1, 0), 1); /* no kernel: one at a time balances best */
    assert_int_equal(core_batch_size(2, 8, 0), 2); /* nobody else is free */
    assert_int_equal(core_batch_size(2, 8, 1), 1); /* below break-even: one each */
    assert_int_equal(core_batch_size(3, 8, 3), 3); /* break-even: one kernel call */
    assert_int_equal(core_batch_size(8, 8, 3), 8);
    assert_int_equal(core_batch_size(100, 8, 3), 8);
    assert_int_equal(core_batch_size(5, 16, 1), 3);
    for (unsigned waiting = 0; waiting < 40; waiting++) {
        for (unsigned width = 1; width <= 16; width++) {
            for (unsigned idle = 0; idle < 5; idle++) {
                unsigned n = core_batch_size(waiting, width, idle);
                assert_true(n <= waiting && n <= width && (n > 0 || waiting == 0));
            }
        }
    }
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ten_thousand_mixed_operations_on_three_ports),
        TEST(a_full_queue_is_busy),
        TEST(what_waits_too_long_is_told_in_time),
        TEST(key_generation_never_delays_a_signature),
        TEST(a_busy_port_can_be_destroyed),
        TEST(random_and_bad_requests),
        TEST(blobs_of_another_domain_do_not_open),
        TEST(a_blob_of_another_key_is_refused),
        cmocka_unit_test(batches_fill_lanes_or_share_out),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

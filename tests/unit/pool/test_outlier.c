/* Members that are clearly worse than the others: who is asked last, how long, and who never is. */

#include "tests/unit/pool/fake_member.h"

#include "pool/choice.h"
#include "pool/outlier.h"

static struct kc_domain *domain;
static struct kc_key *oct_key;
static uint8_t digest[32] = "thirty-two bytes of some digest!";

static struct pool *pool;
static struct pool_port *port;
static struct pool_key *key;
static struct pool_config config;
static struct pool_member_config members[FAKE_MAX];
static _Atomic unsigned told;

struct call {
    struct pool_op op;
    uint8_t out[64];
    unsigned done;
};

static void on_done(struct pool_op *op)
{
    struct call *call = op->owner;
    call->done++;
}

static void observe(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    told += event->type == POOL_EVENT_OUTLIER;
}

static int group_setup(void **state)
{
    (void)state;
    return kc_lanes_init() != KW_OK || kc_domain_create(&domain) != KW_OK ||
           kc_key_generate(&oct_key, KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    kc_key_unref(oct_key);
    kc_domain_destroy(domain);
    fake_free();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    memset(members, 0, sizeof members);
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        snprintf(members[i].name, sizeof members[i].name, "m%u", i);
        members[i].kind = POOL_MEMBER_PKCS11;
        members[i].sessions = 4;
    }
    config = (struct pool_config){.members = members, .workers = 1, .observer = {.event = observe}};
    told = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pool_key_unref(key);
    pool_port_destroy(port);
    pool_destroy(pool);
    port = NULL;
    pool = NULL;
    key = NULL;
    return 0;
}

static void start(unsigned count)
{
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {.data = bytes, .cap = sizeof bytes};
    struct pool_key_desc desc = {.hsm = true, .id = {7}, .pub = *kc_key_public(oct_key)};
    pool_kind_override(POOL_MEMBER_PKCS11, &fake_type);
    config.member_count = count;
    assert_int_equal(pool_create(&pool, &config, domain), KW_OK);
    assert_int_equal(pool_port_create(&port, pool), KW_OK);
    assert_int_equal(pool_key_wrap(pool, desc.id, oct_key, true, &blob), KW_OK);
    desc.blob = kw_buf_span(&blob);
    assert_int_equal(pool_key_create(&key, pool, &desc), KW_OK);
    int64_t limit = kw_now_ns() + KW_S(5);
    for (unsigned i = 0; i < count; i++) {
        fakes[i].key = oct_key;
        while (pool_member_health(&pool->members[i]) != POOL_HEALTH_UP) {
            assert_true(kw_now_ns() < limit);
            usleep(500);
        }
    }
}

static kw_status sign(struct call *call)
{
    call->done = 0;
    call->op = (struct pool_op){.key = key, .on_done = on_done, .owner = call};
    call->op.lane.kind = KW_KIND_SIGN;
    call->op.lane.alg = KW_ALG_HS256;
    call->op.lane.in = kw_span_of(digest, sizeof digest);
    call->op.lane.out = (struct kw_buf){.data = call->out, .cap = sizeof call->out};
    call->op.deadline_ns = kw_now_ns() + KW_S(20);
    KW_TRY(pool_submit(port, &call->op));
    while (call->done == 0) {
        pool_port_run(port);
    }
    return call->op.lane.status;
}

static void script(unsigned member, enum fake_script what)
{
    atomic_store(&fakes[member].script, what);
}

static int64_t now; /* of the test, in the port's clock */

static void window(uint32_t answered0, uint32_t failed0, uint32_t answered1, uint32_t failed1)
{
    atomic_store(&pool->members[0].outlier.answered, answered0);
    atomic_store(&pool->members[0].outlier.failed, failed0);
    for (unsigned i = 1; i < pool->member_count; i++) {
        atomic_store(&pool->members[i].outlier.answered, answered1);
        atomic_store(&pool->members[i].outlier.failed, failed1);
    }
    now += KW_MS(250);
    port->now_ns = now;
    pool_outlier_run(port);
}

static bool is_out(unsigned i)
{
    return pool_outlier_is_out(&pool->members[i], now);
}

static void begin(unsigned count)
{
    start(count);
    now = kw_now_ns() + KW_S(10);
    window(0, 0, 0, 0);
}

static void one_that_fails_is_asked_last(void **state)
{
    (void)state;
    for (unsigned count = 2; count <= 6; count += 4) {
        begin(count);
        window(100, 4, 100, 0);
        assert_false(is_out(0)); /* too few to say */
        window(100, 20, 100, 0);
        assert_false(is_out(0)); /* fewer than one in five */
        window(30, 30, 30, 20);
        assert_false(is_out(0)); /* the others have the same trouble */
        window(100, 50, 100, 0);
        assert_true(is_out(0));
        for (unsigned i = 1; i < count; i++) {
            assert_false(is_out(i));
        }
        struct call call;
        kw_status why;
        call.op = (struct pool_op){.port = port, .key = key, .shape = KC_SHAPE_HMAC};
        for (unsigned i = 0; i < 200; i++) {
            assert_ptr_not_equal(pool_group_choose(port, &call.op, &why), &pool->members[0]);
        }
        call.op.tried = ~1ull; /* it alone can */
        assert_ptr_equal(pool_group_choose(port, &call.op, &why), &pool->members[0]);
        assert_int_equal(told, 1);
        if (count == 2) {
            teardown(NULL);
            setup(NULL);
        }
    }
}

static void the_last_one_stays(void **state)
{
    (void)state;
    begin(2);
    window(100, 50, 100, 0);
    assert_true(is_out(0));
    window(0, 0, 10, 90); /* now the other one fails: there is nobody to compare it with */
    assert_false(is_out(1));
    teardown(NULL);
    setup(NULL);
    begin(1);
    window(10, 90, 0, 0);
    assert_false(is_out(0));
}

static void slow_is_slower_than_the_others_and_than_itself(void **state)
{
    (void)state;
    begin(3);
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&pool->members[i].service_ns[KC_SHAPE_HMAC], KW_MS(1));
        atomic_store(&pool->members[i].limit.unloaded_ns[KC_SHAPE_HMAC], KW_MS(1));
    }
    atomic_store(&pool->members[0].service_ns[KC_SHAPE_HMAC], KW_MS(10));
    window(10, 0, 10, 0);
    window(10, 0, 10, 0);
    assert_false(is_out(0)); /* it may pass */
    window(10, 0, 10, 0);
    assert_true(is_out(0));
    assert_int_equal(pool->members[0].outlier.ejections, 1);
    teardown(NULL);
    setup(NULL);
    begin(2); /* far away, and always was */
    atomic_store(&pool->members[0].service_ns[KC_SHAPE_HMAC], KW_MS(10));
    atomic_store(&pool->members[0].limit.unloaded_ns[KC_SHAPE_HMAC], KW_MS(8));
    atomic_store(&pool->members[1].service_ns[KC_SHAPE_HMAC], KW_MS(1));
    for (unsigned i = 0; i < 20; i++) {
        window(10, 0, 10, 0);
    }
    assert_false(is_out(0));
    /* everybody is slow: that is load */
    atomic_store(&pool->members[1].service_ns[KC_SHAPE_HMAC], KW_MS(100));
    atomic_store(&pool->members[0].service_ns[KC_SHAPE_HMAC], KW_MS(100));
    for (unsigned i = 0; i < 20; i++) {
        window(10, 0, 10, 0);
    }
    assert_false(is_out(0));
    assert_int_equal(told, 0);
}

static void it_lasts_longer_each_time_and_ends_slowly(void **state)
{
    (void)state;
    begin(2);
    int64_t lasts = KW_S(5);
    for (unsigned i = 0; i < 9; i++) {
        window(100, 50, 100, 0);
        assert_true(is_out(0));
        now += lasts - KW_MS(500);
        window(0, 0, 100, 0);
        assert_true(is_out(0));
        now += KW_MS(500);
        window(0, 0, 100, 0);
        assert_false(is_out(0));
        assert_in_range(pool_outlier_weight(&pool->members[0], now), 102, 200);
        lasts = lasts * 2 < KW_S(300) ? lasts * 2 : KW_S(300);
    }
    assert_int_equal(told, 18); /* out and back */
    now += KW_S(10);
    assert_int_equal(pool_outlier_weight(&pool->members[0], now), 1024);
    now += KW_S(61);
    window(100, 50, 100, 0);
    now += KW_S(5);
    assert_false(is_out(0)); /* forgotten: the first time again */
}

static void only_what_another_answered_is_charged(void **state)
{
    (void)state;
    start(2);
    struct call call;
    script(0, FAKE_INPUT);
    script(1, FAKE_INPUT);
    for (unsigned i = 0; i < 50; i++) { /* a client's own bad requests */
        assert_int_equal(sign(&call), KW_E_CRYPTO);
    }
    assert_int_equal(pool->members[0].outlier.failed + pool->members[1].outlier.failed, 0);
    script(0, FAKE_OTHER_FREE);
    script(1, FAKE_OTHER_FREE);
    assert_int_equal(sign(&call), KW_E_UNAVAILABLE); /* fails wherever it goes */
    assert_int_equal(pool->members[0].outlier.failed + pool->members[1].outlier.failed, 0);
    script(1, FAKE_ANSWER);
    uint32_t charged = 0;
    for (unsigned i = 0; i < 200 && charged == 0; i++) {
        atomic_store(&pool->members[1].load_ns, KW_S(1)); /* the other one looks better */
        assert_int_equal(sign(&call), KW_OK);
        charged += atomic_load(&pool->members[0].outlier.failed);
    }
    atomic_store(&pool->members[1].load_ns, 0);
    assert_int_equal(charged, 1);
    assert_int_equal(pool->members[1].outlier.failed, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_that_fails_is_asked_last),
        TEST(the_last_one_stays),
        TEST(slow_is_slower_than_the_others_and_than_itself),
        TEST(it_lasts_longer_each_time_and_ends_slowly),
        TEST(only_what_another_answered_is_charged),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

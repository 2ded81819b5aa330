/* Members that are clearly worse than the others: who is asked last, how long, and who never is. */

#include "tests/unit/pool/fake_group.h"

#include "pool/choice.h"
#include "pool/outlier.h"

static struct kc_key *oct_key;

static struct pool_key *key;
static _Atomic unsigned told;

static void observe(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    told += event->type == POOL_EVENT_OUTLIER;
}

static int group_setup(void **state)
{
    (void)state;
    return !group_make(&fake_type) ||
           kc_key_generate(&oct_key, KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    kc_key_unref(oct_key);
    group_free();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    told = 0;
    group_reset((struct pool_config){.workers = 1, .observer = {.event = observe}}, 4);
    return 0;
}

static int teardown(void **state)
{
    pool_key_unref(key);
    key = NULL;
    return group_stop(state);
}

static void start(unsigned count)
{
    group_start(count);
    key = group_key(oct_key, NULL, true);
}

static kw_status sign(struct call *call)
{
    prepare(call, key, KW_KIND_SIGN, KW_ALG_HS256);
    return run_one(call);
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

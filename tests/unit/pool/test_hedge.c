/* Hedging over scripted members: who is sent twice, whose answer counts, and that nothing is
 * answered twice or written late. */

#include "tests/unit/pool/fake_group.h"

#define WARM 3200 /* answers before the test: the percentile is known, 32 tokens are saved up */

static struct kc_key *rsa_key, *oct_key;

static int group_setup(void **state)
{
    (void)state;
    return !group_make(&fake_type) ||
           kc_key_generate(&rsa_key, KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&oct_key, KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    kc_key_unref(rsa_key);
    kc_key_unref(oct_key);
    group_free();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    group_reset((struct pool_config){.workers = 1,
                                     .hedge = true,
                                     .recovery_interval_ns = KW_MS(20),
                                     .hard_deadline_ns = KW_MS(300)},
                8);
    return 0;
}

static void submit(struct call *call, struct pool_key *key, enum kw_alg alg)
{
    prepare(call, key, KW_KIND_SIGN, alg);
    assert_int_equal(pool_submit(port, &call->op), KW_OK);
}

static void script_all(enum fake_script what)
{
    for (unsigned i = 0; i < FAKE_MAX; i++) {
        atomic_store(&fakes[i].script, what);
    }
}

static void release_all(void)
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        fake_release(&fakes[i]);
    }
}

/* The percentile of a shape is known and the bucket is full. */
static void warm(struct pool_key *key, enum kw_alg alg, unsigned n)
{
    static struct call call;
    script_all(FAKE_ANSWER);
    for (unsigned i = 0; i < n; i++) {
        submit(&call, key, alg);
        run_until(&call);
    }
    for (unsigned i = 0; i < pool->member_count; i++) {
        fakes[i].attempts = fakes[i].abandoned = 0;
        /* the scripted members answer in no time: equally fast, whoever was drawn more often */
        for (unsigned shape = 0; shape < KC_SHAPE_COUNT; shape++) {
            atomic_store(&pool->members[i].service_ns[shape], 1000);
        }
    }
    atomic_store(&pool->hedges, 0);
}

/* Submits with everything held and waits until the twin is out as well. */
static struct fake *submit_held(struct call *call, struct pool_key *key, enum kw_alg alg)
{
    script_all(FAKE_HOLD);
    submit(call, key, alg);
    int64_t limit = kw_now_ns() + KW_S(5);
    while (pool->hedges == 0) {
        turn();
        assert_true(kw_now_ns() < limit);
    }
    pool_port_run(port);
    assert_int_equal(call->done, 0);
    return fake_of(call->op.serving);
}

static unsigned held(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < pool->member_count; i++) {
        sum += fakes[i].held;
        assert_int_equal(fakes[i].held == 0, fakes[i].first == NULL);
    }
    return sum;
}

static void nothing_is_left(void)
{
    assert_int_equal(held(), 0);
    for (unsigned i = 0; i < pool->member_count; i++) {
        assert_int_equal(pool->members[i].load_ns, 0);
        assert_int_equal(pool->members[i].in_flight, 0);
    }
    assert_int_equal(port->in_flight, 0);
}

static struct fake *other_of(const struct fake *fake)
{
    return &fakes[fake == &fakes[0] ? 1 : 0];
}

static void the_second_member_answers_for_the_first(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(rsa_key, NULL, true);
    struct call call, again;
    warm(key, KW_ALG_RS256, WARM / 16);
    port->hedge_tokens = 1;
    struct fake *first = submit_held(&call, key, KW_ALG_RS256);
    struct fake *second = other_of(first);
    assert_int_equal(first->held, 1);
    assert_int_equal(second->held, 1);
    atomic_store(&second->script, FAKE_ANSWER);
    fake_release(second);
    run_until(&call);
    assert_int_equal(call.op.lane.status, KW_OK);
    assert_string_equal(call.op.served_by, second->member->config.name);
    assert_int_equal(first->abandoned, 1);
    nothing_is_left();
    /* RS256 is deterministic: the same signature as without a hedge */
    script_all(FAKE_ANSWER);
    submit(&again, key, KW_ALG_RS256);
    run_until(&again);
    assert_int_equal(again.op.lane.out.len, call.op.lane.out.len);
    assert_memory_equal(again.out, call.out, 256);
    pool_key_unref(key);
}

/* Half of the bucket is for operations that wait twice as long. */
static void the_last_tokens_are_kept_for_those_that_hang(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(rsa_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_RS256, WARM / 16);
    port->hedge_tokens = 5;
    script_all(FAKE_HOLD);
    submit(&call, key, KW_ALG_RS256);
    int64_t until = kw_now_ns() + KW_S(10);
    while (pool->hedges == 0 && kw_now_ns() < until) {
        turn();
    }
    assert_int_equal(pool->hedges, 1);
    assert_true(port->now_ns - call.op.sent_ns >= 2 * port->hedge_shapes[call.op.shape].delay_ns);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&fakes[i].script, FAKE_ANSWER);
        fake_release(&fakes[i]);
    }
    run_until(&call);
    assert_int_equal(call.op.lane.status, KW_OK);
    pool_key_unref(key);
}

static void the_first_member_answers_after_all(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_HS256, WARM);
    struct fake *first = submit_held(&call, key, KW_ALG_HS256);
    atomic_store(&first->script, FAKE_ANSWER);
    fake_release(first);
    run_until(&call);
    assert_int_equal(call.op.lane.status, KW_OK);
    assert_string_equal(call.op.served_by, first->member->config.name);
    assert_int_equal(other_of(first)->abandoned, 1);
    nothing_is_left();
    pool_key_unref(key);
}

static void a_failed_attempt_waits_for_its_twin(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_HS256, WARM);
    struct fake *first = submit_held(&call, key, KW_ALG_HS256);
    atomic_store(&first->script, FAKE_OTHER_FREE);
    fake_release(first);
    turn();
    assert_int_equal(call.done, 0);
    atomic_store(&other_of(first)->script, FAKE_ANSWER);
    fake_release(other_of(first));
    run_until(&call);
    assert_int_equal(call.op.lane.status, KW_OK);
    assert_string_equal(call.op.served_by, other_of(first)->member->config.name);
    nothing_is_left();
    pool_key_unref(key);
}

static void a_failed_twin_changes_nothing(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_HS256, WARM);
    struct fake *first = submit_held(&call, key, KW_ALG_HS256);
    atomic_store(&other_of(first)->script, FAKE_UNSUPPORTED);
    fake_release(other_of(first));
    turn();
    assert_int_equal(call.done, 0);
    atomic_store(&first->script, FAKE_ANSWER);
    fake_release(first);
    run_until(&call);
    assert_int_equal(call.op.lane.status, KW_OK);
    assert_int_equal(pool->hedges, 1); /* and is not hedged again */
    nothing_is_left();
    pool_key_unref(key);
}

static void when_both_fail_a_third_is_asked(void **state)
{
    (void)state;
    for (unsigned count = 2; count <= 3; count++) {
        group_start(count);
        struct pool_key *key = group_key(oct_key, NULL, true);
        struct call call;
        warm(key, KW_ALG_HS256, WARM);
        submit_held(&call, key, KW_ALG_HS256);
        for (unsigned i = 0; i < count; i++) {
            atomic_store(&fakes[i].script, fakes[i].held > 0 ? FAKE_OTHER_FREE : FAKE_ANSWER);
        }
        release_all();
        run_until(&call);
        assert_int_equal(call.op.lane.status, count == 2 ? KW_E_UNAVAILABLE : KW_OK);
        nothing_is_left();
        pool_key_unref(key);
        (void)group_stop(NULL);
        fake_reset();
    }
}

static void a_wrong_answer_of_either_never_leaves(void **state)
{
    (void)state;
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        group_start(2);
        struct pool_key *key = group_key(rsa_key, NULL, true);
        struct call call;
        warm(key, KW_ALG_RS256, WARM / 16);
        port->hedge_tokens = 1;
        struct fake *first = submit_held(&call, key, KW_ALG_RS256);
        struct fake *liar = wrong == 0 ? first : other_of(first), *honest = other_of(liar);
        atomic_store(&liar->script, FAKE_FLIP);
        fake_release(liar);
        turn();
        turn();
        assert_int_equal(call.done, 0);
        atomic_store(&honest->script, FAKE_ANSWER);
        fake_release(honest);
        run_until(&call);
        assert_int_equal(call.op.lane.status, KW_OK);
        assert_string_equal(call.op.served_by, honest->member->config.name);
        assert_int_equal(pool->wrong_answers, 1);
        nothing_is_left();
        pool_key_unref(key);
        (void)group_stop(NULL);
        fake_reset();
    }
}

static void at_most_two_percent_are_sent_twice(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    static struct call calls[1000];
    warm(key, KW_ALG_HS256, WARM);
    port->hedge_tokens = 0;
    script_all(FAKE_HOLD);
    for (unsigned i = 0; i < 1000; i++) {
        submit(&calls[i], key, KW_ALG_HS256);
    }
    for (unsigned i = 0; i < 2; i++) { /* as if both were idle: the bucket alone limits */
        atomic_store(&pool->members[i].load_ns, 0);
    }
    int64_t until = kw_now_ns() + KW_MS(30);
    while (kw_now_ns() < until) {
        turn();
        atomic_store(&pool->members[0].load_ns, 0);
        atomic_store(&pool->members[1].load_ns, 0);
    }
    assert_in_range(pool->hedges, 10, 20);
    script_all(FAKE_ANSWER);
    release_all();
    turn();
    turn();
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(calls[i].done, 1);
    }
    assert_int_equal(held(), 0);
    pool_key_unref(key);
}

static void a_second_member_that_is_busy_is_spared(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_HS256, WARM);
    script_all(FAKE_HOLD);
    submit(&call, key, KW_ALG_HS256);
    pool_port_run(port);
    struct pool_member *second = other_of(fake_of(call.op.serving))->member;
    atomic_fetch_add(&second->load_ns, KW_S(1));
    int64_t until = kw_now_ns() + KW_MS(20);
    while (kw_now_ns() < until) {
        turn();
    }
    assert_int_equal(pool->hedges, 0);
    atomic_fetch_sub(&second->load_ns, KW_S(1));
    until = kw_now_ns() + KW_S(2);
    while (pool->hedges == 0 && kw_now_ns() < until) {
        turn(); /* it is asked again */
    }
    assert_int_equal(pool->hedges, 1);
    script_all(FAKE_ANSWER);
    release_all();
    run_until(&call);
    nothing_is_left();
    pool_key_unref(key);
}

static void off_means_never(void **state)
{
    (void)state;
    config.hedge = false;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_HS256, WARM);
    script_all(FAKE_HOLD);
    submit(&call, key, KW_ALG_HS256);
    int64_t until = kw_now_ns() + KW_MS(30);
    while (kw_now_ns() < until) {
        turn();
    }
    assert_int_equal(pool->hedges, 0);
    assert_int_equal(held(), 1);
    script_all(FAKE_ANSWER);
    release_all();
    run_until(&call);
    pool_key_unref(key);
}

static void every_hedged_op_is_answered_exactly_once(void **state)
{
    (void)state;
    group_start(4);
    struct pool_key *key = group_key(oct_key, NULL, true);
    static struct call calls[64];
    warm(key, KW_ALG_HS256, WARM);
    script_all(FAKE_RANDOM_VERDICT);
    unsigned ends = 0, seed = 42;
    for (unsigned round = 0; round < 400; round++) {
        port->hedge_tokens = 32;           /* far more than in life */
        for (unsigned i = 0; i < 4; i++) { /* refusals make suspects, which nobody hedges to */
            atomic_store(&pool->members[i].refusals, 0);
            pool_member_transition(&pool->members[i], POOL_EV_PROBE_OK, "test");
        }
        for (unsigned i = 0; i < 64; i++) {
            if (round == 0 || calls[i].done == 1) {
                ends += round > 0;
                submit(&calls[i], key, KW_ALG_HS256);
            }
        }
        turn();
        struct fake *some = &fakes[(unsigned)rand_r(&seed) % 4];
        fake_release(some);
        pool_port_run(port);
        for (unsigned i = 0; i < 64; i++) {
            assert_in_range(calls[i].done, 0, 1);
        }
    }
    assert_true(pool->hedges > 100);
    assert_true(ends > 1000);
    script_all(FAKE_ANSWER);
    for (unsigned i = 0; i < 20; i++) {
        release_all();
        turn();
    }
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(calls[i].done, 1);
    }
    nothing_is_left();
    pool_key_unref(key);
}

static void a_port_that_goes_answers_what_is_out_twice(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = group_key(oct_key, NULL, true);
    struct call call;
    warm(key, KW_ALG_HS256, WARM);
    submit_held(&call, key, KW_ALG_HS256);
    pool_port_destroy(port);
    port = NULL;
    assert_int_equal(call.done, 1);
    assert_int_equal(call.op.lane.status, KW_E_UNAVAILABLE);
    pool_key_unref(key);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, group_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_member_answers_for_the_first),
        TEST(the_last_tokens_are_kept_for_those_that_hang),
        TEST(the_first_member_answers_after_all),
        TEST(a_failed_attempt_waits_for_its_twin),
        TEST(a_failed_twin_changes_nothing),
        TEST(when_both_fail_a_third_is_asked),
        TEST(a_wrong_answer_of_either_never_leaves),
        TEST(at_most_two_percent_are_sent_twice),
        TEST(a_second_member_that_is_busy_is_spared),
        TEST(off_means_never),
        TEST(every_hedged_op_is_answered_exactly_once),
        TEST(a_port_that_goes_answers_what_is_out_twice),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

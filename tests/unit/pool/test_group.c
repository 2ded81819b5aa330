/* The group's logic over scripted members: choice, failover, budget, deadlines, wrong answers,
 * standby and total loss. Time in slow start and recovery is real, so the waits are set short. */

#include "tests/unit/pool/fake_group.h"

static struct kc_key *rsa_key, *rsa_other, *ec_key, *ec_other, *oct_key;

static _Atomic unsigned events_of[POOL_EVENT_CORE_ALARM + 1];

static void observe_event(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    atomic_fetch_add(&events_of[event->type], 1);
}

/* --- set-up --- */

static int group_setup(void **state)
{
    (void)state;
    return !group_make(&fake_type) ||
           kc_key_generate(&rsa_key, KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&rsa_other, KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&ec_key, KW_KTY_EC, 0, KW_CURVE_P256, 0) != KW_OK ||
           kc_key_generate(&ec_other, KW_KTY_EC, 0, KW_CURVE_P256, 0) != KW_OK ||
           kc_key_generate(&oct_key, KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    kc_key_unref(rsa_key);
    kc_key_unref(rsa_other);
    kc_key_unref(ec_key);
    kc_key_unref(ec_other);
    kc_key_unref(oct_key);
    group_free();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    memset(events_of, 0, sizeof events_of);
    group_reset((struct pool_config){.workers = 2,
                                     .recovery_retries = 0,
                                     .recovery_interval_ns = KW_MS(20),
                                     .hard_deadline_ns = KW_MS(300),
                                     .observer = {.event = observe_event}},
                1);
    return 0;
}

static struct pool_key *make_key(const struct kc_key *key, bool hsm)
{
    return group_key(key, key == rsa_key ? rsa_other : ec_other, hsm);
}

static kw_status sign(struct call *call, struct pool_key *key, enum kw_alg alg)
{
    prepare(call, key, KW_KIND_SIGN, alg);
    return run_one(call);
}

/* --- choice --- */

static void less_expected_work_is_chosen(void **state)
{
    (void)state;
    group_start(3);
    struct pool_key *key = make_key(oct_key, true);
    static struct call calls[60];
    for (unsigned i = 0; i < 3; i++) {
        script(i, FAKE_HOLD);
    }
    for (unsigned i = 0; i < 60; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    pool_port_run(port);
    /* two choices keep equal members level, whatever is drawn */
    for (unsigned i = 0; i < 3; i++) {
        assert_in_range(fakes[i].held, 17, 23);
        script(i, FAKE_ANSWER);
        fake_release(&fakes[i]);
    }
    pool_port_run(port);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pool->members[i].load_ns, 0);
        assert_int_equal(pool->members[i].in_flight, 0);
    }
    pool_key_unref(key);
}

static void cost_counts_and_not_the_number_of_requests(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *rsa = make_key(rsa_key, true);
    struct pool_key *oct = make_key(oct_key, true);
    static struct call heavy, light[20];
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    prepare(&heavy, rsa, KW_KIND_SIGN, KW_ALG_RS256);
    assert_int_equal(pool_submit(port, &heavy.op), KW_OK);
    for (unsigned i = 0; i < 20; i++) {
        prepare(&light[i], oct, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &light[i].op), KW_OK);
    }
    pool_port_run(port);
    unsigned with_heavy = heavy.op.serving->index;
    /* one draw in 256 looks elsewhere on purpose */
    assert_in_range(fakes[1 - with_heavy].held, 18, 20);
    script(0, FAKE_INPUT);
    script(1, FAKE_INPUT);
    fake_release(&fakes[0]);
    fake_release(&fakes[1]);
    pool_port_run(port);
    pool_key_unref(rsa);
    pool_key_unref(oct);
}

static void a_slow_member_gets_less(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    atomic_store(&pool->members[0].service_ns[KC_SHAPE_HMAC], 1000000);
    atomic_store(&pool->members[1].service_ns[KC_SHAPE_HMAC], 100000);
    static struct call calls[110];
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    for (unsigned i = 0; i < 110; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    pool_port_run(port);
    assert_in_range(fakes[0].held, 7, 15); /* a tenth of the speed: a tenth of the work */
    script(0, FAKE_INPUT);
    script(1, FAKE_INPUT);
    fake_release(&fakes[0]);
    fake_release(&fakes[1]);
    pool_port_run(port);
    pool_key_unref(key);
}

static void service_time_is_learned(void **state)
{
    (void)state;
    group_start(1);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    double took = 0; /* the same average of what was measured here: a busy machine sleeps longer */
    for (unsigned i = 0; i < 40; i++) {
        int64_t begin = kw_now_ns();
        prepare(&call, key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &call.op), KW_OK);
        usleep(2000); /* the member "takes" 2 ms */
        run_until(&call);
        took += ((double)(kw_now_ns() - begin) - took) / (i == 0 ? 1 : 8);
    }
    assert_in_range(pool->members[0].service_ns[KC_SHAPE_HMAC], took / 2, took * 2);
    pool_key_unref(key);
}

static void slow_start_shares_by_weight(void **state)
{
    (void)state;
    fakes[0].skip_warming = false; /* warming: a tenth of the weight, just after it came up */
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    static struct call calls[110];
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    for (unsigned i = 0; i < 110; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    pool_port_run(port);
    assert_in_range(fakes[0].held, 6, 20);
    script(0, FAKE_INPUT);
    script(1, FAKE_INPUT);
    fake_release(&fakes[0]);
    fake_release(&fakes[1]);
    pool_port_run(port);
    pool_key_unref(key);
}

static void standby_serves_only_when_no_active_does(void **state)
{
    (void)state;
    members[1].role = POOL_ROLE_STANDBY;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
        assert_string_equal(call.op.served_by, "m0");
    }
    pool_member_transition(&pool->members[0], POOL_EV_LOST, "t");
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
    assert_string_equal(call.op.served_by, "m1");
    assert_int_equal(pool_member_command(pool, "m0", POOL_CMD_RECOVER), KW_OK);
    await_health(0, POOL_HEALTH_UP);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
        assert_string_equal(call.op.served_by, "m0");
    }
    pool_key_unref(key);
}

static void suspect_is_the_last_resort(void **state)
{
    (void)state;
    members[2].role = POOL_ROLE_STANDBY;
    group_start(3);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    pool_member_transition(&pool->members[0], POOL_EV_LATE, "t");
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
        assert_string_equal(call.op.served_by, "m1");
    }
    pool_member_transition(&pool->members[1], POOL_EV_LOST, "t");
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
    assert_string_equal(call.op.served_by, "m2");
    pool_member_transition(&pool->members[2], POOL_EV_LOST, "t");
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
    assert_string_equal(call.op.served_by, "m0");
    pool_key_unref(key);
}

static void operators_drain_and_activate(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    assert_int_equal(pool_member_command(pool, "nobody", POOL_CMD_DRAIN), KW_E_NOT_FOUND);
    assert_int_equal(pool_member_command(pool, "core", POOL_CMD_DRAIN), KW_E_NOT_FOUND);
    assert_int_equal(pool_member_command(pool, "m0", POOL_CMD_DRAIN), KW_OK);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
        assert_string_equal(call.op.served_by, "m1");
    }
    assert_int_equal(pool_member_command(pool, "m1", POOL_CMD_DRAIN), KW_OK);
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNAVAILABLE);
    assert_int_equal(pool_member_command(pool, "m0", POOL_CMD_ACTIVATE), KW_OK);
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
    assert_string_equal(call.op.served_by, "m0");
    pool_key_unref(key);
}

/* --- failover --- */

static void a_failed_attempt_moves_on(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    script(0, FAKE_OTHER);
    for (unsigned i = 0; i < 30; i++) {
        atomic_store(&pool->members[1].load_ns, KW_S(1)); /* the broken one looks better */
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
        assert_string_equal(call.op.served_by, "m1");
    }
    /* three in a row, and it is out: the rest never went there */
    await_health(0, POOL_HEALTH_DOWN);
    assert_int_equal(fakes[0].attempts, 3);
    assert_int_equal(events_of[POOL_EVENT_FAILOVER], 3);
    struct pool_stats *stats = malloc(sizeof *stats);
    pool_stats_read(pool, stats);
    assert_int_equal(stats->failovers, 3);
    assert_int_equal(stats->retries, 3);
    assert_int_equal(stats->members[0].kinds[KW_KIND_SIGN].failed, 3);
    assert_int_equal(stats->members[1].kinds[KW_KIND_SIGN].ok, 30);
    assert_int_equal(stats->members_up, 1);
    assert_string_equal(stats->members[0].reason, "scripted");
    free(stats);
    pool_key_unref(key);
}

static void a_success_between_errors_starts_the_count_anew(void **state)
{
    (void)state;
    group_start(1);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    for (unsigned round = 0; round < 3; round++) {
        script(0, FAKE_OTHER);
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNAVAILABLE);
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNAVAILABLE);
        script(0, FAKE_ANSWER);
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
    }
    assert_int_equal(pool_member_health(&pool->members[0]), POOL_HEALTH_UP);
    pool_key_unref(key);
}

static void callers_faults_charge_nobody(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    script(0, FAKE_INPUT);
    script(1, FAKE_INPUT);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_CRYPTO);
    }
    assert_int_equal(fakes[0].attempts + fakes[1].attempts, 20);
    assert_int_equal(pool_member_health(&pool->members[0]), POOL_HEALTH_UP);
    assert_int_equal(pool_member_health(&pool->members[1]), POOL_HEALTH_UP);
    pool_key_unref(key);
}

static void attempts_end_at_three(void **state)
{
    (void)state;
    group_start(5);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    for (unsigned i = 0; i < 5; i++) {
        script(i, FAKE_OTHER_FREE);
        fakes[i].at_once = i % 2 == 0; /* also from inside submit */
    }
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNAVAILABLE);
    unsigned attempts = 0;
    for (unsigned i = 0; i < 5; i++) {
        attempts += fakes[i].attempts;
        assert_in_range(fakes[i].attempts, 0, 1);
        assert_int_equal(pool_member_health(&pool->members[i]), POOL_HEALTH_UP);
    }
    assert_int_equal(attempts, 3);
    assert_null(call.op.served_by);
    pool_key_unref(key);
}

static void unsupported_looks_for_one_that_can(void **state)
{
    (void)state;
    group_start(5);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    for (unsigned i = 0; i < 4; i++) {
        script(i, FAKE_UNSUPPORTED);
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
        assert_string_equal(call.op.served_by, "m4");
    }
    script(4, FAKE_UNSUPPORTED);
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNSUPPORTED);
    pool_key_unref(key);
}

static void deadlines_end_attempts(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    prepare(&call, key, KW_KIND_SIGN, KW_ALG_HS256);
    call.op.deadline_ns = kw_now_ns() - 1;
    assert_int_equal(pool_submit(port, &call.op), KW_E_DEADLINE);
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    prepare(&call, key, KW_KIND_SIGN, KW_ALG_HS256);
    call.op.deadline_ns = kw_now_ns() + KW_MS(20);
    assert_int_equal(pool_submit(port, &call.op), KW_OK);
    pool_port_run(port);
    usleep(25000);
    pool_port_run(port); /* the clock of the turn */
    fake_release(&fakes[0]);
    fake_release(&fakes[1]);
    run_until(&call);
    assert_int_equal(call.op.lane.status, KW_E_DEADLINE);
    assert_int_equal(fakes[0].attempts + fakes[1].attempts, 1);
    pool_key_unref(key);
}

static void the_budget_holds_back_a_storm(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    static struct call calls[100];
    /* every attempt is held; then the first half fails while both members stay in the group and
     * neither is any better than the other */
    pool_member_transition(&pool->members[0], POOL_EV_LATE, "t");
    pool_member_transition(&pool->members[1], POOL_EV_LATE, "t");
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    for (unsigned i = 0; i < 100; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    pool_port_run(port);
    unsigned first = fakes[0].held, before = fakes[1].attempts;
    fake_release(&fakes[0]); /* held ones are given up: "try another" */
    pool_port_run(port);
    unsigned retried = fakes[1].attempts - before;
    assert_in_range(retried, 6, 20); /* a fifth of what is in flight, at least 3 per member */
    unsigned failed = 0;
    for (unsigned i = 0; i < 100; i++) {
        if (calls[i].done == 1) {
            assert_int_equal(calls[i].op.lane.status, KW_E_UNAVAILABLE);
            failed++;
        }
    }
    assert_int_equal(failed + retried, first);
    script(1, FAKE_ANSWER);
    fake_release(&fakes[1]);
    pool_port_run(port);
    assert_int_equal(pool->budget_out, 0); /* all given back */
    pool_key_unref(key);
}

static void what_a_refusing_member_had_moves_on(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    static struct call calls[200];
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 200; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    pool_port_run(port);
    assert_true(fakes[0].held > 60);
    fake_release(&fakes[0]); /* nobody's proven fault, but all of them */
    pool_port_run(port);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
        assert_string_equal(calls[i].op.served_by, "m1");
    }
    assert_int_equal(pool_member_health(&pool->members[0]), POOL_HEALTH_SUSPECT);
    pool_key_unref(key);
}

static void all_that_a_lost_member_had_moves_on(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    static struct call calls[200];
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 200; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    pool_port_run(port);
    assert_true(fakes[0].held > 60);
    pool_member_transition(&pool->members[0], POOL_EV_LOST, "process died");
    fake_release(&fakes[0]);
    pool_port_run(port);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
        assert_string_equal(calls[i].op.served_by, "m1");
    }
    pool_key_unref(key);
}

static void total_loss_answers_at_once_and_ends(void **state)
{
    (void)state;
    config.recovery_retries = -1;
    group_start(2);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&fakes[i].alive, false);
        pool_member_transition(&pool->members[i], POOL_EV_LOST, "t");
    }
    int64_t before = kw_now_ns();
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNAVAILABLE);
    assert_true(kw_now_ns() - before < KW_MS(50));
    assert_int_equal(call.done, 0);
    usleep(150000); /* attempts go on, and further and further apart: not a herd */
    assert_in_range(fakes[0].starts, 1, 5);
    atomic_store(&fakes[0].alive, true);
    await_health(0, POOL_HEALTH_UP);
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_OK);
    pool_key_unref(key);
}

static void members_that_still_start_are_unavailable(void **state)
{
    (void)state;
    fakes[0].alive = false;
    group_start(1);
    struct pool_key *key = make_key(oct_key, true);
    struct call call;
    assert_int_equal(pool_member_health(&pool->members[0]), POOL_HEALTH_STARTING);
    assert_int_equal(sign(&call, key, KW_ALG_HS256), KW_E_UNAVAILABLE);
    struct pool_stats *stats = malloc(sizeof *stats);
    pool_stats_read(pool, stats);
    assert_false(stats->can_serve);
    assert_true(stats->hsm);
    free(stats);
    pool_key_unref(key);
}

/* --- wrong answers --- */

static void wrong_signatures_never_leave(void **state)
{
    (void)state;
    static const struct {
        enum kw_alg alg;
        bool ec;
    } algs[] = {{KW_ALG_RS256, false}, {KW_ALG_PS256, false}, {KW_ALG_ES256, true}};
    static const enum fake_script wrongs[] = {FAKE_FLIP, FAKE_SHORT, FAKE_ZERO, FAKE_STRANGER};
    group_start(2);
    unsigned wrong = 0;
    for (unsigned a = 0; a < sizeof algs / sizeof algs[0]; a++) {
        struct pool_key *key = make_key(algs[a].ec ? ec_key : rsa_key, true);
        for (unsigned w = 0; w < sizeof wrongs / sizeof wrongs[0]; w++) {
            struct call call;
            script(0, wrongs[w]);
            script(1, FAKE_ANSWER);
            /* until the choice falls on the liar: then it is out, and the answer is the other's */
            while (pool_member_health(&pool->members[0]) == POOL_HEALTH_UP) {
                assert_int_equal(sign(&call, key, algs[a].alg), KW_OK);
                assert_string_equal(call.op.served_by, "m1");
                atomic_store(&pool->members[1].load_ns, KW_S(1)); /* the liar looks better */
            }
            atomic_store(&pool->members[1].load_ns, 0);
            assert_int_equal(pool_member_health(&pool->members[0]), POOL_HEALTH_DOWN);
            wrong++;
            /* what came out is right */
            struct call verify;
            prepare(&verify, key, KW_KIND_VERIFY, algs[a].alg);
            verify.op.lane.sig = kw_buf_span(&call.op.lane.out);
            assert_int_equal(run_one(&verify), KW_OK);
            assert_true(verify.op.lane.valid);
            /* nobody else left: an error and no trace of the answer */
            script(1, wrongs[w]);
            assert_int_equal(sign(&call, key, algs[a].alg), KW_E_UNAVAILABLE);
            for (unsigned i = 0; i < sizeof call.out; i++) {
                assert_int_equal(call.out[i], 0);
            }
            assert_int_equal(call.op.lane.out.len, 0);
            wrong++;
            for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(pool_member_command(pool, members[i].name, POOL_CMD_RECOVER),
                                 KW_OK);
                await_health(i, POOL_HEALTH_UP);
            }
        }
        pool_key_unref(key);
    }
    assert_int_equal(events_of[POOL_EVENT_WRONG_ANSWER], wrong);
    assert_int_equal(pool->wrong_answers, wrong);
}

static void a_generated_key_is_looked_at(void **state)
{
    (void)state;
    group_start(2);
    struct call call;
    for (unsigned i = 0; i < 2; i++) {
        script(i, i == 0 ? FAKE_FLIP : FAKE_ANSWER);
    }
    unsigned tries = 0;
    while (pool_member_health(&pool->members[0]) == POOL_HEALTH_UP && tries++ < 100) {
        prepare(&call, NULL, KW_KIND_GENERATE, KW_ALG_NONE);
        call.op.generate.kty = KW_KTY_EC;
        call.op.generate.curve = KW_CURVE_P256;
        call.op.generate.hsm = true;
        call.op.generate.out = &call.made;
        assert_int_equal(run_one(&call), KW_OK);
        assert_string_equal(call.op.served_by, "m1");
        assert_int_equal(call.made.pub.curve, KW_CURVE_P256);
    }
    assert_int_equal(pool_member_health(&pool->members[0]), POOL_HEALTH_DOWN);
}

static void a_generated_key_is_kept_as_the_core_writes_it(void **state)
{
    (void)state;
    group_start(1);
    struct call call;
    script(0, FAKE_PADDED);
    prepare(&call, NULL, KW_KIND_GENERATE, KW_ALG_NONE);
    call.op.generate.kty = KW_KTY_EC;
    call.op.generate.curve = KW_CURVE_P256;
    call.op.generate.hsm = true;
    call.op.generate.out = &call.made;
    assert_int_equal(run_one(&call), KW_OK);
    assert_int_equal(call.made.pub.coord_len, 32);
    assert_int_equal(call.made.pub.bits, 256);
}

/* --- routing --- */

static void public_and_software_work_never_costs_a_member(void **state)
{
    (void)state;
    group_start(1);
    struct pool_key *hsm = make_key(rsa_key, true);
    struct pool_key *soft = make_key(rsa_key, false);
    struct call signed_, call;
    assert_int_equal(sign(&signed_, soft, KW_ALG_RS256), KW_OK);
    assert_string_equal(signed_.op.served_by, "core");
    prepare(&call, hsm, KW_KIND_VERIFY, KW_ALG_RS256);
    call.op.lane.sig = kw_buf_span(&signed_.op.lane.out);
    assert_int_equal(run_one(&call), KW_OK);
    assert_true(call.op.lane.valid);
    prepare(&call, hsm, KW_KIND_ENCRYPT, KW_ALG_RSA_OAEP_256);
    assert_int_equal(run_one(&call), KW_OK);
    prepare(&call, hsm, KW_KIND_WRAP, KW_ALG_RSA_OAEP);
    assert_int_equal(run_one(&call), KW_OK);
    prepare(&call, NULL, KW_KIND_GENERATE, KW_ALG_NONE);
    call.op.generate.kty = KW_KTY_OCT;
    call.op.generate.bits = 256;
    call.op.generate.out = &call.made;
    assert_int_equal(run_one(&call), KW_OK);
    assert_int_equal(call.made.blob[1], KC_BLOB_SOFTWARE);
    assert_int_equal(fakes[0].attempts, 0);
    /* the core holds the public half alone: it could not sign for an HSM key */
    assert_false(kc_key_has_private(pool_key_core(hsm)));
    assert_int_equal(sign(&call, hsm, KW_ALG_RS256), KW_OK);
    assert_int_equal(fakes[0].attempts, 1);
    pool_key_unref(hsm);
    pool_key_unref(soft);
}

static void random_comes_from_a_member_or_from_the_core(void **state)
{
    (void)state;
    group_start(1);
    struct call call;
    prepare(&call, NULL, KW_KIND_RANDOM, KW_ALG_NONE);
    call.op.lane.out.cap = 32;
    assert_int_equal(run_one(&call), KW_OK);
    assert_string_equal(call.op.served_by, "m0");
    assert_int_equal(call.op.lane.out.len, 32);
    script(0, FAKE_OTHER);
    prepare(&call, NULL, KW_KIND_RANDOM, KW_ALG_NONE);
    call.op.lane.out.cap = 32;
    assert_int_equal(run_one(&call), KW_OK);
    assert_string_equal(call.op.served_by, "core");
    pool_member_transition(&pool->members[0], POOL_EV_LOST, "t");
    prepare(&call, NULL, KW_KIND_RANDOM, KW_ALG_NONE);
    call.op.lane.out.cap = 32;
    assert_int_equal(run_one(&call), KW_OK);
    assert_string_equal(call.op.served_by, "core");
}

static void a_core_member_opens_hsm_keys_only_when_told(void **state)
{
    (void)state;
    members[1].kind = POOL_MEMBER_CORE;
    group_start(2);
    struct pool_key *key = make_key(rsa_key, true);
    struct call call;
    assert_false(kc_key_has_private(pool_key_core(key)));
    pool_member_transition(&pool->members[0], POOL_EV_LOST, "t");
    assert_int_equal(sign(&call, key, KW_ALG_RS256), KW_E_UNSUPPORTED);
    pool_key_unref(key);
    group_stop(NULL);
    members[1].opens_hsm_keys = true;
    group_start(2);
    key = make_key(rsa_key, true);
    pool_member_transition(&pool->members[0], POOL_EV_LOST, "t");
    assert_int_equal(sign(&call, key, KW_ALG_RS256), KW_OK);
    assert_string_equal(call.op.served_by, "m1");
    pool_key_unref(key);
}

static void refused_before_any_member_sees_it(void **state)
{
    (void)state;
    group_start(1);
    struct pool_key *key = make_key(rsa_key, true);
    struct call call;
    prepare(&call, key, KW_KIND_SIGN, KW_ALG_RS256);
    call.op.lane.in.len = 31;
    assert_int_equal(pool_submit(port, &call.op), KW_E_INPUT);
    prepare(&call, key, KW_KIND_SIGN, KW_ALG_RS256);
    call.op.lane.out.cap = 255;
    assert_int_equal(pool_submit(port, &call.op), KW_E_INPUT);
    prepare(&call, key, KW_KIND_DECRYPT, KW_ALG_RSA_OAEP);
    assert_int_equal(pool_submit(port, &call.op), KW_E_INPUT);
    assert_int_equal(sign(&call, key, KW_ALG_ES256), KW_E_UNSUPPORTED);
    assert_int_equal(sign(&call, NULL, KW_ALG_RS256), KW_E_INPUT);
    assert_int_equal(fakes[0].attempts, 0);
    assert_int_equal(call.done, 0);
    pool_key_unref(key);
}

/* The rules for keys that only members hold are those of the core: same answer for the same
 * request, on a key that the core can open and on one that it cannot. */
static void both_sides_check_requests_alike(void **state)
{
    (void)state;
    group_start(1);
    const struct kc_key *keys[] = {rsa_key, ec_key, oct_key};
    static uint8_t data[600];
    unsigned compared = 0;
    for (unsigned k = 0; k < 3; k++) {
        struct pool_key *hsm = make_key(keys[k], true);
        for (int kind = 0; kind < KW_KIND_GENERATE; kind++) {
            for (int alg = 0; alg < KW_ALG_COUNT; alg++) {
                static const size_t lens[] = {0,  1,  8,  15, 16,  20,  24,  31,  32,
                                              48, 64, 66, 72, 245, 246, 255, 256, 257};
                for (unsigned l = 0; l < 18 * 4; l++) {
                    struct call call;
                    prepare(&call, hsm, (enum kw_kind)kind, (enum kw_alg)alg);
                    call.op.lane.in = kw_span_of(data, lens[l % 18]);
                    call.op.lane.iv = kw_span_of(data, l / 18 % 2 ? 12 : 16);
                    call.op.lane.sig = kw_span_of(data, 64);
                    call.op.lane.out.cap = l / 36 ? 512 : 40;
                    struct kc_lane_op direct = call.op.lane;
                    direct.key = keys[k];
                    enum kc_shape shape;
                    kw_status expected = kc_lanes_shape(&direct, &shape);
                    kw_status got = pool_submit(port, &call.op);
                    if (got != expected) {
                        fail_msg("key %u kind %d alg %d len %zu iv %zu cap %zu: %s, core %s", k,
                                 kind, alg, lens[l % 18], call.op.lane.iv.len, call.op.lane.out.cap,
                                 kw_status_name(got), kw_status_name(expected));
                    }
                    if (got == KW_OK) {
                        assert_int_equal(call.op.shape, shape);
                        run_until(&call);
                    }
                    compared++;
                }
            }
        }
        pool_key_unref(hsm);
    }
    assert_true(compared > 10000);
}

/* --- exactly once --- */

static void every_op_is_answered_exactly_once(void **state)
{
    (void)state;
    enum { ROUNDS = 120, PER_ROUND = 50 };
    config.recovery_retries = -1;
    group_start(4);
    struct pool_key *key = make_key(oct_key, true);
    static struct call calls[PER_ROUND];
    unsigned seed = 42, accepted = 0, ok = 0;
    for (unsigned i = 0; i < 4; i++) {
        script(i, FAKE_RANDOM_VERDICT);
        fakes[i].at_once = i % 2 == 1;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool taken[PER_ROUND];
        for (unsigned i = 0; i < PER_ROUND; i++) {
            prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_HS256);
            taken[i] = pool_submit(port, &calls[i].op) == KW_OK;
            accepted += taken[i];
        }
        pool_port_run(port);
        /* in between, members come and go */
        struct pool_member *victim = &pool->members[(unsigned)rand_r(&seed) % 4];
        static const enum pool_health_event any[] = {POOL_EV_LOST, POOL_EV_LATE, POOL_EV_ERROR,
                                                     POOL_EV_PROBE_OK};
        pool_member_transition(victim, any[(unsigned)rand_r(&seed) % 4], "random");
        for (unsigned tries = 0; tries < 100; tries++) {
            unsigned held = 0;
            for (unsigned m = 0; m < 4; m++) {
                fake_release(&fakes[m]);
            }
            pool_port_run(port);
            for (unsigned m = 0; m < 4; m++) {
                held += fakes[m].held;
            }
            if (held == 0 && port->in_flight == 0) {
                break;
            }
        }
        for (unsigned i = 0; i < PER_ROUND; i++) {
            assert_int_equal(calls[i].done, taken[i] ? 1 : 0);
            ok += taken[i] && calls[i].op.lane.status == KW_OK;
        }
        if (round % 10 == 9) {
            for (unsigned m = 0; m < 4; m++) {
                pool_member_recover(&pool->members[m]);
            }
            usleep(2000);
        }
    }
    assert_true(accepted > 2000);
    assert_true(ok > accepted / 4);
    for (unsigned m = 0; m < 4; m++) {
        assert_int_equal(pool->members[m].in_flight, 0);
        assert_int_equal(pool->members[m].load_ns, 0);
    }
    assert_int_equal(pool->budget_out, 0);
    pool_key_unref(key);
}

static void a_port_that_goes_answers_what_is_out(void **state)
{
    (void)state;
    group_start(2);
    struct pool_key *key = make_key(rsa_key, true);
    static struct call calls[20];
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    for (unsigned i = 0; i < 20; i++) {
        prepare(&calls[i], key, KW_KIND_SIGN, KW_ALG_RS256);
        assert_int_equal(pool_submit(port, &calls[i].op), KW_OK);
    }
    int64_t before = kw_now_ns();
    pool_port_destroy(port); /* hard deadline: 300 ms */
    port = NULL;
    assert_in_range(kw_now_ns() - before, KW_MS(250), KW_S(3));
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_E_UNAVAILABLE);
    }
    pool_key_unref(key);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, group_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(less_expected_work_is_chosen),
        TEST(cost_counts_and_not_the_number_of_requests),
        TEST(a_slow_member_gets_less),
        TEST(service_time_is_learned),
        TEST(slow_start_shares_by_weight),
        TEST(standby_serves_only_when_no_active_does),
        TEST(suspect_is_the_last_resort),
        TEST(operators_drain_and_activate),
        TEST(a_failed_attempt_moves_on),
        TEST(a_success_between_errors_starts_the_count_anew),
        TEST(callers_faults_charge_nobody),
        TEST(attempts_end_at_three),
        TEST(unsupported_looks_for_one_that_can),
        TEST(deadlines_end_attempts),
        TEST(the_budget_holds_back_a_storm),
        TEST(what_a_refusing_member_had_moves_on),
        TEST(all_that_a_lost_member_had_moves_on),
        TEST(total_loss_answers_at_once_and_ends),
        TEST(members_that_still_start_are_unavailable),
        TEST(wrong_signatures_never_leave),
        TEST(a_generated_key_is_looked_at),
        TEST(a_generated_key_is_kept_as_the_core_writes_it),
        TEST(public_and_software_work_never_costs_a_member),
        TEST(random_comes_from_a_member_or_from_the_core),
        TEST(a_core_member_opens_hsm_keys_only_when_told),
        TEST(refused_before_any_member_sees_it),
        TEST(both_sides_check_requests_alike),
        TEST(every_op_is_answered_exactly_once),
        TEST(a_port_that_goes_answers_what_is_out),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

/* What waits for a member: who is served next, how long anyone waits, and who is refused. */

#include "tests/unit/pool/fake_group.h"

#include "pool/limit.h"

static struct kc_key *oct_key;

static struct pool_key *key;
static struct pool_member_type limited; /* the fake, with a limit by its latency */

static struct call calls[512];

static int group_setup(void **state)
{
    (void)state;
    limited = fake_type;
    limited.depth_min = 1;
    limited.depth_max = 4;
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
    memset(calls, 0, sizeof calls);
    group_reset((struct pool_config){.workers = 1, .recovery_retries = 0}, 4);
    return 0;
}

static int teardown(void **state)
{
    pool_port_destroy(port); /* what a failed assertion left in line still has the key */
    port = NULL;
    pool_key_unref(key);
    key = NULL;
    return group_stop(state);
}

static void start(unsigned count, const struct pool_member_type *type)
{
    pool_kind_override(POOL_MEMBER_PKCS11, type);
    group_start(count);
    key = group_key(oct_key, NULL, true);
}

static kw_status submit(struct call *call, uint64_t client, int64_t time_ns)
{
    prepare(call, key, KW_KIND_SIGN, KW_ALG_HS256);
    call->op.client = client;
    call->op.deadline_ns = kw_now_ns() + time_ns;
    return pool_submit(port, &call->op);
}

/* The member answers its oldest attempt, and keeps what comes after. */
static void answer_one(struct fake *fake)
{
    struct pool_op *op = fake->first;
    assert_non_null(op);
    assert_true(fake_list_remove(&fake->first, &fake->last, op));
    fake->held--;
    fake_answer(fake, op, FAKE_ANSWER);
    pool_port_run(port);
}

static void answer_all(void)
{
    for (unsigned i = 0; i < config.member_count; i++) {
        script(i, FAKE_ANSWER);
        fake_release(&fakes[i]);
    }
    int64_t limit = kw_now_ns() + KW_S(5);
    while (port->in_flight > 0) {
        pool_port_run(port);
        assert_true(kw_now_ns() < limit);
    }
}

static void a_full_member_is_waited_for(void **state)
{
    (void)state;
    start(1, &limited);
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    pool_port_run(port);
    assert_int_equal(fakes[0].held, 4); /* as many as it has sessions */
    struct pool_stats *stats = calloc(1, sizeof *stats);
    pool_stats_read(pool, stats);
    assert_int_equal(stats->queue_depth, 8);
    assert_int_equal(stats->members[0].in_flight_limit, 4);
    free(stats);
    answer_one(&fakes[0]);
    assert_int_equal(calls[0].done, 1);
    assert_int_equal(fakes[0].held, 4); /* the next one moved up */
    answer_all();
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(calls[i].op.lane.status, KW_OK);
        assert_int_equal(calls[i].place, i); /* one client: first come, first served */
    }
    assert_int_equal(pool->line_count, 0);
    assert_int_equal(pool->line_work_ns, 0);
}

static void a_flood_does_not_starve_others(void **state)
{
    (void)state;
    start(1, &limited);
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    pool_port_run(port);
    for (unsigned round = 0; round < 8; round++) {
        struct call *other = &calls[300 + round];
        unsigned before = finished;
        assert_int_equal(submit(other, 2, KW_S(20)), KW_OK);
        while (other->done == 0) {
            answer_one(&fakes[0]);
        }
        /* the four that the member had, its own, and some turns of the flood: what an operation
         * costs is learned from how long this very run takes, so a busy machine or a sanitizer
         * makes it more turns; last in the line would be 250 */
        assert_in_range(other->place - before, 4, 128);
    }
    answer_all();
}

static void clients_share_by_cost(void **state)
{
    (void)state;
    struct pool_fair_clock clock = {0};
    struct pool_fair_queue queue = {0};
    unsigned of_cheap = 0, of_dear = 0;
    for (unsigned i = 0; i < 100; i++) { /* one client's cost eight times the other's */
        calls[i].op = (struct pool_op){.client = 1, .submitted_ns = i};
        calls[100 + i].op = (struct pool_op){.client = 2, .submitted_ns = i};
        pool_fair_tag(&clock, &calls[i].op, 8000);
        pool_fair_push(&queue, &calls[i].op);
        pool_fair_tag(&clock, &calls[100 + i].op, 1000);
        pool_fair_push(&queue, &calls[100 + i].op);
    }
    while (of_cheap < 80) {
        struct pool_op *op = pool_fair_pop(&queue);
        pool_fair_serve(&clock, op);
        *(op->client == 1 ? &of_dear : &of_cheap) += 1;
    }
    assert_in_range(of_dear, 9, 11);
    while (pool_fair_pop(&queue) != NULL) {
    }
    pool_fair_idle(&clock);
    /* what the dear one took while it waited is not held against it now */
    struct pool_op dear = {.client = 1}, cheap = {.client = 2};
    pool_fair_tag(&clock, &dear, 8000);
    pool_fair_tag(&clock, &cheap, 1000);
    assert_int_equal(dear.fair_tag, cheap.fair_tag);
}

/* Any mixture comes out by tag and age, nothing is lost. */
static void the_queue_is_ordered(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (unsigned round = 0; round < 200; round++) {
        struct pool_fair_queue queue = {0};
        unsigned in = 0, out = 0;
        int64_t floor = 0;
        while (out < 256) {
            if (in < 256 && rand_r(&seed) % 3 != 0) {
                struct pool_op *op = &calls[in].op;
                op->fair_tag = floor + rand_r(&seed) % 40;
                op->submitted_ns = in++;
                pool_fair_push(&queue, op);
                continue;
            }
            const struct pool_op *first = pool_fair_first(&queue);
            struct pool_op *op = pool_fair_pop(&queue);
            assert_ptr_equal(first, op);
            if (op == NULL) {
                assert_int_equal(in, out);
                continue;
            }
            assert_true(op->fair_tag >= floor);
            floor = op->fair_tag;
            out++;
            const struct pool_op *next = pool_fair_first(&queue);
            assert_true(next == NULL || next->fair_tag > op->fair_tag ||
                        next->submitted_ns > op->submitted_ns || next->fair_tag == floor);
            assert_int_equal(queue.count, in - out);
        }
    }
}

static void nobody_waits_longer_than_half_his_time(void **state)
{
    (void)state;
    start(1, &limited);
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    int64_t began = kw_now_ns();
    assert_int_equal(submit(&calls[4], 1, KW_MS(400)), KW_OK);
    assert_int_equal(submit(&calls[5], 1, KW_S(20)), KW_OK);
    while (calls[5].done == 0) {
        struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
        poll(&wait, 1, 100);
        pool_port_run(port);
        if (calls[4].done && calls[4].place == 0) {
            assert_true(kw_now_ns() - began >= KW_MS(200));
            calls[4].place = 99;
        }
        assert_true(kw_now_ns() - began < KW_S(5));
    }
    assert_true(kw_now_ns() - began >= KW_S(1));
    assert_int_equal(calls[4].place, 99);
    assert_int_equal(calls[4].op.lane.status, KW_E_BUSY);
    assert_int_equal(calls[5].op.lane.status, KW_E_BUSY);
    assert_in_range(calls[5].op.retry_after_s, 1, 60);
    answer_all();
    assert_int_equal(pool->line_count, 0);
}

static void a_full_line_refuses_the_flood_alone(void **state)
{
    (void)state;
    config.queue_max = 64;
    start(1, &limited);
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 68; i++) { /* four with the member */
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    assert_int_equal(submit(&calls[68], 1, KW_S(20)), KW_E_BUSY);
    assert_in_range(calls[68].op.retry_after_s, 1, 60);
    for (unsigned i = 0; i < 4; i++) { /* a sixteenth of the line is anyone's */
        assert_int_equal(submit(&calls[100 + i], 2, KW_S(20)), KW_OK);
    }
    assert_int_equal(submit(&calls[104], 2, KW_S(20)), KW_E_BUSY);
    answer_all();
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(calls[100 + i].op.lane.status, KW_OK);
    }
}

static void a_long_wait_is_refused_at_once(void **state)
{
    (void)state;
    config.queue_max = 512; /* a sixteenth of it is anyone's */
    start(1, &limited);
    script(0, FAKE_HOLD);
    atomic_store(&pool->members[0].service_ns[KC_SHAPE_HMAC], KW_MS(100));
    unsigned taken = 0;
    while (taken < 500 && submit(&calls[taken], 1, KW_S(20)) == KW_OK) {
        taken++;
    }
    /* four at a time take 100 ms: after two seconds' worth the rest is told when to come again */
    assert_int_equal(calls[taken].op.lane.status, KW_OK);
    assert_in_range(taken, 78, 88);
    assert_in_range(calls[taken].op.retry_after_s, 2, 4);
    assert_int_equal(submit(&calls[501], 2, KW_S(20)), KW_OK);
    atomic_store(&pool->members[0].service_ns[KC_SHAPE_HMAC], 0);
    answer_all();
}

static void a_failed_attempt_waits_for_the_next_member(void **state)
{
    (void)state;
    start(2, &limited);
    script(0, FAKE_HOLD);
    script(1, FAKE_HOLD);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    pool_port_run(port);
    assert_int_equal(fakes[0].held + fakes[1].held, 8);
    fake_release(&fakes[0]); /* gives up what it holds: no room on the other one yet */
    pool_port_run(port);
    assert_int_equal(pool->line_count, 4);
    answer_all();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(calls[i].op.lane.status, KW_OK);
        assert_string_equal(calls[i].op.served_by, "m1");
    }
    assert_int_equal(pool->budget_out, 0);
}

static void a_line_without_members_ends(void **state)
{
    (void)state;
    start(1, &limited);
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    pool_port_run(port);
    pool_member_transition(&pool->members[0], POOL_EV_LOST, "test");
    pool_port_run(port);
    for (unsigned i = 4; i < 8; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_E_UNAVAILABLE);
    }
    fake_release(&fakes[0]);
    pool_port_run(port);
}

static void who_waited_goes_to_the_standby(void **state)
{
    (void)state;
    members[1].role = POOL_ROLE_STANDBY;
    start(2, &limited);
    script(0, FAKE_HOLD); /* it hangs, and nobody knows it yet */
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    pool_port_run(port);
    assert_int_equal(fakes[1].attempts, 0);
    port->line_ns = 0; /* a second later */
    for (unsigned i = 0; i < 8; i++) {
        calls[i].op.give_up_ns = 0;
    }
    pool_port_run(port);
    assert_int_equal(fakes[1].attempts, 4);
    for (unsigned i = 4; i < 8; i++) {
        assert_int_equal(calls[i].op.lane.status, KW_OK);
        assert_string_equal(calls[i].op.served_by, "m1");
    }
    answer_all();
}

/* ---- the limit
 * -----------------------------------------------------------------------------------
 */

/* `n` answers that took `took_ns` each, `busy` under way at the end of each. */
static void learn(unsigned n, int64_t took_ns, int64_t busy)
{
    struct pool_op op = {.port = port, .shape = KC_SHAPE_HMAC};
    struct pool_member *member = &pool->members[0];
    port->now_ns = KW_S(100);
    op.sent_ns = port->now_ns - took_ns;
    atomic_store(&member->in_flight, busy);
    for (unsigned i = 0; i < n; i++) {
        pool_limit_learn(member, &op);
    }
    atomic_store(&member->in_flight, 0);
}

static void the_limit_follows_the_latency(void **state)
{
    (void)state;
    start(1, &limited);
    const struct pool_member *member = &pool->members[0];
    learn(100, KW_MS(1), 1);
    assert_int_equal(pool_limit_now(member), 4); /* never reached: nothing to raise */
    learn(2000, KW_MS(1), 20);
    assert_int_equal(pool_limit_now(member), 16); /* as quick as ever: up to its most */
    learn(40, KW_MS(3), 20);
    assert_int_equal(pool_limit_now(member), 16); /* neither worth more nor less */
    learn(40, KW_MS(20), 20);
    assert_in_range(pool_limit_now(member), 9, 13); /* a quarter at a time */
    learn(2000, KW_MS(20), 20);
    assert_int_equal(pool_limit_now(member), 4); /* and never below its sessions */
    learn(200, KW_MS(20), 1); /* it is slow with nothing to do: that is what it is now */
    learn(2000, KW_MS(20), 20);
    assert_int_equal(pool_limit_now(member), 16);
}

static void every_port_has_a_share(void **state)
{
    (void)state;
    start(1, &limited);
    struct pool_port *other;
    assert_int_equal(pool_port_create(&other, pool), KW_OK);
    script(0, FAKE_HOLD);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(submit(&calls[i], 1, KW_S(20)), KW_OK);
    }
    pool_port_run(port);
    assert_int_equal(fakes[0].held, 4);
    assert_false(pool_limit_has_room(&pool->members[0], port));
    assert_true(pool_limit_has_room(&pool->members[0], other));
    other->placed[0] = 2;
    assert_false(pool_limit_has_room(&pool->members[0], other));
    other->placed[0] = 0;
    answer_all();
    pool_port_destroy(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_member_is_waited_for),
        TEST(a_flood_does_not_starve_others),
        TEST(clients_share_by_cost),
        TEST(the_queue_is_ordered),
        TEST(nobody_waits_longer_than_half_his_time),
        TEST(a_full_line_refuses_the_flood_alone),
        TEST(a_long_wait_is_refused_at_once),
        TEST(a_failed_attempt_waits_for_the_next_member),
        TEST(a_line_without_members_ends),
        TEST(who_waited_goes_to_the_standby),
        TEST(the_limit_follows_the_latency),
        TEST(every_port_has_a_share),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

/* The transition table, its drawing, the predicate and what operators read. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "pool/member_state.h"

static struct pool pool;
static struct pool_member *member = &pool.members[0];
static char heard[512]; /* "from>to " of each event */

static void hear(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    assert_int_equal(event->type, POOL_EVENT_MEMBER_STATE);
    size_t len = strlen(heard);
    snprintf(heard + len, sizeof heard - len, "%s>%s ", event->from, event->to);
}

static int setup(void **state)
{
    (void)state;
    memset(&pool, 0, sizeof pool);
    pthread_mutex_init(&pool.state_lock, NULL);
    pool.config.observer.event = hear;
    pool.config.recovery_retries = 3;
    pool.config.recovery_interval_ns = KW_S(10);
    member->pool = &pool;
    member->next_retry_ns = INT64_MAX;
    member->trying = false;
    snprintf(member->config.name, sizeof member->config.name, "m0");
    heard[0] = 0;
    pool_member_init_state(member, POOL_ROLE_ACTIVE, POOL_HEALTH_STARTING);
    return 0;
}

static const char *sense(void)
{
    static char text[96];
    char reason[128];
    pool_member_sense(member, kw_now_ns(), text, sizeof text, reason, sizeof reason);
    return text;
}

static void rise(void)
{
    pool_member_transition(member, POOL_EV_LOGGED_IN, "t");
    pool_member_transition(member, POOL_EV_IN_STEP, "t");
    pool_member_transition(member, POOL_EV_PROBE_OK, "t");
}

static int index_of(const char *name, const char *(*names)(int), int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names(i), name) == 0) {
            return i;
        }
    }
    fail_msg("the drawing has the unknown name \"%s\"", name);
    return -1;
}

static const char *health_at(int i)
{
    return pool_health_name((enum pool_health)i);
}

static const char *event_at(int i)
{
    return pool_health_event_name((enum pool_health_event)i);
}

static void drawing_and_table_are_equal(void **state)
{
    (void)state;
    static int drawn[POOL_HEALTH_COUNT][POOL_EV_COUNT];
    for (int h = 0; h < POOL_HEALTH_COUNT; h++) {
        for (int e = 0; e < POOL_EV_COUNT; e++) {
            drawn[h][e] = POOL_HEALTH_COUNT;
        }
    }
    FILE *file = fopen(KW_STATES "/member.dot", "r");
    assert_non_null(file);
    char line[512];
    while (fgets(line, sizeof line, file) != NULL) {
        char from[32], to[32], label[256];
        if (sscanf(line, " %31[a-z_] -> %31[a-z_] [label=\"%255[^\"]\"];", from, to, label) != 3) {
            assert_null(strstr(line, "->")); /* an edge that is written in another way */
            continue;
        }
        int f = index_of(from, health_at, POOL_HEALTH_COUNT);
        int t = index_of(to, health_at, POOL_HEALTH_COUNT);
        char *rest = label, *name;
        while ((name = strtok_r(rest, ", ", &rest)) != NULL) {
            int e = index_of(name, event_at, POOL_EV_COUNT);
            assert_int_equal(drawn[f][e], POOL_HEALTH_COUNT); /* one edge per event */
            drawn[f][e] = t;
        }
    }
    fclose(file);
    for (int h = 0; h < POOL_HEALTH_COUNT; h++) {
        for (int e = 0; e < POOL_EV_COUNT; e++) {
            int next = (int)pool_health_next((enum pool_health)h, (enum pool_health_event)e);
            if (next != drawn[h][e]) {
                fail_msg("%s + %s: table %s, drawing %s", health_at(h), event_at(e),
                         health_at(next), health_at(drawn[h][e]));
            }
        }
    }
}

static void only_an_operator_leaves_the_two_states(void **state)
{
    (void)state;
    static const enum pool_health stuck[] = {POOL_HEALTH_AUTH_FAILED, POOL_HEALTH_MISMATCHED};
    for (unsigned s = 0; s < 2; s++) {
        for (int e = 0; e < POOL_EV_COUNT; e++) {
            enum pool_health next = pool_health_next(stuck[s], (enum pool_health_event)e);
            if (e == POOL_EV_OPERATOR_RECOVER) {
                assert_int_equal(next, POOL_HEALTH_STARTING);
            } else {
                assert_true(next == stuck[s] || next == POOL_HEALTH_COUNT);
            }
        }
    }
}

static void the_way_up_needs_every_step(void **state)
{
    (void)state;
    pool_member_transition(member, POOL_EV_PROBE_OK, "early");
    pool_member_transition(member, POOL_EV_IN_STEP, "early");
    assert_int_equal(pool_member_health(member), POOL_HEALTH_STARTING);
    assert_int_equal(pool.unlisted_events, 2);
    pool_member_transition(member, POOL_EV_LOGGED_IN, "t");
    pool_member_transition(member, POOL_EV_PROBE_OK, "before it is in step");
    assert_int_equal(pool_member_health(member), POOL_HEALTH_SYNCING);
    assert_false(pool_member_accepts(member));
    pool_member_transition(member, POOL_EV_IN_STEP, "t");
    assert_false(pool_member_accepts(member));
    pool_member_transition(member, POOL_EV_PROBE_OK, "t");
    assert_true(pool_member_accepts(member));
    pool_member_transition(member, POOL_EV_WARMED, "t");
    assert_string_equal(heard, "starting>syncing syncing>probing probing>warming warming>up ");
    pool_member_transition(member, POOL_EV_PROBE_OK, "periodic");
    assert_int_equal(pool_member_health(member), POOL_HEALTH_UP);
    assert_string_equal(heard, "starting>syncing syncing>probing probing>warming warming>up ");
}

static void accepts_has_this_truth_table(void **state)
{
    (void)state;
    for (int role = 0; role < 2; role++) {
        for (int h = 0; h < POOL_HEALTH_COUNT; h++) {
            for (int admin = 0; admin <= POOL_ADMIN_MAINTENANCE; admin++) {
                pool_member_init_state(member, (enum pool_role)role, (enum pool_health)h);
                pool_member_set_admin(member, (enum pool_admin)admin);
                bool expected =
                    admin == POOL_ADMIN_READY &&
                    (h == POOL_HEALTH_UP || h == POOL_HEALTH_WARMING || h == POOL_HEALTH_SUSPECT);
                assert_int_equal(pool_member_accepts(member), expected);
                assert_int_equal(pool_member_role(member), role);
                assert_int_equal(pool_member_health(member), h);
            }
        }
    }
}

static void recovery_is_paced_and_counted(void **state)
{
    (void)state;
    int64_t now = kw_now_ns(), next;
    rise();
    assert_false(pool_member_retry_due(member, now, &next)); /* not down */
    pool_member_transition(member, POOL_EV_LOST, "process died");
    assert_false(pool_member_retry_due(member, now, &next));
    assert_in_range(next - now, KW_S(10) * 84 / 100, KW_S(10) * 117 / 100);
    for (unsigned attempt = 1; attempt <= 3; attempt++) {
        int64_t at = member->next_retry_ns, wait;
        assert_true(pool_member_retry_due(member, at, NULL));
        assert_int_equal(member->retry, attempt);
        assert_false(pool_member_retry_due(member, at + KW_S(100), &next)); /* one at a time */
        assert_int_equal(next, INT64_MAX);
        pool_member_transition(member, POOL_EV_LOST, "could not start");
        if (attempt < 3) {
            wait = member->next_retry_ns - kw_now_ns();
            int64_t expected = KW_S(10) << attempt;
            assert_in_range(wait, expected * 84 / 100, expected * 116 / 100);
        }
    }
    assert_false(pool_member_retry_due(member, INT64_MAX - 1, &next));
    assert_int_equal(next, INT64_MAX);
    assert_string_equal(sense(), "down (retry 3/3 exhausted)");
    pool_member_recover(member);
    assert_int_equal(pool_member_health(member), POOL_HEALTH_STARTING);
    assert_int_equal(member->retry, 0);
}

static void waits_grow_to_a_minute(void **state)
{
    (void)state;
    pool.config.recovery_retries = -1;
    pool_member_transition(member, POOL_EV_LOST, "t");
    for (unsigned i = 0; i < 40; i++) {
        assert_true(pool_member_retry_due(member, member->next_retry_ns, NULL));
        pool_member_transition(member, POOL_EV_LOST, "t");
    }
    assert_in_range(member->next_retry_ns - kw_now_ns(), KW_S(50), KW_S(70));
}

static void nobody_waits_long_while_nobody_serves(void **state)
{
    (void)state;
    struct pool_member *other = &pool.members[1];
    *other = (struct pool_member){.pool = &pool, .index = 1};
    pool_member_init_state(other, POOL_ROLE_ACTIVE, POOL_HEALTH_UP);
    pool.member_count = 2;
    pool.config.recovery_retries = -1;
    pool.config.recovery_interval_ns = KW_S(1);
    pool_member_transition(member, POOL_EV_LOST, "t");
    for (unsigned i = 0; i < 40; i++) {
        assert_true(pool_member_retry_due(member, member->next_retry_ns, NULL));
        pool_member_transition(member, POOL_EV_LOST, "t");
    }
    assert_false(pool_member_retry_due(member, member->failed_ns + KW_S(3), NULL));
    pool_member_transition(other, POOL_EV_LOST, "t");
    int64_t next;
    assert_false(pool_member_retry_due(member, member->failed_ns + KW_MS(1900), &next));
    assert_in_range(next - member->failed_ns, KW_MS(1900), KW_MS(2100));
    assert_true(pool_member_retry_due(member, member->failed_ns + KW_MS(2100), NULL));
    /* a limited count is not used up faster */
    pool.config.recovery_retries = 1000;
    pool_member_transition(member, POOL_EV_LOST, "t");
    assert_false(pool_member_retry_due(member, member->failed_ns + KW_S(3), NULL));
}

static void recovery_off_waits_for_the_operator(void **state)
{
    (void)state;
    int64_t next;
    pool.config.recovery_retries = 0;
    pool_member_transition(member, POOL_EV_LOST, "t");
    assert_false(pool_member_retry_due(member, INT64_MAX - 1, &next));
    assert_int_equal(next, INT64_MAX);
    assert_string_equal(sense(), "down (recovery off)");
}

static void new_settings_count_for_one_that_is_down(void **state)
{
    (void)state;
    int64_t next;
    pool.config.recovery_retries = 0;
    pool_member_transition(member, POOL_EV_LOST, "t");
    pool.config.recovery_retries = 1;
    assert_false(pool_member_retry_due(member, member->failed_ns + KW_S(9), &next));
    assert_int_equal(next, member->failed_ns + KW_S(10));
    assert_string_equal(sense(), "down (retry 0/1, next in 10s)");
    assert_true(pool_member_retry_due(member, next, NULL));
    assert_string_equal(sense(), "down (retry 1/1 under way)");
    pool_member_transition(member, POOL_EV_LOST, "t");
    assert_false(pool_member_retry_due(member, INT64_MAX - 1, &next));
    pool.config.recovery_retries = -1;
    assert_true(pool_member_retry_due(member, member->failed_ns + KW_S(10), NULL));
    pool_member_transition(member, POOL_EV_LOST, "t");
    pool.config.recovery_retries = 0; /* one was planned: not any more */
    assert_false(pool_member_retry_due(member, INT64_MAX - 1, &next));
    assert_int_equal(next, INT64_MAX);
    assert_string_equal(sense(), "down (recovery off)");
}

static void a_flapping_member_keeps_its_count(void **state)
{
    (void)state;
    pool_member_transition(member, POOL_EV_LOST, "t");
    assert_true(pool_member_retry_due(member, member->next_retry_ns, NULL));
    pool_member_transition(member, POOL_EV_HOST_STARTED, "t");
    rise();
    pool_member_transition(member, POOL_EV_LOST, "again, while it warmed");
    assert_int_equal(member->retry, 1);
    assert_true(pool_member_retry_due(member, member->next_retry_ns, NULL));
    pool_member_transition(member, POOL_EV_HOST_STARTED, "t");
    rise();
    pool_member_transition(member, POOL_EV_WARMED, "t");
    assert_int_equal(member->retry, 0);
}

static void weight_grows_over_slow_start(void **state)
{
    (void)state;
    rise();
    int64_t since = member->up_since_ns;
    assert_in_range(pool_member_weight(member, since), 100, 104);
    assert_in_range(pool_member_weight(member, since + KW_S(5)), 550, 575);
    assert_int_equal(pool_member_weight(member, since + KW_S(10)), 1024);
    pool_member_transition(member, POOL_EV_WARMED, "t");
    assert_int_equal(pool_member_weight(member, since), 1024);
}

static void operators_read_the_sense(void **state)
{
    (void)state;
    assert_string_equal(sense(), "starting");
    rise();
    assert_string_equal(sense(), "active (warming 9%)");
    pool_member_transition(member, POOL_EV_WARMED, "t");
    assert_string_equal(sense(), "active");
    pool_member_transition(member, POOL_EV_LATE, "t");
    assert_string_equal(sense(), "suspect");
    pool_member_set_admin(member, POOL_ADMIN_DRAIN);
    assert_string_equal(sense(), "drained");
    member->in_flight = 3;
    assert_string_equal(sense(), "draining (3 in flight)");
    pool_member_set_admin(member, POOL_ADMIN_READY);
    pool_member_transition(member, POOL_EV_LOST, "t");
    member->next_retry_ns = kw_now_ns() + KW_MS(39500);
    member->retry = 2;
    assert_string_equal(sense(), "down (retry 2/3, next in 40s)");
    pool_member_transition(member, POOL_EV_HOST_STARTED, "t");
    pool_member_transition(member, POOL_EV_LOGGED_IN, "t");
    assert_string_equal(sense(), "recovering (syncing)");
    pool_member_transition(member, POOL_EV_LOGIN_REFUSED, "t");
    assert_string_equal(sense(), "auth_failed");
    pool_member_init_state(member, POOL_ROLE_STANDBY, POOL_HEALTH_UP);
    assert_string_equal(sense(), "standby");
    pool_member_transition(member, POOL_EV_WRONG_DOMAIN, "t");
    assert_string_equal(sense(), "mismatched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(drawing_and_table_are_equal, setup),
        cmocka_unit_test_setup(only_an_operator_leaves_the_two_states, setup),
        cmocka_unit_test_setup(the_way_up_needs_every_step, setup),
        cmocka_unit_test_setup(accepts_has_this_truth_table, setup),
        cmocka_unit_test_setup(recovery_is_paced_and_counted, setup),
        cmocka_unit_test_setup(waits_grow_to_a_minute, setup),
        cmocka_unit_test_setup(nobody_waits_long_while_nobody_serves, setup),
        cmocka_unit_test_setup(recovery_off_waits_for_the_operator, setup),
        cmocka_unit_test_setup(new_settings_count_for_one_that_is_down, setup),
        cmocka_unit_test_setup(a_flapping_member_keeps_its_count, setup),
        cmocka_unit_test_setup(weight_grows_over_slow_start, setup),
        cmocka_unit_test_setup(operators_read_the_sense, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

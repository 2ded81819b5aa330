/* Members come, change and go while a port works: nothing is dropped, nobody is chosen who is not
 * attached, and what is kept by slot stays right. */

#include "tests/unit/pool/fake_group.h"

#include "pool/slot.h"

static struct kc_key *oct_key;

static _Atomic unsigned retired, retired_for_good;

/* A member that takes three calls to end. */
static bool retire(struct pool_member *member, int64_t now_ns, bool for_good)
{
    (void)now_ns;
    assert_int_equal(member->attached, 0);
    unsigned times = atomic_fetch_add(&retired, 1) + 1;
    if (times % 3 != 0) {
        return false;
    }
    atomic_fetch_add(&retired_for_good, for_good);
    return true;
}

static struct pool_member_type type;

static int group_setup(void **state)
{
    (void)state;
    type = fake_type;
    type.retire = retire;
    return !group_make(&type) ||
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
    retired = retired_for_good = 0;
    group_reset((struct pool_config){.workers = 1,
                                     .recovery_retries = -1,
                                     .recovery_interval_ns = KW_MS(20),
                                     .hard_deadline_ns = KW_MS(300)},
                0);
    return 0;
}

static struct pool_key *make_key(void)
{
    return group_key(oct_key, NULL, true);
}

static kw_status submit(struct call *call, struct pool_key *key)
{
    prepare(call, key, KW_KIND_SIGN, KW_ALG_HS256);
    return pool_submit(port, &call->op);
}

static kw_status sign(struct call *call, struct pool_key *key)
{
    prepare(call, key, KW_KIND_SIGN, KW_ALG_HS256);
    return run_one(call);
}

static enum pool_slot_state slot_of(unsigned i)
{
    return pool_slot(&pool->members[i]);
}

/* Runs the port until the condition holds. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        int64_t limit_ = kw_now_ns() + KW_S(10);                                                   \
        while (!(condition)) {                                                                     \
            pool_port_run(port);                                                                   \
            usleep(1000);                                                                          \
            if (kw_now_ns() > limit_)                                                              \
                fail_msg("not within 10 s: %s", #condition);                                       \
        }                                                                                          \
    } while (0)

static bool is_up(unsigned i)
{
    return pool_member_accepts(&pool->members[i]) && port->attached[i];
}

static struct pool_stats *stats(void)
{
    static struct pool_stats out;
    pool_stats_read(pool, &out);
    return &out;
}

static enum pool_set set(const struct pool_member_config *member)
{
    enum pool_set what, foretold;
    assert_int_equal(pool_member_differs(pool, member, &foretold), KW_OK);
    assert_int_equal(pool_member_set(pool, member, &what), KW_OK);
    assert_int_equal(foretold, what);
    return what;
}

/* Enough at a time that nobody can have it all. */
static void load_both(struct pool_key *key)
{
    static struct call calls[200];
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(submit(&calls[i], key), KW_OK);
    }
    pool_port_run(port);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
    }
}

/* --- the table --- */

static int number_of(const char *name, const char *(*names)(int), int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names(i), name) == 0) {
            return i;
        }
    }
    fail_msg("the drawing has the unknown name \"%s\"", name);
    return -1;
}

static const char *state_at(int i)
{
    return pool_slot_state_name((enum pool_slot_state)i);
}

static const char *event_at(int i)
{
    return pool_slot_event_name((enum pool_slot_event)i);
}

static void drawing_and_table_are_equal(void **state)
{
    (void)state;
    int drawn[POOL_SLOT_STATES][POOL_SLOT_EVENTS];
    memset(drawn, -1, sizeof drawn);
    char line[512];
    FILE *file = fopen(KW_STATES "/slot.dot", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        char from[32], to[32], label[64];
        if (sscanf(line, " %31[a-z_] -> %31[a-z_] [label=\"%63[^\"]\"];", from, to, label) != 3) {
            assert_null(strstr(line, "->"));
            continue;
        }
        drawn[number_of(from, state_at, POOL_SLOT_STATES)]
             [number_of(label, event_at, POOL_SLOT_EVENTS)] =
                 number_of(to, state_at, POOL_SLOT_STATES);
    }
    fclose(file);
    for (int s = 0; s < POOL_SLOT_STATES; s++) {
        for (int e = 0; e < POOL_SLOT_EVENTS; e++) {
            int next = (int)pool_slot_next((enum pool_slot_state)s, (enum pool_slot_event)e);
            assert_int_equal(next == POOL_SLOT_STATES ? -1 : next, drawn[s][e]);
        }
    }
}

/* --- in and out --- */

static void a_new_member_serves_on_ports_that_are_there(void **state)
{
    (void)state;
    group_create(1);
    AWAIT(is_up(0));
    struct pool_key *key = make_key();
    assert_int_equal(set(&members[1]), POOL_SET_ADDED);
    assert_int_equal(set(&members[1]), POOL_SET_SAME);
    AWAIT(is_up(1));
    assert_int_equal(pool->live, 2);
    load_both(key);
    assert_true(fakes[1].attempts > 5);
    assert_int_equal(stats()->member_count, 3);
    pool_key_unref(key);
}

static void one_that_leaves_ends_what_it_works_on(void **state)
{
    (void)state;
    config.hard_deadline_ns = KW_S(20);
    group_create(2);
    AWAIT(is_up(0) && is_up(1));
    struct pool_key *key = make_key();
    static struct call calls[40];
    atomic_store(&fakes[0].script, FAKE_HOLD);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(submit(&calls[i], key), KW_OK);
    }
    pool_port_run(port);
    unsigned held = fakes[0].held, attempts = fakes[0].attempts;
    assert_true(held > 0);
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_IF_SAFE), KW_OK);
    for (unsigned i = 0; i < 50; i++) { /* nothing new goes there; it waits for what it has */
        struct call call;
        assert_int_equal(sign(&call, key), KW_OK);
        assert_string_equal(call.op.served_by, "m1");
    }
    assert_int_equal(fakes[0].attempts, attempts);
    assert_int_equal(slot_of(0), POOL_SLOT_LEAVING);
    assert_string_equal(stats()->members[1].admin, "leaving");
    assert_true(strncmp(stats()->members[1].sense, "leaving (", 9) == 0);
    assert_int_equal(pool_member_command(pool, "m0", POOL_CMD_DRAIN), KW_E_NOT_FOUND);
    atomic_store(&fakes[0].script, FAKE_ANSWER);
    fake_release(&fakes[0]);
    AWAIT(slot_of(0) == POOL_SLOT_FREE);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
    }
    assert_false(port->attached[0]);
    assert_int_equal(retired_for_good, 1);
    assert_int_equal(retired, 3);
    assert_int_equal(stats()->member_count, 2);
    assert_string_equal(stats()->members[0].name, "m1");
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_FORCED), KW_E_NOT_FOUND);
    pool_key_unref(key);
}

static void what_a_stuck_one_keeps_is_done_by_others(void **state)
{
    (void)state;
    group_create(2);
    AWAIT(is_up(0) && is_up(1));
    struct pool_key *key = make_key();
    static struct call calls[20];
    atomic_store(&fakes[0].script, FAKE_HOLD);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(submit(&calls[i], key), KW_OK);
    }
    pool_port_run(port);
    assert_true(fakes[0].held > 0);
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_IF_SAFE), KW_OK);
    AWAIT(slot_of(0) == POOL_SLOT_FREE); /* after the hard deadline of 0.3 s */
    pool_port_run(port);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].op.lane.status, KW_OK);
        assert_string_equal(calls[i].op.served_by, "m1");
    }
    pool_key_unref(key);
}

static void the_last_one_that_serves_stays(void **state)
{
    (void)state;
    fakes[1].alive = false;
    group_create(2);
    AWAIT(is_up(0));
    struct pool_key *key = make_key();
    struct call call;
    assert_int_equal(pool_member_remove(pool, "m9", POOL_REMOVE_IF_SAFE), KW_E_NOT_FOUND);
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_IF_SAFE), KW_E_FORBIDDEN);
    assert_int_equal(slot_of(0), POOL_SLOT_MEMBER);
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_WHEN_SAFE), KW_OK);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(sign(&call, key), KW_OK);
        assert_string_equal(call.op.served_by, "m0");
    }
    /* it is wanted again before another one came */
    assert_int_equal(set(&members[0]), POOL_SET_CHANGED);
    atomic_store(&fakes[1].alive, true);
    pool_supervisor_wake(pool);
    AWAIT(is_up(1));
    assert_int_equal(set(&members[0]), POOL_SET_SAME);
    assert_int_equal(slot_of(0), POOL_SLOT_MEMBER);
    pool_key_unref(key);
}

/* Remote members make no keys and have none that live on tokens alone. */
static void the_last_hsm_stays(void **state)
{
    (void)state;
    pool_kind_override(POOL_MEMBER_REMOTE, &type);
    members[1].kind = POOL_MEMBER_REMOTE;
    group_create(2);
    AWAIT(is_up(0) && is_up(1));
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_IF_SAFE), KW_E_FORBIDDEN);
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_WHEN_SAFE), KW_OK);
    assert_int_equal(set(&members[2]), POOL_SET_ADDED);
    AWAIT(slot_of(0) == POOL_SLOT_FREE);
    assert_int_equal(pool_member_remove(pool, "m1", POOL_REMOVE_IF_SAFE), KW_OK);
    AWAIT(slot_of(1) == POOL_SLOT_FREE);
    pool_kind_override(POOL_MEMBER_REMOTE, NULL);
}

static void it_leaves_when_another_serves(void **state)
{
    (void)state;
    fakes[1].alive = false;
    group_create(2);
    AWAIT(is_up(0));
    struct pool_key *key = make_key();
    struct call call;
    assert_int_equal(pool_member_remove(pool, "m0", POOL_REMOVE_WHEN_SAFE), KW_OK);
    assert_string_equal(stats()->members[0].reason, "it leaves when another member serves");
    assert_int_equal(sign(&call, key), KW_OK);
    assert_string_equal(call.op.served_by, "m0");
    atomic_store(&fakes[1].alive, true);
    pool_supervisor_wake(pool);
    AWAIT(slot_of(0) == POOL_SLOT_FREE);
    assert_int_equal(sign(&call, key), KW_OK);
    assert_string_equal(call.op.served_by, "m1");
    /* the last one goes when the operator insists; the group then serves nothing, and no HSM key is
     * opened by the core */
    assert_int_equal(pool_member_remove(pool, "m1", POOL_REMOVE_FORCED), KW_OK);
    AWAIT(slot_of(1) == POOL_SLOT_FREE);
    assert_int_equal(submit(&call, key), KW_E_UNAVAILABLE);
    assert_int_equal(stats()->member_count, 1);
    assert_false(stats()->can_serve);
    assert_int_equal(set(&members[2]), POOL_SET_ADDED);
    AWAIT(is_up(2));
    assert_int_equal(sign(&call, key), KW_OK);
    pool_key_unref(key);
}

/* --- settings --- */

static void an_heir_takes_over_when_it_is_up(void **state)
{
    (void)state;
    group_create(1);
    AWAIT(is_up(0));
    struct pool_key *key = make_key();
    struct call call;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(sign(&call, key), KW_OK);
    }
    atomic_store(&fakes[0].alive, false); /* so that the heir does not come up yet */
    members[0].sessions = 16;
    assert_int_equal(set(&members[0]), POOL_SET_REPLACED);
    assert_int_equal(set(&members[0]), POOL_SET_SAME);
    AWAIT(port->attached[1]);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(sign(&call, key), KW_OK);
        assert_int_equal(call.op.served_on, 1);
    }
    assert_int_equal(slot_of(1), POOL_SLOT_HEIR);
    assert_int_equal(pool->live, 1);
    assert_int_equal(stats()->member_count, 2); /* one entry for the name, and the core */
    assert_true(strncmp(stats()->members[0].reason, "its new settings: starting", 26) == 0);
    assert_int_equal(pool_member_command(pool, "m0", POOL_CMD_DRAIN), KW_OK);
    assert_int_equal(pool_member_command(pool, "m0", POOL_CMD_ACTIVATE), KW_OK);
    atomic_store(&fakes[0].alive, true);
    pool_supervisor_wake(pool);
    while (slot_of(0) != POOL_SLOT_FREE) { /* at no moment is there none */
        assert_int_equal(sign(&call, key), KW_OK);
        usleep(500);
    }
    assert_int_equal(sign(&call, key), KW_OK);
    assert_int_equal(call.op.served_on, 2);
    assert_int_equal(pool->members[1].config.sessions, 16);
    assert_int_equal(retired_for_good, 0);
    assert_int_equal(stats()->member_count, 2);
    assert_true(stats()->members[0].kinds[KW_KIND_SIGN].ok > 60); /* the name's counts go on */
    pool_key_unref(key);
}

static void a_change_that_is_taken_back_ends_the_heir(void **state)
{
    (void)state;
    group_create(1);
    AWAIT(is_up(0));
    atomic_store(&fakes[0].alive, false);
    members[0].sessions = 16;
    assert_int_equal(set(&members[0]), POOL_SET_REPLACED);
    members[0].sessions = 8;
    enum pool_set what;
    assert_int_equal(pool_member_set(pool, &members[0], &what), KW_OK);
    AWAIT(slot_of(1) == POOL_SLOT_FREE);
    assert_int_equal(slot_of(0), POOL_SLOT_MEMBER);
    assert_true(is_up(0));
    assert_string_equal(stats()->members[0].reason, "test");
}

static _Atomic int back_what = -1;
static pthread_t back;
static atomic_bool moving;

static void *set_back(void *arg)
{
    enum pool_set what;
    (void)arg;
    assert_int_equal(pool_member_set(pool, &members[0], &what), KW_OK);
    back_what = (int)what;
    return NULL;
}

/* In the middle of the take-over another thread asks for the settings from before. */
static void on_take_over(void *ctx, const struct pool_event *event)
{
    (void)ctx;
    if (event->type != POOL_EVENT_MEMBERSHIP || strcmp(event->from, "heir") != 0 ||
        strcmp(event->to, "member") != 0 || atomic_exchange(&moving, true)) {
        return;
    }
    members[0].sessions = 8;
    pthread_create(&back, NULL, set_back, NULL);
    for (int i = 0; i < 100 && back_what < 0; i++) {
        usleep(1000);
    }
}

/* The thread that asks sees the group before the take-over or after it, never with two members of
 * one name, of which the one it looks at is about to leave. */
static void a_change_does_not_meet_a_take_over(void **state)
{
    (void)state;
    config.observer.event = on_take_over;
    back_what = -1;
    moving = false;
    group_create(1);
    AWAIT(is_up(0));
    members[0].sessions = 16;
    assert_int_equal(set(&members[0]), POOL_SET_REPLACED);
    AWAIT(moving && back_what >= 0);
    pthread_join(back, NULL);
    assert_int_equal(back_what, POOL_SET_REPLACED);
    AWAIT(slot_of(0) == POOL_SLOT_FREE && slot_of(1) == POOL_SLOT_FREE);
    assert_int_equal(slot_of(2), POOL_SLOT_MEMBER);
    assert_int_equal(pool->members[2].config.sessions, 8);
}

static void one_that_is_out_is_followed_at_once(void **state)
{
    (void)state;
    group_create(2);
    AWAIT(is_up(0) && is_up(1));
    pool_member_set_admin(&pool->members[0], POOL_ADMIN_DRAIN);
    atomic_store(&fakes[0].alive, false);
    pool_member_transition(&pool->members[0], POOL_EV_LOGIN_REFUSED, "t");
    members[0].hosts = 2;
    assert_int_equal(set(&members[0]), POOL_SET_REPLACED);
    AWAIT(slot_of(0) == POOL_SLOT_FREE);
    assert_int_equal(slot_of(2), POOL_SLOT_MEMBER);
    assert_int_equal(pool_member_admin(&pool->members[2]), POOL_ADMIN_DRAIN); /* is the name's */
}

static void role_and_priority_change_in_place(void **state)
{
    (void)state;
    group_create(3);
    AWAIT(is_up(0) && is_up(1) && is_up(2));
    struct pool_key *key = make_key();
    struct call call;
    members[0].priority = 2;
    members[1].role = POOL_ROLE_STANDBY;
    assert_int_equal(set(&members[0]), POOL_SET_CHANGED);
    assert_int_equal(set(&members[1]), POOL_SET_CHANGED);
    AWAIT(pool->members[0].priority == 2 &&
          pool_member_role(&pool->members[1]) == POOL_ROLE_STANDBY);
    assert_int_equal(retired, 0);
    assert_string_equal(stats()->members[0].sense, "active (priority 2)");
    assert_string_equal(stats()->members[1].sense, "standby");
    /* the nearest one that is well, then the far one, then the standby, then who is suspect */
    static const struct {
        unsigned falls;
        const char *next;
    } steps[] = {{3, "m2"}, {2, "m0"}, {0, "m1"}};
    for (unsigned s = 0; s < 3; s++) {
        if (steps[s].falls < 3) {
            pool_member_transition(&pool->members[steps[s].falls], POOL_EV_LATE, "t");
        }
        for (unsigned i = 0; i < 30; i++) {
            assert_int_equal(sign(&call, key), KW_OK);
            assert_string_equal(call.op.served_by, steps[s].next);
        }
    }
    pool_member_transition(&pool->members[1], POOL_EV_LATE, "t");
    assert_int_equal(sign(&call, key), KW_OK);
    assert_string_equal(call.op.served_by, "m2");
    pool_key_unref(key);
}

static void settings_of_the_group_change(void **state)
{
    (void)state;
    group_create(2);
    AWAIT(is_up(0) && is_up(1));
    struct pool_key *key = make_key();
    static struct call calls[5];
    bool changed;
    struct pool_config next = config;
    assert_int_equal(pool_settings_change(pool, &next, &changed), KW_OK);
    assert_false(changed);
    next.queue_max = 1;
    next.hedge = true;
    assert_int_equal(pool_settings_change(pool, &next, &changed), KW_OK);
    assert_true(changed);
    assert_int_equal(pool_config(pool)->queue_max, 1);
    assert_true(pool_config(pool)->hedge);
    assert_int_equal(pool_config(pool)->recovery_retries, -1);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&fakes[i].script, FAKE_HOLD);
    }
    for (unsigned i = 0; i < 4; i++) { /* one with each member, and one in line for each */
        assert_int_equal(submit(&calls[i], key), KW_OK);
    }
    assert_int_equal(submit(&calls[4], key), KW_E_BUSY);
    next.recovery_retries = -2;
    assert_int_equal(pool_settings_change(pool, &next, &changed), KW_E_INPUT);
    next = config;
    assert_int_equal(pool_settings_change(pool, &next, &changed), KW_OK);
    assert_true(changed);
    assert_int_equal(submit(&calls[4], key), KW_OK);
    pool_port_run(port);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&fakes[i].script, FAKE_ANSWER);
        fake_release(&fakes[i]);
    }
    pool_port_run(port);
    pool_key_unref(key);
}

static void what_needs_a_restart_is_refused(void **state)
{
    (void)state;
    enum pool_set what;
    group_create(0);
    assert_int_equal(pool_member_set(pool, &members[0], &what), KW_E_UNSUPPORTED);
    group_stop(NULL);
    members[1].kind = POOL_MEMBER_CORE;
    members[1].opens_hsm_keys = true;
    group_create(2);
    struct pool_member_config core = members[1];
    snprintf(core.name, sizeof core.name, "m3");
    assert_int_equal(pool_member_set(pool, &core, &what), KW_E_UNSUPPORTED);
    assert_int_equal(what, POOL_SET_ADDED);
    assert_int_equal(pool_member_remove(pool, "m1", POOL_REMOVE_FORCED), KW_E_UNSUPPORTED);
    members[1].role = POOL_ROLE_STANDBY;
    assert_int_equal(pool_member_set(pool, &members[1], &what), KW_E_UNSUPPORTED);
    members[0].kind = POOL_MEMBER_CORE;
    assert_int_equal(pool_member_set(pool, &members[0], &what), KW_E_UNSUPPORTED);
    assert_int_equal(what, POOL_SET_REPLACED);
    members[0].name[0] = 0;
    assert_int_equal(pool_member_set(pool, &members[0], &what), KW_E_INPUT);
}

static void a_slot_rests_before_it_is_used_again(void **state)
{
    (void)state;
    enum pool_set what;
    group_create(1);
    AWAIT(is_up(0));
    struct pool_key *key = make_key();
    struct call call;
    for (unsigned i = 1; i < POOL_MAX_MEMBERS; i++) {
        assert_int_equal(set(&members[1]), POOL_SET_ADDED);
        AWAIT(is_up(i));
        assert_int_equal(sign(&call, key), KW_OK);
        assert_int_equal(pool_member_remove(pool, "m1", POOL_REMOVE_IF_SAFE), KW_OK);
        AWAIT(slot_of(i) == POOL_SLOT_FREE);
    }
    assert_int_equal(pool_member_set(pool, &members[1], &what), KW_E_BUSY);
    pool->members[7].emptied_ns -= POOL_SLOT_REST_NS;
    assert_int_equal(set(&members[1]), POOL_SET_ADDED);
    AWAIT(is_up(7));
    atomic_store(&fakes[1].attempts, 0);
    load_both(key);
    assert_true(fakes[1].attempts > 5);
    assert_int_equal(stats()->member_count, 3);
    assert_int_equal(stats()->members[1].kinds[KW_KIND_SIGN].ok, fakes[1].attempts);
    pool_key_unref(key);
}

/* --- all at once --- */

static atomic_bool over;

static void *change_all_the_time(void *arg)
{
    unsigned seed = 7, *changes = arg;
    while (!atomic_load(&over)) {
        struct pool_member_config member = members[1 + (unsigned)rand_r(&seed) % 3];
        enum pool_set what;
        member.sessions = 1 + (unsigned)rand_r(&seed) % 2;
        member.priority = 1 + (unsigned)rand_r(&seed) % 2;
        kw_status status = (unsigned)rand_r(&seed) % 3 == 0
                               ? pool_member_remove(pool, member.name, POOL_REMOVE_IF_SAFE)
                               : pool_member_set(pool, &member, &what);
        if (status == KW_OK) {
            (*changes)++;
        }
        stats();
        /* as if half a minute had passed */
        for (unsigned i = 0; i < POOL_MAX_MEMBERS; i++) {
            pthread_mutex_lock(&pool->change_lock);
            if (slot_of(i) == POOL_SLOT_FREE &&
                kw_now_ns() - pool->members[i].emptied_ns > KW_MS(50)) {
                pool->members[i].emptied_ns = 0;
            }
            pthread_mutex_unlock(&pool->change_lock);
        }
        usleep(2000);
    }
    return NULL;
}

static void nothing_is_dropped_while_members_come_and_go(void **state)
{
    (void)state;
    unsigned changes = 0, signed_ = 0;
    pthread_t changer;
    group_create(4);
    AWAIT(is_up(0) && is_up(1) && is_up(2) && is_up(3));
    struct pool_key *key = make_key();
    static struct call calls[64];
    atomic_store(&over, false);
    assert_int_equal(pthread_create(&changer, NULL, change_all_the_time, &changes), 0);
    int64_t end = kw_now_ns() + KW_S(2);
    while (kw_now_ns() < end) {
        for (unsigned i = 0; i < 64; i++) {
            assert_int_equal(submit(&calls[i], key), KW_OK);
        }
        unsigned done = 0;
        int64_t limit = kw_now_ns() + KW_S(10);
        while (done < 64) {
            pool_port_run(port);
            assert_true(kw_now_ns() < limit);
            done = 0;
            for (unsigned i = 0; i < 64; i++) {
                done += calls[i].done;
            }
        }
        for (unsigned i = 0; i < 64; i++) {
            assert_int_equal(calls[i].op.lane.status, KW_OK);
            signed_++;
        }
    }
    atomic_store(&over, true);
    pthread_join(changer, NULL);
    assert_true(changes > 100);
    assert_true(signed_ > 1000);
    for (unsigned i = 0; i < POOL_MAX_MEMBERS; i++) {
        assert_int_equal(pool->members[i].in_flight, 0);
        assert_int_equal(pool->members[i].load_ns, 0);
    }
    pool_key_unref(key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, group_stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawing_and_table_are_equal),
        TEST(a_new_member_serves_on_ports_that_are_there),
        TEST(one_that_leaves_ends_what_it_works_on),
        TEST(what_a_stuck_one_keeps_is_done_by_others),
        TEST(the_last_one_that_serves_stays),
        TEST(it_leaves_when_another_serves),
        TEST(the_last_hsm_stays),
        TEST(an_heir_takes_over_when_it_is_up),
        TEST(a_change_that_is_taken_back_ends_the_heir),
        TEST(a_change_does_not_meet_a_take_over),
        TEST(one_that_is_out_is_followed_at_once),
        TEST(role_and_priority_change_in_place),
        TEST(settings_of_the_group_change),
        TEST(what_needs_a_restart_is_refused),
        TEST(a_slot_rests_before_it_is_used_again),
        TEST(nothing_is_dropped_while_members_come_and_go),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

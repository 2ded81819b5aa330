/* How many calls run at a time follows what the library is. */
#include "pool/pkcs11/host_turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void window(struct pool_host_turns *turns, int64_t took_ns, int64_t cpu_ns)
{
    for (int i = 0; i < 16; i++) {
        (void)pool_host_turns_learn(turns, took_ns, cpu_ns);
    }
}

static void begins_with_a_call_for_each_session(void **state)
{
    (void)state;
    struct pool_host_turns turns;
    pool_host_turns_init(&turns, 8, 2);
    assert_int_equal(turns.limit, 8);
    assert_false(turns.computes);
}

static void computing_takes_processors(void **state)
{
    (void)state;
    struct pool_host_turns turns;
    pool_host_turns_init(&turns, 8, 2);
    for (int i = 0; i < 15; i++) {
        assert_false(pool_host_turns_learn(&turns, 50000, 49000));
    }
    assert_true(pool_host_turns_learn(&turns, 50000, 49000));
    assert_int_equal(turns.limit, 2);
    assert_true(turns.computes);
    pool_host_turns_init(&turns, 1, 4); /* never more than sessions */
    window(&turns, 50000, 49000);
    assert_int_equal(turns.limit, 1);
}

static void a_device_takes_sessions(void **state)
{
    (void)state;
    struct pool_host_turns turns;
    pool_host_turns_init(&turns, 8, 2);
    window(&turns, 1000000, 80000);
    assert_int_equal(turns.limit, 8);
    window(&turns, 50000, 49000); /* whatever it was before */
    assert_int_equal(turns.limit, 2);
    window(&turns, 1000000, 80000);
    assert_int_equal(turns.limit, 8);
}

/* Calls that waited for a lock or a processor are not the quickest of their window. */
static void waiting_for_a_lock_is_no_device(void **state)
{
    (void)state;
    struct pool_host_turns turns;
    pool_host_turns_init(&turns, 8, 2);
    for (int i = 0; i < 15; i++) {
        (void)pool_host_turns_learn(&turns, 400000 + i, 50000);
    }
    (void)pool_host_turns_learn(&turns, 55000, 50000);
    assert_int_equal(turns.limit, 2);
}

static void samples_all_then_some(void **state)
{
    (void)state;
    struct pool_host_turns turns;
    pool_host_turns_init(&turns, 8, 2);
    for (int i = 0; i < 16; i++) {
        assert_true(pool_host_turns_samples(&turns));
        (void)pool_host_turns_learn(&turns, 50000, 49000);
    }
    unsigned sampled = 0;
    for (int i = 0; i < 160; i++) {
        sampled += pool_host_turns_samples(&turns);
    }
    assert_int_equal(sampled, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begins_with_a_call_for_each_session),
        cmocka_unit_test(computing_takes_processors),
        cmocka_unit_test(a_device_takes_sessions),
        cmocka_unit_test(waiting_for_a_lock_is_no_device),
        cmocka_unit_test(samples_all_then_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The token bucket of a client: burst, refill, and that clients do not touch each other. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/auth/rate.h"

#define SECOND 1000000000LL
#define START  (100 * SECOND)

static void a_burst_of_one_second_and_then_the_rate(void **state)
{
    (void)state;
    struct gw_rate *rate = gw_rate_create(10);
    assert_non_null(rate);
    for (int i = 0; i < 10; i++)
        assert_int_equal(gw_rate_take(rate, "a", START), 0);
    assert_int_equal(gw_rate_take(rate, "a", START), 1);
    assert_int_equal(gw_rate_take(rate, "a", START + SECOND / 10 - 1), 1);
    assert_int_equal(gw_rate_take(rate, "a", START + SECOND / 10), 0);
    assert_int_equal(gw_rate_take(rate, "a", START + SECOND / 10), 1);
    unsigned passed = 0;
    for (int ms = 0; ms < 10000; ms++) /* asks a hundred times too often for ten seconds */
        passed += gw_rate_take(rate, "a", START + SECOND + ms * (SECOND / 1000)) == 0;
    assert_in_range(passed, 105, 110);
    gw_rate_destroy(rate);
}

static void a_flood_does_not_starve_another(void **state)
{
    (void)state;
    struct gw_rate *rate = gw_rate_create(5);
    for (int i = 0; i < 100000; i++)
        (void)gw_rate_take(rate, "flood", START);
    for (int i = 0; i < 5; i++)
        assert_int_equal(gw_rate_take(rate, "quiet", START), 0);
    assert_int_equal(gw_rate_take(rate, "quiet", START), 1);
    /* refused requests cost nothing: after a second the flood has its rate again, not less */
    for (int i = 0; i < 5; i++)
        assert_int_equal(gw_rate_take(rate, "flood", START + SECOND), 0);
    gw_rate_destroy(rate);
}

static void many_clients_have_a_bucket_each(void **state)
{
    (void)state;
    struct gw_rate *rate = gw_rate_create(1);
    char name[32];
    unsigned refused = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 500; i++) {
            snprintf(name, sizeof name, "client-%d", i);
            refused += gw_rate_take(rate, name, START + 2 * round * SECOND) != 0;
        }
    }
    assert_int_equal(refused, 0);
    gw_rate_destroy(rate);
}

static struct gw_rate *shared;
static _Atomic unsigned passed;

static void *hammer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++)
        passed += gw_rate_take(shared, "one", START) == 0;
    return NULL;
}

static void threads_share_one_bucket(void **state)
{
    (void)state;
    pthread_t threads[4];
    shared = gw_rate_create(1000);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(passed, 1000); /* not one more */
    gw_rate_destroy(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_of_one_second_and_then_the_rate),
        cmocka_unit_test(a_flood_does_not_starve_another),
        cmocka_unit_test(many_clients_have_a_bucket_each),
        cmocka_unit_test(threads_share_one_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

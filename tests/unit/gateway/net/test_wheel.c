#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/net/wheel.h"

#define START KW_S(5000)
#define TICK  KW_MS(GW_WHEEL_TICK_MS)

static struct gw_wheel wheel;
static int64_t clock_ns;
static int fired;

struct probe {
    struct gw_timer timer;
    int64_t due, at;
    int count;
    int64_t again; /* set again this much later */
};

static void on_expired(struct gw_timer *timer)
{
    struct probe *probe = (struct probe *)timer;
    probe->at = clock_ns;
    probe->count++;
    fired++;
    if (probe->again)
        gw_wheel_set(&wheel, timer, clock_ns + probe->again);
}

static void run_until(int64_t end, int64_t step)
{
    while (clock_ns < end) {
        clock_ns += step;
        gw_wheel_run(&wheel, clock_ns);
    }
}

static int setup(void **state)
{
    (void)state;
    clock_ns = START;
    fired = 0;
    gw_wheel_init(&wheel, clock_ns);
    return 0;
}

static void timers_fire_once_and_in_time(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct probe probes[N];
    memset(probes, 0, sizeof probes);
    srand(1);
    for (int i = 0; i < N; i++) {
        probes[i].timer.expired = on_expired;
        /* up to three rounds of the wheel */
        probes[i].due = START + KW_MS(rand() % (3 * GW_WHEEL_SLOTS * GW_WHEEL_TICK_MS)) + 1;
        gw_wheel_set(&wheel, &probes[i].timer, probes[i].due);
    }
    run_until(START + 4 * GW_WHEEL_SLOTS * TICK, KW_MS(50));
    assert_int_equal(fired, N);
    assert_int_equal(wheel.armed, 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(probes[i].count, 1);
        assert_true(probes[i].at >= probes[i].due);
        assert_true(probes[i].at - probes[i].due <= 2 * TICK + KW_MS(50));
    }
}

static void moved_and_cleared(void **state)
{
    (void)state;
    struct probe later = {.timer = {.expired = on_expired}}, sooner = later, never = later;
    gw_wheel_set(&wheel, &later.timer, START + KW_S(1));
    gw_wheel_set(&wheel, &later.timer, START + KW_S(3));
    gw_wheel_set(&wheel, &sooner.timer, START + KW_S(30));
    gw_wheel_set(&wheel, &sooner.timer, START + KW_S(1));
    gw_wheel_set(&wheel, &never.timer, START + KW_S(1));
    gw_wheel_set(&wheel, &never.timer, 0);
    run_until(START + KW_S(2), KW_MS(100));
    assert_int_equal(sooner.count, 1);
    assert_int_equal(later.count, 0);
    run_until(START + KW_S(40), KW_MS(100));
    assert_int_equal(later.count, 1);
    assert_int_equal(sooner.count, 1);
    assert_int_equal(never.count, 0);
}

static void set_again_from_its_callback(void **state)
{
    (void)state;
    struct probe probe = {.timer = {.expired = on_expired}, .again = KW_S(1)};
    gw_wheel_set(&wheel, &probe.timer, START + KW_S(1));
    run_until(START + KW_S(10), KW_MS(100));
    assert_in_range(probe.count, 8, 10);
    gw_wheel_set(&wheel, &probe.timer, 0);
    assert_int_equal(wheel.armed, 0);
}

static void a_long_sleep_loses_nothing(void **state)
{
    (void)state;
    struct probe near = {.timer = {.expired = on_expired}}, far = near;
    gw_wheel_set(&wheel, &near.timer, START + KW_S(1));
    gw_wheel_set(&wheel, &far.timer, START + KW_S(7200));
    clock_ns = START + KW_S(3600);
    gw_wheel_run(&wheel, clock_ns);
    assert_int_equal(near.count, 1);
    assert_int_equal(far.count, 0);
    clock_ns = START + KW_S(7201);
    gw_wheel_run(&wheel, clock_ns);
    assert_int_equal(far.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(timers_fire_once_and_in_time, setup),
        cmocka_unit_test_setup(moved_and_cleared, setup),
        cmocka_unit_test_setup(set_again_from_its_callback, setup),
        cmocka_unit_test_setup(a_long_sleep_loses_nothing, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Work beside the loops when the gateway ends: what runs is waited for, what waits is dropped. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "gateway/api/aside.h"
#include "gateway/app.h"

#define MILLISECONDS 300

struct slow {
    struct gw_loop *loop;
    atomic_bool begun, ended;
    atomic_uint more, answers;
};

static void work(void *ctx)
{
    struct slow *slow = ctx;
    atomic_store(&slow->begun, true);
    nanosleep(&(struct timespec){.tv_nsec = MILLISECONDS * 1000000L}, NULL);
    atomic_store(&slow->ended, true);
}

static void more(void *ctx)
{
    atomic_fetch_add(&((struct slow *)ctx)->more, 1);
}

static void done(void *ctx)
{
    atomic_fetch_add(&((struct slow *)ctx)->answers, 1);
}

static void begin(void *ctx)
{
    struct slow *slow = ctx;
    assert_int_equal(gw_aside_run(slow->loop, work, done, slow), KW_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(gw_aside_run(slow->loop, more, done, slow), KW_OK);
}

static void test_settle(void **state)
{
    struct gw_app app = {0};
    struct pool_config config = {.workers = 1};
    (void)state;
    assert_int_equal(kc_lanes_init(), KW_OK);
    assert_int_equal(kc_domain_create(&app.domain), KW_OK);
    assert_int_equal(pool_create(&app.pool, &config, app.domain), KW_OK);
    struct slow slow = {.loop = gw_loop_create(&app, 0)};
    assert_non_null(slow.loop);
    assert_int_equal(gw_loop_start(slow.loop), KW_OK);
    assert_int_equal(gw_loop_post(slow.loop, begin, &slow), KW_OK);
    while (!atomic_load(&slow.begun))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    gw_loop_drain(slow.loop, 0);
    gw_loop_join(slow.loop);
    gw_aside_settle(&app);
    assert_true(atomic_load(&slow.ended));
    gw_loop_destroy(slow.loop);
    /* the thread goes on for others, and what was dropped stays dropped */
    slow.loop = gw_loop_create(&app, 0);
    assert_non_null(slow.loop);
    assert_int_equal(gw_loop_start(slow.loop), KW_OK);
    atomic_store(&slow.begun, false);
    assert_int_equal(atomic_load(&slow.more), 0);
    assert_int_equal(gw_loop_post(slow.loop, begin, &slow), KW_OK);
    while (atomic_load(&slow.answers) < 4)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(atomic_load(&slow.more), 3);
    gw_loop_drain(slow.loop, 1000);
    gw_loop_join(slow.loop);
    gw_aside_settle(&app);
    gw_loop_destroy(slow.loop);
    pool_destroy(app.pool);
    kc_domain_destroy(app.domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_settle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

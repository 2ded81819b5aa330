/* The port's own promises: one descriptor tells of everything, calls from other threads arrive in
 * order, watched descriptors reach their link, links are asked to give up at deadlines, and an idle
 * port is quiet. */

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "tests/unit/pool/fake_member.h"

static struct kc_domain *domain;
static struct pool *pool;
static struct pool_port *port;

static int watched_fd = -1;
static unsigned ready_count, expire_count;
static struct pool_op *held;

static void test_submit(struct pool_member *member, void *link, struct pool_op *op)
{
    (void)member;
    (void)link;
    held = op;
}

static void test_ready(struct pool_member *member, void *link, uint32_t events)
{
    uint64_t value;
    assert_ptr_equal(link, pool_port_link(port, member));
    assert_true((events & EPOLLIN) != 0);
    assert_int_equal(read(watched_fd, &value, sizeof value), sizeof value);
    ready_count++;
}

static int64_t test_expire(struct pool_member *member, void *link, int64_t now_ns)
{
    (void)link;
    expire_count++;
    if (held != NULL && now_ns >= held->deadline_ns) {
        struct pool_op *op = held;
        held = NULL;
        pool_op_return(member, op, POOL_VERDICT_OTHER_FREE, "late");
    }
    return held != NULL ? held->deadline_ns : INT64_MAX;
}

static int setup(void **state)
{
    (void)state;
    static struct pool_member_type type;
    type = fake_type;
    type.submit = test_submit;
    type.flush = NULL;
    type.ready = test_ready;
    type.expire = test_expire;
    fake_reset();
    pool_kind_override(POOL_MEMBER_PKCS11, &type);
    ready_count = expire_count = 0;
    static const struct pool_member_config member = {.name = "m0", .kind = POOL_MEMBER_PKCS11};
    struct pool_config config = {.members = &member, .member_count = 1, .workers = 1};
    if (kc_lanes_init() != KW_OK || kc_domain_create(&domain) != KW_OK ||
        pool_create(&pool, &config, domain) != KW_OK || pool_port_create(&port, pool) != KW_OK) {
        return -1;
    }
    while (!pool_member_accepts(&pool->members[0])) {
        usleep(500);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pool_port_destroy(port);
    pool_destroy(pool);
    kc_domain_destroy(domain);
    fake_free();
    return 0;
}

static bool readable(int timeout_ms)
{
    struct pollfd wait = {.fd = pool_port_fd(port), .events = POLLIN};
    return poll(&wait, 1, timeout_ms) == 1;
}

static uintptr_t order[300];
static unsigned called;

static void note_call(struct pool_port *at, void *arg)
{
    assert_ptr_equal(at, port);
    order[called++] = (uintptr_t)arg;
}

static void each_port(struct pool_port *at, void *arg)
{
    assert_int_equal(pool_port_call(at, note_call, arg), KW_OK);
}

static void *call_from_outside(void *arg)
{
    (void)arg;
    for (uintptr_t i = 0; i < 300; i++) {
        pool_each_port(pool, each_port, (void *)i);
    }
    return NULL;
}

static void calls_arrive_in_order_and_wake(void **state)
{
    (void)state;
    pthread_t thread;
    called = 0;
    assert_false(readable(0)); /* quiet */
    assert_int_equal(pthread_create(&thread, NULL, call_from_outside, NULL), 0);
    while (called < 300) {
        assert_true(readable(5000));
        pool_port_run(port);
    }
    pthread_join(thread, NULL);
    for (uintptr_t i = 0; i < 300; i++) {
        assert_int_equal(order[i], i);
    }
    pool_port_run(port);
    assert_false(readable(20));
}

static void watched_descriptors_reach_their_link(void **state)
{
    (void)state;
    uint64_t one = 1;
    struct pool_member *member = &pool->members[0];
    watched_fd = eventfd(0, EFD_NONBLOCK);
    assert_int_equal(
        pool_port_watch(port, watched_fd, EPOLLIN, member, pool_port_link(port, member)), KW_OK);
    assert_int_equal(pool_port_watch(port, -1, EPOLLIN, member, NULL), KW_E_IO);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(write(watched_fd, &one, sizeof one), sizeof one);
        assert_true(readable(1000));
        pool_port_run(port);
        assert_int_equal(ready_count, i);
    }
    pool_port_unwatch(port, watched_fd);
    pool_port_unwatch(port, watched_fd); /* twice is harmless */
    assert_int_equal(write(watched_fd, &one, sizeof one), sizeof one);
    assert_false(readable(20));
    pool_port_run(port);
    assert_int_equal(ready_count, 3);
    close(watched_fd);
}

static unsigned done;

static void on_done(struct pool_op *op)
{
    (void)op;
    done++;
}

static void links_are_asked_at_the_deadline(void **state)
{
    (void)state;
    uint8_t out[16];
    struct pool_generated made;
    struct pool_op op = {
        .lane = {.kind = KW_KIND_GENERATE, .out = {.data = out, .cap = sizeof out}},
        .generate = {.kty = KW_KTY_EC, .curve = KW_CURVE_P256, .hsm = true, .out = &made},
        .deadline_ns = kw_now_ns() + KW_MS(35),
        .on_done = on_done,
    };
    done = 0;
    assert_int_equal(pool_submit(port, &op), KW_OK);
    pool_port_run(port);
    while (done == 0) {
        assert_true(readable(1000)); /* the timer alone */
        pool_port_run(port);
    }
    assert_int_equal(op.lane.status, KW_E_DEADLINE);
    assert_true(kw_now_ns() - op.deadline_ns < KW_MS(60)); /* before the next tick */
    assert_in_range(expire_count, 1, 4);
    /* nothing in flight: one last tick, then no timer */
    usleep(150000);
    pool_port_run(port);
    unsigned before = expire_count;
    assert_false(readable(250));
    assert_int_equal(expire_count, before);
}

/* The wake-up of a port, slowed down: other threads' writes to its descriptor come through here. */
static _Atomic int slow_fd = -1;
static _Atomic bool in_write;

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (fd != slow_fd) {
        return syscall(SYS_write, fd, bytes, len);
    }
    in_write = true;
    usleep(200000);
    ssize_t wrote = syscall(SYS_write, fd, bytes, len);
    in_write = false;
    return wrote;
}

static void *post_held(void *arg)
{
    struct pool_op *op = held;
    held = NULL;
    op->lane.status = KW_OK;
    pool_port_post(op, arg);
    return NULL;
}

/* An operation can be taken in, answered and its port be asked to end before the thread that posted
 * it has done with the port. */
static void a_port_outlives_who_wakes_it(void **state)
{
    (void)state;
    uint8_t out[16];
    struct pool_op op = {.lane = {.kind = KW_KIND_RANDOM, .out = {out, 0, sizeof out}},
                         .deadline_ns = kw_now_ns() + KW_S(20),
                         .on_done = on_done};
    pthread_t thread;
    done = 0;
    assert_int_equal(pool_submit(port, &op), KW_OK);
    assert_non_null(held);
    pool_port_run(port);
    slow_fd = port->event_fd;
    assert_int_equal(pthread_create(&thread, NULL, post_held, &pool->members[0]), 0);
    while (!in_write) {
        usleep(100);
    }
    pool_port_destroy(port);
    port = NULL;
    assert_false(in_write);
    assert_int_equal(done, 1);
    slow_fd = -1;
    pthread_join(thread, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_arrive_in_order_and_wake),
        TEST(watched_descriptors_reach_their_link),
        TEST(links_are_asked_at_the_deadline),
        TEST(a_port_outlives_who_wakes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

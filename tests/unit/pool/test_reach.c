#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "pool/reach.h"

/* A listening socket of its own port, or one that is bound and does not listen. */
static int bound(unsigned *port, bool listening)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_true(!listening || listen(fd, 1) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static enum pool_reach_state run(const char *host, unsigned port, int64_t limit_ns, char why[160])
{
    const struct timespec pause = {0, 1000000};
    struct pool_reach *reach;
    enum pool_reach_state state;
    int64_t start = kw_now_ns();
    assert_int_equal(pool_reach_start(&reach, host, port, start, limit_ns), KW_OK);
    while ((state = pool_reach_step(reach, kw_now_ns())) == POOL_REACH_RESOLVING ||
           state == POOL_REACH_CONNECTING) {
        assert_true(kw_now_ns() - start < limit_ns + KW_S(5));
        nanosleep(&pause, NULL);
    }
    strncpy(why, pool_reach_why(reach), 159);
    assert_true(state == POOL_REACH_NO_NAME || strcmp(pool_reach_address(reach), "127.0.0.1") == 0);
    pool_reach_free(reach);
    return state;
}

static void open_and_closed_ports(void **state)
{
    (void)state;
    unsigned open_port, closed_port;
    char why[160] = "";
    int a = bound(&open_port, true), b = bound(&closed_port, false);
    assert_int_equal(run("127.0.0.1", open_port, KW_S(5), why), POOL_REACH_OK);
    assert_string_equal(why, "");
    assert_int_equal(run("127.0.0.1", closed_port, KW_S(5), why), POOL_REACH_REFUSED);
    assert_string_equal(why, "Connection refused");
    close(a);
    close(b);
}

static void no_such_name(void **state)
{
    (void)state;
    char why[160] = "";
    assert_int_equal(run("no-such-host.invalid", 1, KW_S(5), why), POOL_REACH_NO_NAME);
    assert_string_not_equal(why, "");
}

static void given_up_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct pool_reach *reach;
        assert_int_equal(
            pool_reach_start(&reach, i % 2 ? "localhost" : "x.invalid", 1, kw_now_ns(), KW_S(1)),
            KW_OK);
        for (int steps = 0; steps < i / 4; steps++) {
            (void)pool_reach_step(reach, kw_now_ns());
        }
        pool_reach_free(reach);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(open_and_closed_ports),
                                       cmocka_unit_test(no_such_name),
                                       cmocka_unit_test(given_up_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

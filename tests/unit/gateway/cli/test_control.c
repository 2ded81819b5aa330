/* The CLI's reading of an HTTP/1.1 answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/cli/control.h"

static void reads(const char *response, int status, const char *body)
{
    int got = 0;
    char *text = NULL;
    assert_int_equal(cli_control_parse(response, strlen(response), &got, &text), KW_OK);
    assert_int_equal(got, status);
    assert_string_equal(text, body);
    free(text);
}

static void refuses(const char *response)
{
    int got = 0;
    char *text = NULL;
    assert_int_equal(cli_control_parse(response, strlen(response), &got, &text), KW_E_INPUT);
    assert_null(text);
}

static void test_good(void **state)
{
    (void)state;
    reads("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}");
    reads("HTTP/1.1 503 x\r\na: b\r\ncontent-length:3\r\n\r\nabc", 503, "abc");
    reads("HTTP/1.1 204 No\r\n\r\n", 204, "");
    reads("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
          200, "abcde");
}

static void test_bad(void **state)
{
    (void)state;
    refuses("");
    refuses("HTTP/1.1");
    refuses("HTTP/1.1 200 OK\r\n");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
    refuses("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc");
    refuses("HTTP/1.1 99 OK\r\n\r\n");
    refuses("HTTP/2 200\r\n\r\n");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc\r\n");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    refuses("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
}

static void test_no_gateway(void **state)
{
    (void)state;
    int status = 0;
    char *body = NULL, error[512];
    assert_int_equal(
        cli_control("/nonexistent/c.sock", "GET", "/", &status, &body, error, sizeof error),
        KW_E_UNAVAILABLE);
    assert_non_null(strstr(error, "/nonexistent/c.sock"));
    char path[256];
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(cli_control(path, "GET", "/", &status, &body, error, sizeof error),
                     KW_E_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_no_gateway)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

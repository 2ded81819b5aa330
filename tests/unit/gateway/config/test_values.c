#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/config/values.h"

static void test_durations(void **state)
{
    (void)state;
    int64_t ns = 0;
    assert_int_equal(gw_parse_duration("250ms", &ns), KW_OK);
    assert_int_equal(ns, 250000000);
    assert_int_equal(gw_parse_duration("1s", &ns), KW_OK);
    assert_int_equal(ns, 1000000000);
    assert_int_equal(gw_parse_duration("2m", &ns), KW_OK);
    assert_int_equal(ns, 120000000000);
    assert_int_equal(gw_parse_duration("720h", &ns), KW_OK);
    static const char *const bad[] = {"",    "1",   "s",    "-1s",  " 1s", "1 s",
                                      "1S",  "1sx", "0x1s", "721h", "1us", "18446744073709551616s",
                                      "+1s", "1.5s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gw_parse_duration(bad[i], &ns), KW_E_INPUT);
}

static void test_sizes(void **state)
{
    (void)state;
    size_t bytes = 0;
    assert_int_equal(gw_parse_size("262144", &bytes), KW_OK);
    assert_int_equal(bytes, 262144);
    assert_int_equal(gw_parse_size("16MiB", &bytes), KW_OK);
    assert_int_equal(bytes, 16777216);
    assert_int_equal(gw_parse_size("1024MiB", &bytes), KW_OK);
    static const char *const bad[] = {"", "0", "-1", "1k", "1KB", "1GiB", "1025MiB", "1 MiB"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gw_parse_size(bad[i], &bytes), KW_E_INPUT);
}

static void test_binds(void **state)
{
    (void)state;
    bool is_unix = true;
    unsigned port = 0;
    assert_int_equal(gw_parse_bind("127.0.0.1:8443", &is_unix, &port), KW_OK);
    assert_false(is_unix);
    assert_int_equal(port, 8443);
    assert_int_equal(gw_parse_bind("[::1]:0", &is_unix, &port), KW_OK);
    assert_int_equal(port, 0);
    assert_int_equal(gw_parse_bind("unix:/run/k.sock", &is_unix, &port), KW_OK);
    assert_true(is_unix);
    char longest[5 + 108 + 1] = "unix:/";
    memset(longest + 6, 'a', 106);
    assert_int_equal(gw_parse_bind(longest, NULL, NULL), KW_OK);
    longest[112] = 'a';
    assert_int_equal(gw_parse_bind(longest, NULL, NULL), KW_E_INPUT);
    static const char *const bad[] = {"",
                                      "8443",
                                      ":8443",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:84x",
                                      "127.0.0.1:-1",
                                      "::1:8443",
                                      "[127.0.0.1]:1",
                                      "localhost:8443",
                                      "unix:",
                                      "unix:/",
                                      "unix:relative"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(gw_parse_bind(bad[i], NULL, NULL), KW_E_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_durations),
                                       cmocka_unit_test(test_sizes), cmocka_unit_test(test_binds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Log lines are JSON whatever is put into them, one line and one write each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/obs/log.h"
#include "pool/events.h"

static int saved = -1, ends[2];

static int capture(void **state)
{
    (void)state;
    saved = dup(STDERR_FILENO);
    return saved >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0 ? 0 : -1;
}

static int release(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* One read is one line: the pipe keeps writes apart only when nothing else waits in it. */
static json_t *next_line(char *raw, size_t len)
{
    ssize_t n = read(ends[0], raw, len - 1);
    assert_true(n > 1);
    raw[n] = '\0';
    assert_ptr_equal(strchr(raw, '\n'), raw + n - 1);
    json_t *line = json_loads(raw, JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_object(line));
    return line;
}

static const char *text(const json_t *line, const char *name)
{
    return json_string_value(json_object_get(line, name));
}

static void test_plain(void **state)
{
    (void)state;
    char raw[8192];
    gw_log(GW_LOG_WARN, "hello", "a", "1", "b", NULL, "c", "3", NULL);
    json_t *line = next_line(raw, sizeof raw);
    assert_string_equal(text(line, "message"), "hello");
    assert_string_equal(text(line, "level"), "warn");
    assert_string_equal(text(line, "a"), "1");
    assert_true(json_is_null(json_object_get(line, "b")));
    assert_string_equal(text(line, "c"), "3");
    const char *time = text(line, "time"); /* 2026-01-02T03:04:05.678Z */
    assert_int_equal(strlen(time), 24);
    assert_int_equal(time[10], 'T');
    assert_int_equal(time[19], '.');
    assert_int_equal(time[23], 'Z');
    json_decref(line);
    gw_log_n(GW_LOG_ERROR, "n", "value", -7, "x", "y", NULL);
    line = next_line(raw, sizeof raw);
    assert_int_equal(json_integer_value(json_object_get(line, "value")), -7);
    assert_string_equal(text(line, "x"), "y");
    json_decref(line);
}

static void test_hostile(void **state)
{
    (void)state;
    char raw[8192];
    gw_log(GW_LOG_INFO, "m", "v", "a\"b\\c\nd\te\x01\x7f", NULL);
    json_t *line = next_line(raw, sizeof raw);
    assert_string_equal(text(line, "v"), "a\"b\\c\nd\te\x01\x7f");
    json_decref(line);
    /* well-formed UTF-8 passes; overlong, surrogate, cut and stray bytes become U+FFFD */
    gw_log(GW_LOG_INFO, "m", "v", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", NULL);
    line = next_line(raw, sizeof raw);
    assert_string_equal(text(line, "v"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    json_decref(line);
    static const char *const bad[] = {"\xc0\xaf",         "\xe0\x80\xaf", "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80", "\xff",         "\x80",
                                      "\xe2\x82",         "\xf0\x9f\x98"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gw_log(GW_LOG_INFO, "m", "v", bad[i], NULL);
        line = next_line(raw, sizeof raw);
        assert_non_null(strstr(text(line, "v"), "\xef\xbf\xbd"));
        json_decref(line);
    }
}

static void test_long(void **state)
{
    (void)state;
    char raw[8192], value[4096];
    /* multi-byte characters, so that the cut falls inside one for some length */
    for (size_t shift = 0; shift < 4; shift++) {
        memset(value, 'a', sizeof value);
        for (size_t i = shift; i + 4 < sizeof value; i += 4)
            memcpy(value + i, "\xf0\x9f\x98\x80", 4);
        value[sizeof value - 1] = '\0';
        gw_log(GW_LOG_INFO, value, "a", value, "b", value, "c", value, "d", value, "e", value, "f",
               value, "g", value, "h", value, "i", value, NULL);
        json_t *line = next_line(raw, sizeof raw);
        assert_true(strlen(text(line, "a")) >= 509 && strlen(text(line, "a")) <= 515);
        assert_true(strlen(raw) <= 4096);
        json_decref(line);
    }
    memset(value, '\x01', sizeof value);
    value[sizeof value - 1] = '\0';
    gw_log(GW_LOG_INFO, value, "a", value, "b", value, NULL);
    json_decref(next_line(raw, sizeof raw));
}

static void test_level(void **state)
{
    (void)state;
    char raw[8192];
    gw_log_level_set(GW_LOG_WARN);
    gw_log(GW_LOG_INFO, "not shown", NULL);
    gw_log_n(GW_LOG_DEBUG, "not shown", "n", 1, NULL);
    gw_log(GW_LOG_ERROR, "shown", NULL);
    json_t *line = next_line(raw, sizeof raw);
    assert_string_equal(text(line, "message"), "shown");
    json_decref(line);
    gw_log_level_set(GW_LOG_INFO);
}

static void test_pool_events(void **state)
{
    (void)state;
    char raw[8192];
    struct pool_event event = {.type = POOL_EVENT_MEMBER_STATE,
                               .member = "hsm-a",
                               .from = "up",
                               .to = "down",
                               .reason = "gone"};
    gw_log_pool_event(NULL, &event);
    json_t *line = next_line(raw, sizeof raw);
    assert_string_equal(text(line, "member"), "hsm-a");
    assert_string_equal(text(line, "to"), "down");
    assert_string_equal(text(line, "level"), "warn");
    json_decref(line);
    event = (struct pool_event){.type = POOL_EVENT_LOGIN_REFUSED, .member = "hsm-a", .number = 160};
    gw_log_pool_event(NULL, &event);
    line = next_line(raw, sizeof raw);
    assert_string_equal(text(line, "level"), "error");
    assert_int_equal(json_integer_value(json_object_get(line, "rv")), 160);
    json_decref(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, capture, release),
        cmocka_unit_test_setup_teardown(test_hostile, capture, release),
        cmocka_unit_test_setup_teardown(test_long, capture, release),
        cmocka_unit_test_setup_teardown(test_level, capture, release),
        cmocka_unit_test_setup_teardown(test_pool_events, capture, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Strings of answers: JSON whatever the text holds. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "gateway/api/json/write.h"

/* The string as a reader of JSON has it; malloc'd. */
static char *through(const char *data, size_t len)
{
    struct gw_out out;
    gw_out_init(&out, NULL, 8, 4096);
    gw_out_string(&out, data, len);
    assert_false(out.failed);
    json_t *read = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    gw_out_free(&out);
    assert_true(json_is_string(read));
    char *text = strdup(json_string_value(read));
    json_decref(read);
    return text;
}

static void same(const char *given, const char *wanted)
{
    char *copy = strndup(given, strlen(given)); /* a read behind it is seen */
    char *got = through(copy, strlen(given));
    assert_string_equal(got, wanted);
    free(got);
    free(copy);
}

static void test_strings(void **state)
{
#define LOST "\xef\xbf\xbd"
    (void)state;
    same("", "");
    same("a\"b\\c\n\r\t\x01\x7f/", "a\"b\\c\n\r\t\x01\x7f/");
    same("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf \xf0\x90\x80\x80 "
         "\xf4\x8f\xbf\xbf",
         "\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf \xf0\x90\x80\x80 "
         "\xf4\x8f\xbf\xbf");
    /* cut, alone, overlong, a surrogate, too large, Latin-1 */
    same("a\xc3", "a" LOST);
    same("a\xe2\x82", "a" LOST LOST);
    same("a\xf0\x9f\x92", "a" LOST LOST LOST);
    same("\x80z", LOST "z");
    same("\xc0\xaf", LOST LOST);
    same("\xe0\x9f\xbf", LOST LOST LOST);
    same("\xed\xa0\x80", LOST LOST LOST);
    same("\xf4\x90\x80\x80", LOST LOST LOST LOST);
    same("\xff\xfe", LOST LOST);
    same("\xc3(\xe2\x82\xac", LOST "(\xe2\x82\xac");
    same("f\xfcr \xc3\xa9", "f" LOST "r \xc3\xa9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_strings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

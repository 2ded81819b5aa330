#include "crypto/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void text_of_others_is_fit_to_be_shown(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"plain ~", "plain ~"},
        {"a\tb\n\x1b[31m\x7f", "a?b??[31m?"},
        {"Schl\xc3\xbcssel \xe2\x82\xac \xf0\x9f\x94\x91",
         "Schl\xc3\xbcssel \xe2\x82\xac \xf0\x9f\x94\x91"},
        {"Schl\xfcssel", "Schl?ssel"},
        {"cut \xc3", "cut ?"},
        {"cut \xf0\x9f\x94", "cut ???"},
        {"\xc2\x9b"
         "31m \xc2\xa0",
         "??31m \xc2\xa0"},
        {"\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xff", "?? ??? ???? ?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[64];
        strcpy(text, pairs[i][0]);
        kw_text_clean(text);
        assert_string_equal(text, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_of_others_is_fit_to_be_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

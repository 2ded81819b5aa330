/* GUIDs: either case in, lower case out, and nothing else is one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/guid.h"

static void test_both_ways(void **state)
{
    static const char text[] = "A290e904-7015-4bba-90c8-60543313cdb4";
    uint8_t guid[GW_GUID_LEN];
    char out[GW_GUID_TEXT + 1];
    (void)state;
    assert_true(gw_guid_read(guid, kw_span_str(text)));
    assert_int_equal(guid[0], 0xa2);
    assert_int_equal(guid[15], 0xb4);
    gw_guid_write(out, guid);
    assert_string_equal(out, "a290e904-7015-4bba-90c8-60543313cdb4");
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "a290e904-7015-4bba-90c8-60543313cdb",
                                      "a290e904-7015-4bba-90c8-60543313cdb4a",
                                      "a290e90407015-4bba-90c8-60543313cdb4",
                                      "a290e904-7015-4bba-90c8-60543313cdbg",
                                      "a290e904-7015-4bba-90c-860543313cdb4",
                                      "{290e904-7015-4bba-90c8-60543313cdb}"};
    uint8_t guid[GW_GUID_LEN];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(gw_guid_read(guid, kw_span_str(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_both_ways),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

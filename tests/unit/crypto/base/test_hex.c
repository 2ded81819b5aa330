/* Hexadecimal digits: every byte there and back, and what is none. */

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/base/hex.h"

static void every_byte_comes_back(void **state)
{
    (void)state;
    uint8_t all[256], back[256];
    char text[2 * sizeof all + 1];
    for (unsigned i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    kw_hex_write(text, all, sizeof all);
    assert_int_equal(strlen(text), 2 * sizeof all);
    assert_memory_equal(text, "000102", 6);
    assert_string_equal(text + 2 * sizeof all - 4, "feff");
    assert_true(kw_hex_read(back, sizeof back, text));
    assert_memory_equal(back, all, sizeof all);
    assert_true(kw_hex_read(back, 2, "aFFa"));
    assert_memory_equal(back, "\xaf\xfa", 2);
}

static void what_is_no_digit(void **state)
{
    (void)state;
    unsigned digits = 0;
    for (unsigned c = 0; c < 256; c++)
        digits += kw_hex_digit((uint8_t)c) >= 0;
    assert_int_equal(digits, 22);
    uint8_t byte;
    const char *bad[] = {"", "0", "g0", "0g", "/0", ":0", "@0", "`0", " 0", "-1", "0x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(kw_hex_read(&byte, 1, bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(what_is_no_digit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

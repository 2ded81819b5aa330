/* Whose backup a folder is, by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/vault/archive/full.h"

static void test_folders_are_of_one_vault(void **state)
{
    static const char *const own[] = {"mhsm-a-2026112209400012",
                                      "keyward-a-20261122T094000Z-0123cdef",
                                      "mhsm-A-2026112209400012"};
    static const char *const other[] = {"",
                                        "mhsm-a-",
                                        "mhsm-a",
                                        "mhsm-a-202611220940001",
                                        "mhsm-a-20261122094000123",
                                        "mhsm-a-b-2026112209400012",
                                        "mhsm-b-2026112209400012",
                                        "mhsm-a-2026112209400o12",
                                        "keyward-a-2026112209400012",
                                        "keyward-a-20261122T094000Z-0123cdeg",
                                        "keyward-a-20261122T094000Z-0123cde",
                                        "keyward-a-20261122T094000Z-0123cdef0",
                                        "keyward-b-20261122T094000Z-0123cdef",
                                        "keyward-a-b-20261122T094000Z-0123cdef"};
    (void)state;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        assert_true(vault_full_is_of(own[i], "a"));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(vault_full_is_of(other[i], "a"));
    assert_true(vault_full_is_of("mhsm-a-b-2026112209400012", "a-b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_folders_are_of_one_vault)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

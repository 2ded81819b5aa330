/* Which operation a key may do when. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/vault/keys/keys.h"

#define ALL 0x3f
#define L   VAULT_CLOCK_LEEWAY_S

struct row {
    bool enabled;
    uint16_t ops;
    int64_t nbf, exp, now;
    enum kw_kind kind;
    const char *why; /* NULL: permitted */
};

static const struct row rows[] = {
    {true, ALL, 0, 0, 1000, KW_KIND_SIGN, NULL},
    {false, ALL, 0, 0, 1000, KW_KIND_SIGN, "KeyDisabled"},
    {false, ALL, 0, 0, 1000, KW_KIND_VERIFY, "KeyDisabled"},
    {false, ALL, 0, 0, 1000, KW_KIND_UNWRAP, "KeyDisabled"},
    {true, 1 << KW_KIND_VERIFY, 0, 0, 1000, KW_KIND_SIGN, "KeyOperationForbidden"},
    {true, 1 << KW_KIND_VERIFY, 0, 0, 1000, KW_KIND_VERIFY, NULL},
    {true, ALL, 0, 0, 1000, KW_KIND_GENERATE, "KeyOperationForbidden"},
    {true, 0xffff, 0, 0, 1000, KW_KIND_RANDOM, "KeyOperationForbidden"},
    {true, ALL, 2000, 0, 2000 - L - 1, KW_KIND_SIGN, "KeyNotYetValid"},
    {true, ALL, 2000, 0, 2000 - L - 1, KW_KIND_ENCRYPT, "KeyNotYetValid"},
    {true, ALL, 2000, 0, 2000 - L - 1, KW_KIND_WRAP, "KeyNotYetValid"},
    {true, ALL, 2000, 0, 2000 - L - 1, KW_KIND_VERIFY, NULL},
    {true, ALL, 2000, 0, 2000 - L - 1, KW_KIND_DECRYPT, NULL},
    {true, ALL, 2000, 0, 2000 - L - 1, KW_KIND_UNWRAP, NULL},
    {true, ALL, 2000, 0, 2000 - L, KW_KIND_SIGN, NULL},
    {true, ALL, 0, 2000, 2000 + L - 1, KW_KIND_SIGN, NULL},
    {true, ALL, 0, 2000, 2000 + L, KW_KIND_SIGN, "KeyExpired"},
    {true, ALL, 0, 2000, 2000 + L, KW_KIND_ENCRYPT, "KeyExpired"},
    {true, ALL, 0, 2000, 2000 + L, KW_KIND_WRAP, "KeyExpired"},
    {true, ALL, 0, 2000, 9000, KW_KIND_VERIFY, NULL},
    {true, ALL, 0, 2000, 9000, KW_KIND_DECRYPT, NULL},
    {true, ALL, 0, 2000, 9000, KW_KIND_UNWRAP, NULL},
    {true, 1 << KW_KIND_SIGN, 0, 2000, 9000, KW_KIND_UNWRAP, "KeyOperationForbidden"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct vault_key key = {
            .ops = row->ops,
            .attributes = {.enabled = row->enabled, .nbf = row->nbf, .exp = row->exp}};
        const char *why = "unset";
        kw_status status = vault_key_permits(&key, row->kind, row->now, &why);
        if (status != (row->why ? KW_E_FORBIDDEN : KW_OK))
            fail_msg("row %zu: %s", i, kw_status_name(status));
        if (row->why)
            assert_string_equal(why, row->why);
        else
            assert_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The table of data actions and the built-in roles that hold them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/vault/roles/actions.h"

#define HSM "Microsoft.KeyVault/managedHsm/"

static bool has(unsigned builtin, const char *word)
{
    unsigned action = vault_action_find(word);
    assert_int_not_equal(action, VAULT_ACTION_NONE);
    struct vault_actions set = vault_builtin_at(builtin).actions;
    return vault_actions_have(&set, action);
}

static void test_find(void **state)
{
    (void)state;
    for (unsigned i = 0; i < vault_action_count; i++) {
        const char *word = strchr(strchr(vault_action_name(i), '/') + 1, '/') + 1;
        assert_int_equal(vault_action_find(word), i); /* no word stands twice */
    }
    assert_int_equal(vault_action_find("KEYS/SIGN/ACTION"), vault_action_find("keys/sign/action"));
    assert_int_equal(vault_action_find("keys/sign"), VAULT_ACTION_NONE);
    assert_int_equal(vault_action_find(""), VAULT_ACTION_NONE);
    assert_string_equal(vault_action_name(VAULT_ACTION_NONE), "unknown");
    struct vault_actions every = {{UINT64_MAX, UINT64_MAX}};
    assert_false(vault_actions_have(&every, VAULT_ACTION_NONE));
}

/* The order is the one of the table of the reference: Administrator, Officer, User, Policy,
 * Auditor, ... */
static void test_builtin(void **state)
{
    (void)state;
    enum { AD, OF, US, PO, AU, EN, RE, BA, RS, ARM };
    static const struct {
        const char *word;
        unsigned roles;
    } rows[] = {
        {"keys/sign/action", 1 << US},
        {"keys/read/action", 1 << US | 1 << AU | 1 << EN},
        {"keys/wrap/action", 1 << US | 1 << EN},
        {"keys/deletedKeys/delete", 1 << OF},
        {"keys/deletedKeys/read/action", 1 << OF | 1 << AU},
        {"keys/backup/action", 1 << US | 1 << BA},
        {"keys/release/action", 1 << US | 1 << RE},
        {"roleAssignments/read/action", 1 << AD | 1 << OF | 1 << US | 1 << PO | 1 << AU},
        {"roleAssignments/write/action", 1 << AD | 1 << OF | 1 << PO},
        {"backup/start/action", 1 << AD | 1 << BA},
        {"restore/status/action", 1 << AD | 1 << RS},
        {"securitydomain/download/action", 1 << AD},
        {"settings/write/action", 1 << AD},
        {"secrets/getSecret/action", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned role = 0; role < VAULT_BUILTINS; role++)
            assert_int_equal(has(role, rows[i].word), rows[i].roles >> role & 1);
    }
    struct vault_actions arm = vault_builtin_at(ARM).actions;
    assert_true(arm.bits[0] == 0 && arm.bits[1] == 0);
    assert_string_equal(vault_builtin_at(ARM).management[0], HSM "keys/createIfNotExists");
    uint8_t guid[GW_GUID_LEN];
    for (unsigned i = 0; i < VAULT_BUILTINS; i++)
        assert_true(gw_guid_read(guid, kw_span_str(vault_builtin_at(i).id)));
}

static unsigned count(const struct vault_actions *set)
{
    return (unsigned)(__builtin_popcountll(set->bits[0]) + __builtin_popcountll(set->bits[1]));
}

static void test_names_and_patterns(void **state)
{
    const struct {
        const char *pattern;
        unsigned count;
    } rows[] = {
        {HSM "keys/sign/action", 1},   {"MICROSOFT.KEYVAULT/MANAGEDHSM/keys/sign/ACTION", 1},
        {HSM "keys/deletedKeys/*", 3}, {HSM "keys/deletedKeys/*/action", 2},
        {"*/sign/action", 1},          {HSM "roleAssignments/*/action", 3},
        {"**", vault_action_count},    {"*", vault_action_count},
        {HSM "keys/sign/action*", 1},
    };
    static const char *const none[] = {
        "",   "x",           HSM,     HSM "keys/sign", "keys/sign/action", HSM "keys/sign/action ",
        "*x", "*/nothing/*", "/*" HSM};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vault_actions set = {{0}};
        assert_true(vault_actions_add_named(&set, kw_span_str(rows[i].pattern)));
        assert_int_equal(count(&set), rows[i].count);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct vault_actions set = {{0}};
        assert_false(vault_actions_add_named(&set, kw_span_str(none[i])));
        assert_int_equal(count(&set), 0);
    }
    /* many stars cost no more than a few */
    char stars[256];
    struct vault_actions set = {{0}};
    memset(stars, '*', sizeof stars);
    for (size_t i = 1; i < sizeof stars; i += 2)
        stars[i] = 'e';
    assert_false(vault_actions_add_named(&set, kw_span_of(stars, sizeof stars)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_builtin),
                                       cmocka_unit_test(test_names_and_patterns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who may do what where: scopes, roles, assignments and the table that answers a check. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/vault/roles/model.h"

#define SIGN "Microsoft.KeyVault/managedHsm/keys/sign/action"

static uint8_t user[GW_GUID_LEN]; /* the id of the built-in role Crypto User */

static void id_of(uint8_t out[GW_GUID_LEN], unsigned n)
{
    memset(out, 0, GW_GUID_LEN);
    out[2] = (uint8_t)(n >> 8);
    out[3] = (uint8_t)n;
}

static struct role_scope scope(const char *text)
{
    struct role_scope out;
    assert_true(role_scope_read(&out, kw_span_str(text)));
    return out;
}

static int setup(void **state)
{
    *state = roles_model_create();
    return *state && gw_guid_read(user, kw_span_str(vault_builtin_at(2).id)) ? 0 : -1;
}

static int teardown(void **state)
{
    roles_model_destroy(*state);
    return 0;
}

static void assign(struct roles_model *model, unsigned id, unsigned principal,
                   const uint8_t role[GW_GUID_LEN], const char *where)
{
    uint8_t name[GW_GUID_LEN], who[GW_GUID_LEN];
    struct vault_assignment *made = NULL;
    id_of(name, id);
    id_of(who, principal);
    assert_int_equal(vault_assignment_make(&made, name, who, role, scope(where)), KW_OK);
    assert_int_equal(roles_model_reserve(model, made->scope), KW_OK);
    roles_model_put_assignment(model, made);
}

static void unassign(struct roles_model *model, unsigned id)
{
    uint8_t name[GW_GUID_LEN];
    id_of(name, id);
    struct vault_assignment *taken = roles_model_take_assignment(model, name);
    assert_non_null(taken);
    vault_assignment_free(taken);
    assert_null(roles_model_take_assignment(model, name));
}

static bool may(const struct roles_model *model, unsigned principal, const char *word,
                const char *where)
{
    uint8_t who[GW_GUID_LEN];
    id_of(who, principal);
    return roles_model_allows(model, who, vault_action_find(word), scope(where));
}

static void put_role(struct roles_model *model, unsigned id, const char *name, const char *yes,
                     const char *no)
{
    uint8_t guid[GW_GUID_LEN];
    struct vault_role *role = NULL;
    id_of(guid, id);
    json_t *doc =
        json_pack("{s:s,s:s,s:[s],s:[{s:[s],s:[s]}]}", "roleName", name, "description", "",
                  "assignableScopes", "/", "permissions", "dataActions", yes, "notDataActions", no);
    assert_non_null(doc);
    assert_int_equal(vault_role_make(&role, guid, doc), KW_OK);
    json_decref(doc);
    assert_int_equal(roles_model_reserve(model, scope("/")), KW_OK);
    roles_model_put_role(model, role);
}

static void test_scopes(void **state)
{
    static const char *const bad[] = {"/secrets",  "keysx", "/keys/", "/keys/a/b",
                                      "/keys/a_b", "//",    "/key",   "/keys//a"};
    struct role_scope out;
    char text[ROLE_SCOPE_MAX + 1], name[200];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(role_scope_read(&out, kw_span_str(bad[i])));
    memset(name, 'k', sizeof name);
    memcpy(name, "/keys/", 6);
    assert_true(role_scope_read(&out, kw_span_of(name, 6 + STORE_NAME_MAX)));
    role_scope_text(text, out);
    assert_int_equal(strlen(text), ROLE_SCOPE_MAX);
    assert_false(role_scope_read(&out, kw_span_of(name, 7 + STORE_NAME_MAX)));
    role_scope_text(text, scope("keys/K"));
    assert_string_equal(text, "/keys/K");
    role_scope_text(text, scope(""));
    assert_string_equal(text, "/");
    assert_true(role_scope_equal(scope("/Keys/K"), scope("keys/k")));
    assert_false(role_scope_equal(scope("/keys/k"), scope("/keys/l")));
    assert_true(role_scope_within(scope("/"), scope("/keys/k")));
    assert_true(role_scope_within(scope("/keys"), scope("/keys")));
    assert_false(role_scope_within(scope("/keys/k"), scope("/keys")));
    assert_false(role_scope_within(scope("/keys/k"), scope("/keys/l")));
}

static void test_checks(void **state)
{
    struct roles_model *model = *state;
    assert_false(may(model, 1, "keys/sign/action", "/keys/a"));
    assign(model, 1, 1, user, "/");
    assign(model, 2, 2, user, "/keys");
    assign(model, 3, 3, user, "/keys/Abc");
    assert_true(may(model, 1, "keys/sign/action", "/keys/a"));
    assert_true(may(model, 1, "keys/create", "/keys"));
    assert_true(may(model, 1, "rng/action", "/"));
    assert_false(may(model, 1, "roleAssignments/write/action", "/"));
    assert_true(may(model, 2, "keys/sign/action", "/keys/a"));
    assert_true(may(model, 2, "keys/read/action", "/keys"));
    assert_false(may(model, 2, "rng/action", "/")); /* wider than its scope */
    assert_true(may(model, 3, "keys/sign/action", "/keys/aBC"));
    assert_false(may(model, 3, "keys/sign/action", "/keys/ab"));
    assert_false(may(model, 3, "keys/sign/action", "/keys/abcd"));
    assert_false(may(model, 3, "keys/read/action", "/keys"));
    assert_false(may(model, 4, "keys/sign/action", "/keys/Abc"));
    uint8_t who[GW_GUID_LEN];
    id_of(who, 1);
    assert_false(roles_model_allows(model, who, VAULT_ACTION_NONE, scope("/")));
    unassign(model, 1);
    unassign(model, 3);
    assert_false(may(model, 1, "keys/sign/action", "/keys/a"));
    assert_false(may(model, 3, "keys/sign/action", "/keys/abc"));
    assert_true(may(model, 2, "keys/sign/action", "/keys/abc"));
}

static void test_custom_roles(void **state)
{
    struct roles_model *model = *state;
    uint8_t role[GW_GUID_LEN];
    id_of(role, 9);
    /* an assignment of a role that is not there gives nothing */
    assign(model, 1, 1, role, "/keys/a");
    assign(model, 2, 2, role, "/");
    assert_false(may(model, 1, "keys/sign/action", "/keys/a"));
    assert_true(roles_model_assigned(model, role));
    put_role(model, 9, "Mine", "Microsoft.KeyVault/managedHsm/keys/*", SIGN);
    assert_true(may(model, 1, "keys/verify/action", "/keys/a"));
    assert_false(may(model, 1, "keys/sign/action", "/keys/a"));
    assert_true(may(model, 2, "keys/verify/action", "/"));
    put_role(model, 9, "Other", SIGN, "x"); /* changed in place */
    assert_false(may(model, 1, "keys/verify/action", "/keys/a"));
    assert_true(may(model, 1, "keys/sign/action", "/keys/a"));
    assert_int_equal(roles_model_custom_count(model), 1);
    assert_null(roles_model_role_named(model, "other", role));
    assert_non_null(roles_model_role_named(model, "OTHER", user));
    assert_null(roles_model_role_named(model, "Mine", user));
    vault_role_free(roles_model_take_role(model, role));
    assert_false(may(model, 1, "keys/sign/action", "/keys/a"));
    assert_null(roles_model_take_role(model, role));
}

static void test_what_is_stored(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"roleName\":1,\"description\":\"\",\"permissions\":[],\"assignableScopes\":[]}",
        "{\"roleName\":\"n\",\"permissions\":[],\"assignableScopes\":[]}",
        "{\"roleName\":\"n\",\"description\":\"\",\"assignableScopes\":[]}",
        "{\"roleName\":\"n\",\"description\":\"\",\"permissions\":[],\"assignableScopes\":[1]}",
        "{\"roleName\":\"n\",\"description\":\"\",\"permissions\":[{\"dataActions\":[1]}],"
        "\"assignableScopes\":[]}",
        "{\"roleName\":\"n\",\"description\":\"\",\"permissions\":[{\"notDataActions\":{}}],"
        "\"assignableScopes\":[]}"};
    struct vault_role *role = NULL;
    struct vault_assignment *made = NULL, *read = NULL;
    uint8_t id[GW_GUID_LEN];
    (void)state;
    id_of(id, 1);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *doc = json_loads(bad[i], 0, NULL);
        assert_non_null(doc);
        assert_int_equal(vault_role_make(&role, id, doc), KW_E_INTEGRITY);
        assert_int_equal(vault_assignment_read(&read, id, doc), KW_E_INTEGRITY);
        json_decref(doc);
    }
    assert_int_equal(vault_assignment_make(&made, id, id, user, scope("/keys/Q")), KW_OK);
    json_t *doc = vault_assignment_doc(made);
    assert_int_equal(vault_assignment_read(&read, id, doc), KW_OK);
    assert_string_equal(read->text, made->text);
    json_object_set_new(doc, "scope", json_string("/else"));
    struct vault_assignment *other = NULL;
    assert_int_equal(vault_assignment_read(&other, id, doc), KW_E_INTEGRITY);
    json_decref(doc);
    vault_assignment_free(made);
    vault_assignment_free(read);
}

/* Many keys, and what a check costs then. */
static void test_many(void **state)
{
    enum { KEYS = 2000, ROUNDS = 200000 };
    struct roles_model *model = *state;
    char where[64];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(where, sizeof where, "/keys/key-%u", i);
        assign(model, i, i % 7, user, where);
    }
    for (unsigned i = 0; i < 50; i++)
        assign(model, 10000 + i, 100 + i, user, i % 2 ? "/" : "/keys");
    for (unsigned i = 0; i < KEYS; i += 13) {
        snprintf(where, sizeof where, "/keys/KEY-%u", i);
        assert_true(may(model, i % 7, "keys/sign/action", where));
        assert_false(may(model, (i + 1) % 7, "keys/sign/action", where));
    }
    uint8_t who[GW_GUID_LEN];
    id_of(who, 1999 % 7);
    struct role_scope resource = scope("/keys/key-1999");
    unsigned action = vault_action_find("keys/sign/action"), yes = 0;
    int64_t from = kw_now_ns();
    for (unsigned i = 0; i < ROUNDS; i++)
        yes += roles_model_allows(model, who, action, resource);
    print_message("a check: %lld ns\n", (long long)((kw_now_ns() - from) / ROUNDS));
    assert_int_equal(yes, ROUNDS);
    for (unsigned i = 0; i < KEYS; i++)
        unassign(model, i);
    assert_false(roles_model_allows(model, who, action, resource));
    assert_int_equal(roles_model_count_at(model, resource), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scopes),
        cmocka_unit_test_setup_teardown(test_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_custom_roles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

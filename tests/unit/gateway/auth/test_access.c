/* Every route of a vault has its data action in the table of roles, every data action a route, and
 * a check goes by the principal, the action and the scope of the path. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/base/clock.h"
#include "gateway/api/roles/scope.h"
#include "gateway/auth/access.h"
#include "tests/support/ts_vault.h"

static void test_every_route_has_an_action(void **state)
{
    (void)state;
    unsigned batch = 0;
    for (size_t i = 0; i < gw_route_count; i++) {
        const struct gw_route *route = &gw_routes[i];
        unsigned action = gw_access_action(route);
        if (route->face == GW_FACE_API && !route->action) {
            /* the right is asked for each operation of a batch */
            assert_true(route->batch);
            batch++;
        } else if (route->face == GW_FACE_API && action == VAULT_ACTION_NONE) {
            fail_msg("%s: \"%s\" is no data action", route->pattern, route->action);
        } else if (route->face == GW_FACE_ADMIN) {
            assert_true(route->open);
        }
        /* what is the operator's alone no role may hold */
        if (route->action && strncmp(route->action, "control/", 8) == 0)
            assert_int_equal(action, VAULT_ACTION_NONE);
        if (route->face == GW_FACE_CONTROL)
            assert_non_null(route->action);
    }
    assert_int_equal(batch, 1);
}

static void test_every_action_has_a_route(void **state)
{
    /* of the service's table, and of no route here */
    static const char *const without[] = {"keys/export/action", "keys/derive/action"};
    (void)state;
    for (unsigned action = 0; action < vault_action_count; action++) {
        unsigned routes = 0;
        bool known = false;
        for (size_t i = 0; i < gw_route_count; i++)
            routes += gw_access_action(&gw_routes[i]) == action;
        for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
            known |= vault_action_find(without[i]) == action;
        if ((routes == 0) != known)
            fail_msg("%s: %u routes", vault_action_name(action), routes);
    }
}

static const struct gw_route *route_of(enum gw_method method, const char *pattern)
{
    for (size_t i = 0; i < gw_route_count; i++) {
        if (gw_routes[i].face == GW_FACE_API && gw_routes[i].method == method &&
            strcmp(gw_routes[i].pattern, pattern) == 0)
            return &gw_routes[i];
    }
    fail_msg("%s", pattern);
    return NULL;
}

static void test_scopes_of_routes(void **state)
{
    static const struct {
        enum gw_method method;
        const char *pattern, *scope;
    } rows[] = {
        {GW_POST, "/keys/{}/{?}/sign", "/keys/k"},
        {GW_GET, "/keys", "/keys"},
        {GW_POST, "/keys/restore", "/keys"},
        {GW_PUT, "/keys/{}/restore", "/keys/k"},
        {GW_GET, "/deletedkeys", "/keys"},
        {GW_DELETE, "/deletedkeys/{}", "/keys/k"},
        {GW_POST, "/rng", "/"},
        {GW_GET, "/secrets/{}/{?}", "/"},
        {GW_POST, "/backup", "/"},
        {GW_GET, "/backup/{}/pending", "/"},
        {GW_PUT, "/providers/Microsoft.Authorization/roleAssignments/{}", "/"},
        {GW_PUT, "/keys/providers/Microsoft.Authorization/roleAssignments/{}", "/keys"},
        {GW_GET, "/keys/{}/providers/Microsoft.Authorization/roleAssignments", "/keys/k"},
        {GW_GET, "/settings/{}", "/"},
    };
    const struct kw_span params[GW_MAX_PARAMS] = {kw_span_str("k")};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[ROLE_SCOPE_MAX + 1];
        role_scope_text(text, gw_route_scope(route_of(rows[i].method, rows[i].pattern), params));
        assert_string_equal(text, rows[i].scope);
    }
}

static void done(void *ctx, kw_status status)
{
    assert_int_equal(status, KW_OK);
    *(bool *)ctx = true;
}

static void changed(void *ctx, kw_status status, enum vault_roles_why why, struct kw_span text)
{
    (void)text;
    assert_int_equal(why, VAULT_ROLES_WHY_STATUS);
    done(ctx, status);
}

static int setup(void **state)
{
    *state = ts_vault_create();
    return 0;
}

static int teardown(void **state)
{
    ts_vault_destroy(*state);
    return 0;
}

static void load(struct ts_vault *tv, struct vault_roles *roles)
{
    bool loaded = false;
    vault_roles_load(roles, ts_loop_handle(tv->loop), done, &loaded);
    assert_true(ts_loop_run_until(tv->loop, &loaded, 60000));
}

static void give(struct ts_vault *tv, struct vault_roles *roles, const uint8_t *principal,
                 unsigned builtin, const char *where)
{
    uint8_t id[GW_GUID_LEN], role[GW_GUID_LEN];
    struct vault_assignment *made = NULL;
    struct role_scope scope;
    bool ready = false;
    memset(id, (int)builtin + 1, sizeof id);
    assert_true(gw_guid_read(role, kw_span_str(vault_builtin_at(builtin).id)));
    assert_true(role_scope_read(&scope, kw_span_str(where)));
    assert_int_equal(vault_assignment_make(&made, id, principal, role, scope), KW_OK);
    vault_roles_assign(roles, ts_loop_handle(tv->loop), made, changed, &ready);
    assert_true(ts_loop_run_until(tv->loop, &ready, 60000));
}

static enum vault_access ask(const struct gw_identity *identity, const struct gw_site *site,
                             enum gw_method method, const char *pattern, const char *name)
{
    const struct kw_span params[GW_MAX_PARAMS] = {kw_span_str(name)};
    const struct gw_route *route = route_of(method, pattern);
    return gw_access(identity, site, gw_access_action(route), gw_route_scope(route, params));
}

static void test_principals(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_roles *roles = vault_roles_of(tv->vault, "v");
    const struct gw_site site = {.name = "v", .vault = tv->vault, .roles = roles};
    const struct gw_identity app = {.principal = {1}, .subject = "app"};
    const struct gw_identity other = {.principal = {2}, .subject = "other"};
    const struct gw_identity owner = {.full = true, .subject = "owner"};
#define SIGN   GW_POST, "/keys/{}/{?}/sign"
#define ASSIGN GW_PUT, "/providers/Microsoft.Authorization/roleAssignments/{}"
    /* before the roles are read nobody is refused for good, and nobody is let in */
    assert_int_equal(ask(&app, &site, SIGN, "k"), VAULT_ACCESS_UNKNOWN);
    assert_int_equal(ask(&owner, &site, SIGN, "k"), VAULT_ACCESS_YES);
    load(tv, roles);
    assert_int_equal(ask(&app, &site, SIGN, "k"), VAULT_ACCESS_NO);
    give(tv, roles, app.principal, 2, "/keys/k"); /* Crypto User */
    assert_int_equal(ask(&app, &site, SIGN, "K"), VAULT_ACCESS_YES);
    assert_int_equal(ask(&app, &site, SIGN, "l"), VAULT_ACCESS_NO);
    assert_int_equal(ask(&app, &site, GW_GET, "/keys", ""), VAULT_ACCESS_NO);
    assert_int_equal(ask(&app, &site, ASSIGN, "g"), VAULT_ACCESS_NO);
    assert_int_equal(ask(&other, &site, SIGN, "k"), VAULT_ACCESS_NO);
    give(tv, roles, other.principal, 0, "/"); /* Administrator: of roles, not of keys */
    assert_int_equal(ask(&other, &site, SIGN, "k"), VAULT_ACCESS_NO);
    assert_int_equal(ask(&other, &site, ASSIGN, "g"), VAULT_ACCESS_YES);
    assert_int_equal(ask(NULL, &site, SIGN, "k"), VAULT_ACCESS_NO);
    /* what no role holds */
    assert_int_equal(
        gw_access(&other, &site, VAULT_ACTION_NONE, (struct role_scope){.level = ROLE_AT_ROOT}),
        VAULT_ACCESS_NO);
    assert_int_equal(
        gw_access(&owner, &site, VAULT_ACTION_NONE, (struct role_scope){.level = ROLE_AT_ROOT}),
        VAULT_ACCESS_YES);
}

static void test_faults(void **state)
{
    const struct gw_identity app = {.principal = {1}, .subject = "app"};
    char name[300];
    struct gw_fault fault;
    (void)state;
    memset(name, 'k', sizeof name);
    for (size_t len = 1; len <= sizeof name; len += 50) {
        struct role_scope key = {.level = ROLE_AT_KEY, .key = kw_span_of(name, len)};
        assert_false(gw_access_fault(&fault, VAULT_ACCESS_NO, &app, "keys/sign/action", key));
        assert_int_equal(fault.http, 403);
        assert_string_equal(fault.code, "Forbidden");
        assert_string_equal(fault.inner, "ForbiddenByRbac");
        assert_non_null(strstr(fault.message, "Microsoft.KeyVault/managedHsm/keys/sign/action"));
        assert_non_null(strstr(fault.message, "01000000-0000-0000-0000-000000000000"));
        assert_true(strlen(fault.message) < GW_FAULT_TEXT - 54); /* room for the Activity ID */
        gw_access_fault(&fault, VAULT_ACCESS_UNKNOWN, &app, "keys/sign/action", key);
        assert_int_equal(fault.http, 503);
        assert_int_equal(fault.retry_after_s, 1);
    }
}

/* What a request pays for its check. */
static void test_cost(void **state)
{
    enum { ROUNDS = 1000000 };
    struct ts_vault *tv = *state;
    struct vault_roles *roles = vault_roles_of(tv->vault, "v");
    const struct gw_site site = {.name = "v", .vault = tv->vault, .roles = roles};
    const struct gw_identity identities[] = {{.full = true}, {.principal = {1}}};
    const struct kw_span params[GW_MAX_PARAMS] = {kw_span_str("a-key-of-mine")};
    const struct gw_route *route = route_of(SIGN);
    load(tv, roles);
    give(tv, roles, identities[1].principal, 2, "/keys/a-key-of-mine");
    for (int i = 0; i < 2; i++) {
        unsigned yes = 0;
        int64_t from = kw_now_ns();
        for (unsigned n = 0; n < ROUNDS; n++)
            yes += gw_access(&identities[i], &site, gw_access_action(route),
                             gw_route_scope(route, params)) == VAULT_ACCESS_YES;
        print_message("%s: %.1f ns\n", i ? "by assignments" : "full",
                      (double)(kw_now_ns() - from) / ROUNDS);
        assert_int_equal(yes, ROUNDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_has_an_action),
        cmocka_unit_test(test_every_action_has_a_route),
        cmocka_unit_test(test_scopes_of_routes),
        cmocka_unit_test_setup_teardown(test_principals, setup, teardown),
        cmocka_unit_test(test_faults),
        cmocka_unit_test_setup_teardown(test_cost, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Roles over a real store: changes one at a time, refused where they must be, there again after a
 * reload; what does not open is known to nobody. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/vault/certificates/doc.h"
#include "gateway/vault/roles/internal.h"
#include "tests/support/ts_vault.h"

static uint8_t user[GW_GUID_LEN];

static int setup(void **state)
{
    *state = ts_vault_create();
    return gw_guid_read(user, kw_span_str(vault_builtin_at(2).id)) ? 0 : -1;
}

static int teardown(void **state)
{
    ts_vault_destroy(*state);
    return 0;
}

struct answer {
    bool done;
    kw_status status;
    enum vault_roles_why why;
    char text[1024];
};

static void take_status(void *ctx, kw_status status)
{
    struct answer *answer = ctx;
    answer->status = status;
    answer->done = true;
}

static void take(void *ctx, kw_status status, enum vault_roles_why why, struct kw_span text)
{
    struct answer *answer = ctx;
    answer->why = why;
    snprintf(answer->text, sizeof answer->text, "%.*s", (int)text.len, (const char *)text.data);
    take_status(ctx, status);
}

static struct vault_roles *loaded(struct ts_vault *tv, kw_status wanted)
{
    struct vault_roles *roles = vault_roles_of(tv->vault, "v");
    struct answer answer = {0};
    assert_non_null(roles);
    vault_roles_load(roles, ts_loop_handle(tv->loop), take_status, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
    assert_int_equal(answer.status, wanted);
    return roles;
}

static void id_of(uint8_t out[GW_GUID_LEN], unsigned n)
{
    memset(out, 0, GW_GUID_LEN);
    out[3] = (uint8_t)n;
}

static struct role_scope scope(const char *text)
{
    struct role_scope out;
    assert_true(role_scope_read(&out, kw_span_str(text)));
    return out;
}

static void start_assign(struct ts_vault *tv, struct vault_roles *roles, unsigned id,
                         unsigned principal, const uint8_t role[GW_GUID_LEN], const char *where,
                         struct answer *answer)
{
    uint8_t name[GW_GUID_LEN], who[GW_GUID_LEN];
    struct vault_assignment *made = NULL;
    id_of(name, id);
    id_of(who, principal);
    *answer = (struct answer){0};
    assert_int_equal(vault_assignment_make(&made, name, who, role, scope(where)), KW_OK);
    vault_roles_assign(roles, ts_loop_handle(tv->loop), made, take, answer);
}

static enum vault_roles_why assign(struct ts_vault *tv, struct vault_roles *roles, unsigned id,
                                   unsigned principal, const char *where)
{
    struct answer answer;
    start_assign(tv, roles, id, principal, user, where, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
    assert_int_equal(answer.status, answer.why == VAULT_ROLES_WHY_STATUS ? KW_OK : KW_E_CONFLICT);
    return answer.why;
}

static enum vault_roles_why unassign(struct ts_vault *tv, struct vault_roles *roles, unsigned id,
                                     const char *where)
{
    uint8_t name[GW_GUID_LEN];
    struct answer answer = {0};
    id_of(name, id);
    vault_roles_unassign(roles, ts_loop_handle(tv->loop), name, scope(where), take, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
    return answer.why;
}

static enum vault_access may(struct vault_roles *roles, unsigned principal, const char *where)
{
    uint8_t who[GW_GUID_LEN];
    id_of(who, principal);
    return vault_roles_allow(roles, who, vault_action_find("keys/sign/action"), scope(where));
}

static kw_status release(struct ts_vault *tv, struct vault_roles *roles)
{
    struct answer answer = {0};
    vault_roles_hold(roles, ts_loop_handle(tv->loop), take_status, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
    answer.done = false;
    vault_roles_release(roles, ts_loop_handle(tv->loop), take_status, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
    return answer.status;
}

static void test_assignments(void **state)
{
    struct ts_vault *tv = *state;
    assert_int_equal(may(vault_roles_of(tv->vault, "v"), 1, "/"), VAULT_ACCESS_UNKNOWN);
    struct vault_roles *roles = loaded(tv, KW_OK);
    assert_ptr_equal(vault_roles_of(tv->vault, "V"), roles);
    assert_ptr_not_equal(vault_roles_of(tv->vault, "w"), roles);
    assert_int_equal(may(roles, 1, "/keys/a"), VAULT_ACCESS_NO);
    assert_int_equal(assign(tv, roles, 1, 1, "/keys/a"), VAULT_ROLES_WHY_STATUS);
    assert_int_equal(may(roles, 1, "/keys/a"), VAULT_ACCESS_YES);
    assert_int_equal(assign(tv, roles, 1, 1, "/keys/A"), VAULT_ROLES_WHY_STATUS); /* again */
    assert_int_equal(assign(tv, roles, 1, 2, "/keys/a"), VAULT_ROLES_WHY_ID_TAKEN);
    assert_int_equal(assign(tv, roles, 1, 1, "/keys/b"), VAULT_ROLES_WHY_ID_TAKEN);
    assert_int_equal(assign(tv, roles, 2, 1, "/keys/A"), VAULT_ROLES_WHY_ASSIGNMENT_EXISTS);
    /* read anew it is the same */
    assert_int_equal(release(tv, roles), KW_OK);
    assert_int_equal(may(roles, 1, "/keys/a"), VAULT_ACCESS_YES);
    assert_int_equal(unassign(tv, roles, 1, "/keys/b"), VAULT_ROLES_WHY_NO_ASSIGNMENT);
    assert_int_equal(unassign(tv, roles, 2, "/keys/a"), VAULT_ROLES_WHY_NO_ASSIGNMENT);
    assert_int_equal(assign(tv, roles, 3, 1, "/keys"), VAULT_ROLES_WHY_STATUS);
    assert_int_equal(unassign(tv, roles, 3, "/keys/a"), VAULT_ROLES_WHY_NO_ASSIGNMENT); /* wider */
    assert_int_equal(unassign(tv, roles, 3, "/"), VAULT_ROLES_WHY_STATUS); /* from above */
    assert_int_equal(unassign(tv, roles, 1, "/keys/a"), VAULT_ROLES_WHY_STATUS);
    assert_int_equal(may(roles, 1, "/keys/a"), VAULT_ACCESS_NO);
    assert_int_equal(release(tv, roles), KW_OK);
    assert_int_equal(may(roles, 1, "/keys/a"), VAULT_ACCESS_NO);
}

/* Two that ask for the same at once: they take turns, and one is refused. */
static void test_turns(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_roles *roles = loaded(tv, KW_OK);
    struct answer answers[VAULT_ROLES_KEY_MAX + 3], held = {0}, free_again = {0};
    size_t count = sizeof answers / sizeof answers[0];
    vault_roles_hold(roles, ts_loop_handle(tv->loop), take_status, &held);
    assert_true(ts_loop_run_until(tv->loop, &held.done, 60000));
    for (unsigned i = 0; i < count; i++)
        start_assign(tv, roles, i, i, user, "/keys/k", &answers[i]);
    for (unsigned i = 0; i < count; i++)
        assert_false(answers[i].done);
    vault_roles_release(roles, ts_loop_handle(tv->loop), take_status, &free_again);
    for (unsigned i = 0; i < count; i++) {
        assert_true(ts_loop_run_until(tv->loop, &answers[i].done, 60000));
        assert_int_equal(answers[i].why, i < VAULT_ROLES_KEY_MAX
                                             ? VAULT_ROLES_WHY_STATUS
                                             : VAULT_ROLES_WHY_ASSIGNMENT_LIMIT);
    }
    assert_true(free_again.done);
    assert_int_equal(free_again.status, KW_OK);
}

static void test_setting(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_roles *roles = vault_roles_of(tv->vault, "v");
    struct answer answer = {0};
    bool value = true;
    assert_int_equal(vault_roles_setting(roles, &value), KW_E_UNAVAILABLE);
    /* nothing is changed before all of it is known */
    vault_roles_set(roles, ts_loop_handle(tv->loop), true, take, &answer);
    assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
    assert_int_equal(answer.status, KW_E_UNAVAILABLE);
    loaded(tv, KW_OK);
    assert_int_equal(vault_roles_setting(roles, &value), KW_OK);
    assert_false(value);
    for (int i = 1; i >= 0; i--) {
        answer.done = false;
        vault_roles_set(roles, ts_loop_handle(tv->loop), i, take, &answer);
        assert_true(ts_loop_run_until(tv->loop, &answer.done, 60000));
        assert_int_equal(answer.status, KW_OK);
        assert_int_equal(release(tv, roles), KW_OK);
        assert_int_equal(vault_roles_setting(roles, &value), KW_OK);
        assert_int_equal(value, i);
    }
}

/* A record that was changed, or moved to another name: who may do what is not known then. */
static void test_tampered(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_roles *roles = loaded(tv, KW_OK);
    struct ts_answer row = {0};
    assert_int_equal(assign(tv, roles, 1, 1, "/"), VAULT_ROLES_WHY_STATUS);
    struct store_ref ref = {.vault = "v",
                            .kind = STORE_ROLE_ASSIGNMENT,
                            .name = "00000001-0000-0000-0000-000000000000",
                            .version = VAULT_DOC_VERSION};
    store_get(tv->store, ts_loop_handle(tv->loop), &ref, ts_answer_take, &row);
    assert_true(ts_loop_run_until(tv->loop, &row.done, 60000));
    assert_int_equal(row.result.status, KW_OK);
    assert_null(memmem(row.result.rows[0].record, row.result.rows[0].record_len, "principal", 9));
    struct ts_answer moved = {0};
    ref.name = "00000002-0000-0000-0000-000000000000";
    store_put(tv->store, ts_loop_handle(tv->loop), &ref, 1,
              kw_span_of(row.result.rows[0].record, row.result.rows[0].record_len), ts_answer_take,
              &moved);
    assert_true(ts_loop_run_until(tv->loop, &moved.done, 60000));
    assert_int_equal(moved.result.status, KW_OK);
    assert_int_equal(release(tv, roles), KW_E_INTEGRITY);
    assert_int_equal(may(roles, 1, "/"), VAULT_ACCESS_UNKNOWN);
    loaded(tv, KW_E_INTEGRITY);
    ts_answer_clear(&row);
    ts_answer_clear(&moved);
}

static bool count_one(void *ctx, const struct vault_role *role)
{
    (void)role;
    return ++*(unsigned *)ctx < 5;
}

static void test_walks(void **state)
{
    struct ts_vault *tv = *state;
    unsigned count = 0;
    struct vault_roles *roles = vault_roles_of(tv->vault, "v");
    uint8_t id[GW_GUID_LEN];
    id_of(id, 1);
    assert_int_equal(vault_roles_each(roles, count_one, &count), KW_E_UNAVAILABLE);
    assert_int_equal(vault_roles_get(roles, user, count_one, &count), KW_E_UNAVAILABLE);
    loaded(tv, KW_OK);
    assert_int_equal(vault_roles_each(roles, count_one, &count), KW_OK);
    assert_int_equal(count, 5); /* it ends where it is told to */
    assert_int_equal(vault_roles_get(roles, user, count_one, &count), KW_OK);
    assert_int_equal(vault_roles_get(roles, id, count_one, &count), KW_E_NOT_FOUND);
    assert_int_equal(count, 6);
    assert_null(vault_roles_of(tv->vault, "a-name-that-is-far-longer-than-the-name-of-any-vault-"
                                          "can-ever-be-in-the-store"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_assignments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_setting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_walks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

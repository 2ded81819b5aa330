/* Everything of a vault at once: moved as a whole or not at all, destroyed, and out of reach of due
 * work under a name with '~'. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/store/vaults.h"
#include "tests/support/ts_store.h"
#include "tests/support/ts_store_check.h"

struct fixture {
    char dir[64];
    struct store *store;
    struct ts_loop *loop;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char error[256];
    ts_dir_make(f->dir);
    f->loop = ts_loop_create();
    if (ts_store_open(&f->store, f->dir, error, sizeof error) != KW_OK)
        return 1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    ts_loop_destroy(f->loop);
    const char *damage = ts_store_damage(f->dir);
    if (damage)
        print_error("%s\n", damage);
    ts_dir_remove(f->dir);
    free(f);
    return damage ? -1 : 0;
}

/* Waits, and gives the status and, when `out` is not NULL, the answer. */
static kw_status finish(struct fixture *f, struct ts_answer *answer, struct ts_answer *out)
{
    assert_true(ts_loop_run_until(f->loop, &answer->done, 10000));
    kw_status status = answer->result.status;
    if (out)
        *out = *answer;
    else
        ts_answer_clear(answer);
    return status;
}

static kw_status put(struct fixture *f, const char *vault, const char *name, unsigned version)
{
    struct ts_answer answer = {0};
    struct store_change change = {
        .op = STORE_CHANGE_PUT,
        .ref = {.vault = vault, .kind = STORE_SECRET, .name = name, .version = ts_version(version)},
        .created = 1,
        .record = kw_span_str("record"),
        .sets_wake = true,
        .wake_at = 5};
    store_apply(f->store, ts_loop_handle(f->loop), &change, 1, ts_answer_take, &answer);
    return finish(f, &answer, NULL);
}

static kw_status move(struct fixture *f, const char *from, const char *to)
{
    struct ts_answer answer = {0};
    store_vault_move(f->store, ts_loop_handle(f->loop), from, to, ts_answer_take, &answer);
    return finish(f, &answer, NULL);
}

static kw_status drop(struct fixture *f, const char *vault)
{
    struct ts_answer answer = {0};
    store_vault_drop(f->store, ts_loop_handle(f->loop), vault, ts_answer_take, &answer);
    return finish(f, &answer, NULL);
}

static kw_status replace(struct fixture *f, const char *from, const char *to)
{
    struct ts_answer answer = {0};
    store_vault_replace(f->store, ts_loop_handle(f->loop), from, to, ts_answer_take, &answer);
    return finish(f, &answer, NULL);
}

static size_t count(struct fixture *f, const char *vault)
{
    struct ts_answer answer = {0}, rows;
    store_list(f->store, ts_loop_handle(f->loop), vault, STORE_SECRET, false, NULL, 1000,
               ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer, &rows), KW_OK);
    size_t found = rows.result.row_count;
    ts_answer_clear(&rows);
    return found;
}

static size_t due(struct fixture *f)
{
    struct ts_answer answer = {0}, rows;
    store_due(f->store, ts_loop_handle(f->loop), STORE_SECRET, STORE_DUE_WAKE, 10, 100,
              ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer, &rows), KW_OK);
    size_t found = rows.result.row_count;
    ts_answer_clear(&rows);
    return found;
}

static void test_move(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, "~import", "a", 1), KW_OK);
    assert_int_equal(put(f, "~import", "a", 2), KW_OK);
    assert_int_equal(put(f, "~import", "b", 3), KW_OK);
    assert_int_equal(put(f, "there", "c", 4), KW_OK);
    assert_int_equal(due(f), 1); /* what is out of reach is not due */
    assert_int_equal(move(f, "~import", "there"), KW_OK);
    assert_int_equal(count(f, "there"), 3);
    assert_int_equal(count(f, "~import"), 0);
    assert_int_equal(due(f), 3);
    assert_int_equal(move(f, "~import", "there"), KW_OK); /* nothing is a whole too */
}

static void test_replace(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, "~import", "a", 1), KW_OK);
    assert_int_equal(put(f, "~import", "b", 2), KW_OK);
    assert_int_equal(put(f, "there", "A", 3), KW_OK); /* the same name is no conflict */
    assert_int_equal(put(f, "there", "c", 4), KW_OK);
    assert_int_equal(put(f, "there", "d", 5), KW_OK);
    assert_int_equal(put(f, "other", "c", 6), KW_OK);
    assert_int_equal(replace(f, "~import", "there"), KW_OK);
    assert_int_equal(count(f, "there"), 2);
    assert_int_equal(count(f, "other"), 1);
    assert_int_equal(count(f, "~import"), 0);
    assert_int_equal(replace(f, "~import", "there"), KW_OK); /* an empty backup empties */
    assert_int_equal(count(f, "there"), 0);
}

static void test_conflict_moves_nothing(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer = {0};
    for (unsigned i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        assert_int_equal(put(f, "~import", name, i), KW_OK);
    }
    assert_int_equal(put(f, "There", "N30", 100), KW_OK);
    assert_int_equal(move(f, "~import", "there"), KW_E_CONFLICT);
    assert_int_equal(count(f, "there"), 1);
    assert_int_equal(count(f, "~import"), 50);
    /* a name that is deleted but recoverable is in the way too */
    struct store_ref ref = {.vault = "there", .kind = STORE_SECRET, .name = "n30"};
    store_delete(f->store, ts_loop_handle(f->loop), &ref, 1, 2, ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer, NULL), KW_OK);
    assert_int_equal(move(f, "~import", "there"), KW_E_CONFLICT);
    assert_int_equal(drop(f, "THERE"), KW_OK);
    assert_int_equal(move(f, "~import", "there"), KW_OK);
    assert_int_equal(count(f, "there"), 50);
}

static void test_drop(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f, "a", "x", 1), KW_OK);
    assert_int_equal(put(f, "b", "x", 2), KW_OK);
    assert_int_equal(drop(f, "a"), KW_OK);
    assert_int_equal(count(f, "a"), 0);
    assert_int_equal(count(f, "b"), 1);
    assert_int_equal(put(f, "a", "x", 1), KW_OK);
    assert_int_equal(drop(f, ""), KW_E_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conflict_moves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Many changes as one, what is due, and everything at one moment, on a real SQLite file. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/sha.h>

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
    char error[256] = "";
    ts_dir_make(f->dir);
    f->loop = ts_loop_create();
    if (ts_store_open(&f->store, f->dir, error, sizeof error) != KW_OK)
        fail_msg("%s", error);
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

static struct store_change change(enum store_change_op op, const char *name, const char *version,
                                  const char *record)
{
    return (struct store_change){
        .op = op, .ref = ts_ref(name, version), .created = 7, .record = kw_span_str(record)};
}

static kw_status apply(struct fixture *f, const struct store_change *changes, size_t count,
                       struct ts_answer *answer)
{
    *answer = (struct ts_answer){0};
    store_apply(f->store, ts_loop_handle(f->loop), changes, count, ts_answer_take, answer);
    assert_true(ts_loop_run_until(f->loop, &answer->done, 20000));
    return answer->result.status;
}

static void test_all_or_none(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    char v1[33], v2[33];
    strcpy(v1, ts_version(1));
    strcpy(v2, ts_version(2));
    struct store_change first[] = {change(STORE_CHANGE_ADD, "Key", v1, "one"),
                                   change(STORE_CHANGE_PUT, "key", v2, "two"),
                                   change(STORE_CHANGE_ADD, "other", v1, "three")};
    assert_int_equal(apply(f, first, 3, &answer), KW_OK);
    assert_int_equal(answer.result.row_count, 3);
    assert_string_equal(answer.result.rows[1].name, "Key");
    assert_string_equal(answer.result.rows[1].version, v2);
    assert_int_equal(answer.result.rows[1].created, 7);
    assert_int_equal(answer.result.rows[1].kind, STORE_KEY);
    assert_string_equal(answer.result.rows[1].vault, "v");
    assert_memory_equal(answer.result.rows[2].record, "three", 5);
    ts_answer_clear(&answer);

    /* the third is refused: of the first two nothing stays */
    struct store_change bad[] = {change(STORE_CHANGE_UPDATE, "key", v1, "changed"),
                                 change(STORE_CHANGE_ADD, "fresh", v1, "new"),
                                 change(STORE_CHANGE_ADD, "OTHER", v2, "again")};
    assert_int_equal(apply(f, bad, 3, &answer), KW_E_CONFLICT);
    assert_int_equal(answer.result.conflict, STORE_CONFLICT_EXISTS);
    assert_int_equal(answer.result.failed, 2);
    assert_int_equal(answer.result.row_count, 0);
    ts_answer_clear(&answer);
    assert_int_equal(ts_get(f->store, f->loop, "fresh", NULL, NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_get(f->store, f->loop, "key", v1, &answer), KW_OK);
    assert_memory_equal(answer.result.rows[0].record, "one", 3);
    ts_answer_clear(&answer);
}

static void test_states_of_many(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    struct store_change put[] = {change(STORE_CHANGE_ADD, "a", ts_version(1), "r"),
                                 change(STORE_CHANGE_ADD, "b", ts_version(1), "r")};
    assert_int_equal(apply(f, put, 2, &answer), KW_OK);
    ts_answer_clear(&answer);

    struct store_change del[] = {change(STORE_CHANGE_DELETE, "a", NULL, ""),
                                 change(STORE_CHANGE_DELETE, "b", NULL, ""),
                                 change(STORE_CHANGE_DELETE, "none", NULL, "")};
    for (size_t i = 0; i < 3; i++) {
        del[i].deleted_at = 100;
        del[i].purge_at = 200;
    }
    assert_int_equal(apply(f, del, 3, &answer), KW_E_NOT_FOUND);
    assert_int_equal(answer.result.failed, 2);
    ts_answer_clear(&answer);
    assert_int_equal(ts_get(f->store, f->loop, "a", NULL, NULL), KW_OK);
    del[2].optional = true;
    assert_int_equal(apply(f, del, 3, &answer), KW_OK);
    assert_int_equal(answer.result.row_count, 3);
    assert_int_equal(answer.result.rows[1].purge_at, 200);
    assert_string_equal(answer.result.rows[2].name, "");
    ts_answer_clear(&answer);

    struct store_change again = change(STORE_CHANGE_ADD, "A", ts_version(5), "r");
    assert_int_equal(apply(f, &again, 1, &answer), KW_E_CONFLICT);
    assert_int_equal(answer.result.conflict, STORE_CONFLICT_DELETED);
    again.op = STORE_CHANGE_PUT;
    assert_int_equal(apply(f, &again, 1, &answer), KW_E_CONFLICT);
    assert_int_equal(answer.result.conflict, STORE_CONFLICT_DELETED);

    /* purge only what has the time that was seen */
    struct store_change purge = change(STORE_CHANGE_PURGE, "a", NULL, "");
    purge.purge_at = 199;
    assert_int_equal(apply(f, &purge, 1, &answer), KW_E_CONFLICT);
    assert_int_equal(answer.result.conflict, STORE_CONFLICT_CHANGED);
    purge.purge_at = 200;
    assert_int_equal(apply(f, &purge, 1, &answer), KW_OK);
    assert_int_equal(answer.result.row_count, 1);
    ts_answer_clear(&answer);
    struct store_change back[] = {change(STORE_CHANGE_RECOVER, "b", NULL, ""),
                                  change(STORE_CHANGE_REMOVE, "b", NULL, "")};
    assert_int_equal(apply(f, back, 2, &answer), KW_OK);
    ts_answer_clear(&answer);
    assert_int_equal(ts_get(f->store, f->loop, "b", NULL, NULL), KW_E_NOT_FOUND);
}

static void test_base_and_expected(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    char v1[33], v2[33];
    uint8_t hash[32];
    strcpy(v1, ts_version(1));
    strcpy(v2, ts_version(2));
    assert_int_equal(ts_put(f->store, f->loop, "k", v1, "one"), KW_OK);
    struct store_change put = change(STORE_CHANGE_PUT, "k", v2, "two");
    put.base = v1;
    assert_int_equal(apply(f, &put, 1, &answer), KW_OK);
    ts_answer_clear(&answer);
    put.ref.version = ts_version(3);
    assert_int_equal(apply(f, &put, 1, &answer), KW_E_CONFLICT);
    assert_int_equal(answer.result.conflict, STORE_CONFLICT_CHANGED);
    SHA256((const uint8_t *)"one", 3, hash);
    struct store_change update = change(STORE_CHANGE_UPDATE, "k", v2, "three");
    update.expected = kw_span_of(hash, sizeof hash);
    assert_int_equal(apply(f, &update, 1, &answer), KW_E_CONFLICT);
    assert_int_equal(answer.result.conflict, STORE_CONFLICT_CHANGED);
    SHA256((const uint8_t *)"two", 3, hash);
    assert_int_equal(apply(f, &update, 1, &answer), KW_OK);
    ts_answer_clear(&answer);
}

static void due_is(struct fixture *f, enum store_due_what what, int64_t now, const char *names)
{
    struct ts_answer answer = {0};
    char got[64] = "";
    store_due(f->store, ts_loop_handle(f->loop), STORE_KEY, what, now, 10, ts_answer_take, &answer);
    assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
    assert_int_equal(answer.result.status, KW_OK);
    for (size_t i = 0; i < answer.result.row_count; i++)
        strcat(got, answer.result.rows[i].name);
    assert_string_equal(got, names);
    ts_answer_clear(&answer);
}

static void test_due(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    struct store_change put[3];
    for (unsigned i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "b", "c"};
        static const char *const versions[] = {"0000000000000000000000000000000a",
                                               "0000000000000000000000000000000b",
                                               "0000000000000000000000000000000c"};
        put[i] = change(STORE_CHANGE_ADD, names[i], versions[i], "r");
        put[i].sets_wake = i != 2;
        put[i].wake_at = 300 - 100 * i;
    }
    assert_int_equal(apply(f, put, 3, &answer), KW_OK);
    assert_int_equal(answer.result.rows[1].wake_at, 200);
    ts_answer_clear(&answer);
    due_is(f, STORE_DUE_WAKE, 199, "");
    due_is(f, STORE_DUE_WAKE, 200, "b");
    due_is(f, STORE_DUE_WAKE, 1000, "ba");
    /* an update that says nothing of it leaves it */
    struct store_change update = change(STORE_CHANGE_UPDATE, "b", NULL, "r2");
    assert_int_equal(apply(f, &update, 1, &answer), KW_OK);
    assert_int_equal(answer.result.rows[0].wake_at, 200);
    ts_answer_clear(&answer);
    struct store_change wake = change(STORE_CHANGE_WAKE, "c", NULL, "");
    wake.wake_at = 150;
    assert_int_equal(apply(f, &wake, 1, &answer), KW_OK);
    ts_answer_clear(&answer);
    due_is(f, STORE_DUE_WAKE, 1000, "cba");
    /* what is deleted sleeps, and is due for its purge */
    struct store_change del = change(STORE_CHANGE_DELETE, "a", NULL, "");
    del.deleted_at = 10;
    del.purge_at = 400;
    assert_int_equal(apply(f, &del, 1, &answer), KW_OK);
    ts_answer_clear(&answer);
    due_is(f, STORE_DUE_WAKE, 1000, "cb");
    due_is(f, STORE_DUE_PURGE, 399, "");
    due_is(f, STORE_DUE_PURGE, 400, "a");
    struct store_change back = change(STORE_CHANGE_RECOVER, "a", NULL, "");
    assert_int_equal(apply(f, &back, 1, &answer), KW_OK);
    ts_answer_clear(&answer);
    due_is(f, STORE_DUE_PURGE, 1000, "");
    due_is(f, STORE_DUE_WAKE, 1000, "cba");
}

static void test_read_all(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer = {0};
    char record[16];
    for (unsigned i = 0; i < 1500; i++) {
        int len = snprintf(record, sizeof record, "r%u", i);
        assert_true(len > 0);
        assert_int_equal(ts_put(f->store, f->loop, "k", ts_version(9000 - i), record), KW_OK);
    }
    assert_int_equal(ts_put(f->store, f->loop, "second", ts_version(1), "s"), KW_OK);
    struct store_ref refs[] = {ts_ref("K", NULL), ts_ref("missing", NULL), ts_ref("second", NULL)};
    store_read_all(f->store, ts_loop_handle(f->loop), refs, 3, 1 << 20, ts_answer_take, &answer);
    assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
    assert_int_equal(answer.result.status, KW_OK);
    assert_int_equal(answer.result.row_count, 1501);
    assert_memory_equal(answer.result.rows[1499].record, "r1499", 5);
    assert_string_equal(answer.result.rows[1500].name, "second");
    ts_answer_clear(&answer);
    store_read_all(f->store, ts_loop_handle(f->loop), refs, 3, 1000, ts_answer_take, &answer);
    assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
    assert_int_equal(answer.result.status, KW_E_TOO_LARGE);
    ts_answer_clear(&answer);
    store_read_all(f->store, ts_loop_handle(f->loop), &refs[1], 2, 1000, ts_answer_take, &answer);
    assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
    assert_int_equal(answer.result.status, KW_E_NOT_FOUND);
}

struct opened {
    bool done;
    kw_status status;
    struct store_cursor *cursor;
};

static void on_opened(void *ctx, kw_status status, struct store_cursor *cursor)
{
    struct opened *opened = ctx;
    *opened = (struct opened){.done = true, .status = status, .cursor = cursor};
}

static struct opened open_cursor(struct fixture *f, const struct store_cursor_start *start)
{
    struct opened opened = {0};
    store_cursor_open(f->store, ts_loop_handle(f->loop), "v", start, on_opened, &opened);
    assert_true(ts_loop_run_until(f->loop, &opened.done, 20000));
    return opened;
}

static void next(struct fixture *f, struct store_cursor *cursor, unsigned rows, size_t bytes,
                 struct ts_answer *answer)
{
    *answer = (struct ts_answer){0};
    store_cursor_next(cursor, ts_loop_handle(f->loop), rows, bytes, ts_answer_take, answer);
    assert_true(ts_loop_run_until(f->loop, &answer->done, 20000));
}

static void test_cursor_is_one_moment(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    char name[16];
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "n%02u", i);
        assert_int_equal(ts_put(f->store, f->loop, name, ts_version(1), "before"), KW_OK);
        assert_int_equal(ts_put(f->store, f->loop, name, ts_version(2), "before"), KW_OK);
    }
    struct store_change del = change(STORE_CHANGE_DELETE, "n49", NULL, "");
    del.deleted_at = 10;
    assert_int_equal(apply(f, &del, 1, &answer), KW_OK);
    ts_answer_clear(&answer);
    struct opened opened = open_cursor(f, &(struct store_cursor_start){0});
    assert_int_equal(opened.status, KW_OK);
    /* changes go on and do not show */
    struct store_change later[] = {change(STORE_CHANGE_UPDATE, "n07", ts_version(2), "after"),
                                   change(STORE_CHANGE_REMOVE, "n08", NULL, ""),
                                   change(STORE_CHANGE_ADD, "n99", ts_version(2), "after")};
    assert_int_equal(apply(f, later, 3, &answer), KW_OK);
    ts_answer_clear(&answer);
    size_t rows = 0;
    bool more = true;
    while (more) {
        next(f, opened.cursor, 7, 20, &answer);
        assert_int_equal(answer.result.status, KW_OK);
        more = answer.result.more;
        assert_in_range(answer.result.row_count, 1, 3); /* 20 bytes: three records of six */
        for (size_t i = 0; i < answer.result.row_count; i++, rows++) {
            snprintf(name, sizeof name, "n%02u", (unsigned)rows / 2);
            assert_string_equal(answer.result.rows[i].name, name);
            assert_memory_equal(answer.result.rows[i].record, "before", 6);
            assert_int_equal(answer.result.rows[i].deleted_at, rows / 2 == 49 ? 10 : 0);
        }
        ts_answer_clear(&answer);
    }
    assert_int_equal(rows, 100);
    next(f, opened.cursor, 7, 20, &answer);
    assert_int_equal(answer.result.status, KW_OK);
    assert_int_equal(answer.result.row_count, 0);
    ts_answer_clear(&answer);
    store_cursor_close(opened.cursor);

    opened = open_cursor(f, &(struct store_cursor_start){.kind = STORE_KEY, .name = "N48"});
    next(f, opened.cursor, 100, 1 << 20, &answer);
    assert_int_equal(answer.result.row_count, 3);
    assert_string_equal(answer.result.rows[0].name, "n49");
    assert_string_equal(answer.result.rows[2].name, "n99");
    ts_answer_clear(&answer);
    store_cursor_close(opened.cursor);
}

static void test_cursors_are_few(void **state)
{
    struct fixture *f = *state;
    struct opened opened[5];
    for (unsigned i = 0; i < 5; i++)
        opened[i] = open_cursor(f, &(struct store_cursor_start){0});
    assert_int_equal(opened[3].status, KW_OK);
    assert_int_equal(opened[4].status, KW_E_BUSY);
    assert_null(opened[4].cursor);
    store_cursor_close(opened[0].cursor);
    opened[0] = open_cursor(f, &(struct store_cursor_start){0});
    assert_int_equal(opened[0].status, KW_OK);
    for (unsigned i = 0; i < 4; i++)
        store_cursor_close(opened[i].cursor);
}

static void test_bounds(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    assert_int_equal(apply(f, NULL, 0, &answer), KW_E_INPUT);
    struct store_change *many = calloc(STORE_CHANGES_MAX + 1, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i <= STORE_CHANGES_MAX; i++) {
        many[i] = change(STORE_CHANGE_DELETE, "x", NULL, "");
        many[i].deleted_at = 1;
    }
    assert_int_equal(apply(f, many, STORE_CHANGES_MAX + 1, &answer), KW_E_TOO_LARGE);
    many[0].op = (enum store_change_op)99;
    assert_int_equal(apply(f, many, 1, &answer), KW_E_INPUT);
    free(many);
    struct store_change no_record = change(STORE_CHANGE_ADD, "x", ts_version(1), "");
    assert_int_equal(apply(f, &no_record, 1, &answer), KW_E_INPUT);
    struct store_change no_version = change(STORE_CHANGE_ADD, "x", "12", "r");
    assert_int_equal(apply(f, &no_version, 1, &answer), KW_E_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_states_of_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base_and_expected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cursor_is_one_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cursors_are_few, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A database of an older schema, with all that a store can hold, keeps it through the migration. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/support/ts_store.h"
#include "tests/support/ts_store_check.h"

#define OBJECTS 40  /* of each kind and vault */
#define LONG    769 /* a record of this length is not kept where lists are */

static const char *const vaults[] = {"v", "other", "~import"};

struct fixture {
    char dir[64];
    struct store *store;
    struct ts_loop *loop;
};

static void open_store(struct fixture *f)
{
    char error[256] = "";
    if (ts_store_open(&f->store, f->dir, error, sizeof error) != KW_OK)
        fail_msg("%s", error);
}

static void close_store(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    ts_dir_make(f->dir);
    f->loop = ts_loop_create();
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    ts_loop_destroy(f->loop);
    ts_dir_remove(f->dir);
    free(f);
    return 0;
}

static sqlite3 *database(const struct fixture *f)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/keyward.db", f->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void sql(const struct fixture *f, const char *text)
{
    sqlite3 *db = database(f);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void apply(struct fixture *f, const struct store_change *changes, size_t count)
{
    struct ts_answer answer = {0};
    store_apply(f->store, ts_loop_handle(f->loop), changes, count, ts_answer_take, &answer);
    assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
    assert_int_equal(answer.result.status, KW_OK);
    ts_answer_clear(&answer);
}

/** One object with one to four versions, short and long, woken or not, live or deleted; now and
 *  then its newest or its oldest version was changed after it was made. */
static void fill_object(struct fixture *f, const char *vault, enum store_kind kind, unsigned n)
{
    struct store_change changes[8] = {0};
    char name[32], versions[4][STORE_VERSION_LEN + 1], record[4 * LONG];
    size_t count = 0;
    unsigned each = 1 + n % 4;
    snprintf(name, sizeof name, "%s-%u", n % 2 ? "Name" : "name", n * 7919 % 1000);
    memset(record, 'r', sizeof record);
    const struct store_ref ref = {.vault = vault, .kind = kind, .name = name};
    for (unsigned i = 0; i < each; i++) {
        size_t len = (n + i) % 3 == 0 ? LONG - 1 + n % 2 : 10 + n + i;
        memcpy(versions[i], ts_version((unsigned)kind * 100000 + n * 10 + 9 - i), 33);
        struct store_change *put = &changes[count++];
        *put = (struct store_change){.op = STORE_CHANGE_PUT,
                                     .ref = ref,
                                     .created = 1000 + n * 10 + 9 - i,
                                     .record = kw_span_of((uint8_t *)record + n % 5, len),
                                     .sets_wake = n % 4 == 1,
                                     .wake_at = 50 + n};
        put->ref.version = versions[i];
    }
    if (n % 5 == 0) {
        changes[count] = (struct store_change){
            .op = STORE_CHANGE_UPDATE, .ref = ref, .record = kw_span_str("changed later")};
        changes[count++].ref.version = versions[n % 2 ? 0 : each - 1];
    }
    if (n % 3 == 0)
        changes[count++] = (struct store_change){
            .op = STORE_CHANGE_DELETE, .ref = ref, .deleted_at = 2000 + n, .purge_at = 3000 + n};
    if (n % 9 == 0)
        changes[count++] = (struct store_change){.op = STORE_CHANGE_RECOVER, .ref = ref};
    apply(f, changes, count);
}

static void fill(struct fixture *f)
{
    for (size_t v = 0; v < sizeof vaults / sizeof vaults[0]; v++)
        for (unsigned kind = STORE_KEY; kind <= STORE_CONTACTS; kind++)
            for (unsigned n = 0; n < OBJECTS; n++)
                fill_object(f, vaults[v], (enum store_kind)kind, n);
}

/* --- what the store says -----------------------------------------------------------------------
 */

struct said {
    char *text;
    size_t len;
    FILE *out;
};

static void say_rows(struct said *said, const struct ts_answer *answer)
{
    for (size_t i = 0; i < answer->result.row_count; i++) {
        const struct store_row *row = &answer->result.rows[i];
        fprintf(said->out, "%s %d %s %s %lld %lld %lld %lld %zu ", row->vault, (int)row->kind,
                row->name, row->version, (long long)row->created, (long long)row->deleted_at,
                (long long)row->purge_at, (long long)row->wake_at, row->record_len);
        fwrite(row->record, 1, row->record_len, said->out);
        fputc('\n', said->out);
    }
    fprintf(said->out, "status %d more %d\n", (int)answer->result.status, answer->result.more);
}

static void say_list(struct fixture *f, struct said *said, const char *vault, enum store_kind kind,
                     bool deleted)
{
    char after[STORE_NAME_MAX + 1] = "";
    bool more = true;
    while (more) {
        struct ts_answer page = {0};
        store_list(f->store, ts_loop_handle(f->loop), vault, kind, deleted, after, 7,
                   ts_answer_take, &page);
        assert_true(ts_loop_run_until(f->loop, &page.done, 20000));
        say_rows(said, &page);
        more = page.result.more;
        if (page.result.row_count > 0)
            strcpy(after, page.result.rows[page.result.row_count - 1].name);
        ts_answer_clear(&page);
    }
}

/** The newest version and each of the others. */
static void say_object(struct fixture *f, struct said *said, const char *vault,
                       enum store_kind kind, unsigned n)
{
    char name[32];
    snprintf(name, sizeof name, "name-%u", n * 7919 % 1000);
    struct store_ref ref = {.vault = vault, .kind = kind, .name = name};
    for (int what = 0; what < 3; what++) {
        struct ts_answer answer = {0};
        struct gw_loop *loop = ts_loop_handle(f->loop);
        if (what == 0)
            store_get(f->store, loop, &ref, ts_answer_take, &answer);
        else if (what == 1)
            store_get_deleted(f->store, loop, &ref, ts_answer_take, &answer);
        else
            store_list_versions(f->store, loop, &ref, NULL, 100, ts_answer_take, &answer);
        assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
        say_rows(said, &answer);
        ts_answer_clear(&answer);
    }
}

static void say_due(struct fixture *f, struct said *said, enum store_kind kind)
{
    for (int what = STORE_DUE_PURGE; what <= STORE_DUE_WAKE; what++) {
        struct ts_answer answer = {0};
        store_due(f->store, ts_loop_handle(f->loop), kind, (enum store_due_what)what, 1 << 20, 1000,
                  ts_answer_take, &answer);
        assert_true(ts_loop_run_until(f->loop, &answer.done, 20000));
        say_rows(said, &answer);
        ts_answer_clear(&answer);
    }
}

/** Everything that can be asked, as one text. */
static char *all_of(struct fixture *f)
{
    struct said said = {0};
    said.out = open_memstream(&said.text, &said.len);
    for (unsigned kind = STORE_KEY; kind <= STORE_CONTACTS; kind++) {
        for (size_t v = 0; v < sizeof vaults / sizeof vaults[0]; v++) {
            say_list(f, &said, vaults[v], (enum store_kind)kind, false);
            say_list(f, &said, vaults[v], (enum store_kind)kind, true);
            for (unsigned n = 0; n < OBJECTS; n++)
                say_object(f, &said, vaults[v], (enum store_kind)kind, n);
        }
        say_due(f, &said, (enum store_kind)kind);
    }
    fclose(said.out);
    return said.text;
}

/* --- schema 3 ----------------------------------------------------------------------------------
 */

/** The schema that step 3 left, as its own text says it. */
static const char schema_3[] =
    "DELETE FROM migrations WHERE version > 3;"
    "DROP TABLE shown;"
    "CREATE INDEX objects_live ON objects"
    "  (vault, kind, name, deleted_at, purge_at, wake_at, newest) WHERE deleted_at = 0;"
    "CREATE INDEX objects_deleted ON objects"
    "  (vault, kind, name, deleted_at, purge_at, wake_at, newest) WHERE deleted_at <> 0;";

static void test_from_schema_3(void **state)
{
    struct fixture *f = *state;
    fill(f);
    char *before = all_of(f);
    assert_non_null(strstr(before, "changed later"));
    close_store(f);
    sql(f, schema_3);
    open_store(f);
    char *after = all_of(f);
    assert_string_equal(before, after);
    /* and goes on from there */
    fill_object(f, "v", STORE_SECRET, OBJECTS + 1);
    close_store(f);
    assert_null(ts_store_damage(f->dir));
    free(before);
    free(after);
}

/** An object whose versions are gone is damage: it does not keep the gateway from starting. */
static void test_object_without_version(void **state)
{
    struct fixture *f = *state;
    struct ts_answer page = {0};
    assert_int_equal(ts_put(f->store, f->loop, "whole", ts_version(1), "r"), KW_OK);
    assert_int_equal(ts_put(f->store, f->loop, "torn", ts_version(2), "r"), KW_OK);
    close_store(f);
    sql(f, "DELETE FROM versions WHERE version LIKE '%2'");
    sql(f, schema_3);
    open_store(f);
    store_list(f->store, ts_loop_handle(f->loop), "v", STORE_KEY, false, NULL, 10, ts_answer_take,
               &page);
    assert_true(ts_loop_run_until(f->loop, &page.done, 20000));
    assert_int_equal(page.result.row_count, 1);
    assert_string_equal(page.result.rows[0].name, "whole");
    ts_answer_clear(&page);
}

/* --- the check itself --------------------------------------------------------------------------
 */

static void test_check_finds_damage(void **state)
{
    static const char *const damages[] = {
        "UPDATE shown SET record = x'00' WHERE name = 'a'",
        "UPDATE shown SET record = NULL WHERE name = 'a'",
        "UPDATE shown SET record = x'00' WHERE name = 'long'",
        "UPDATE shown SET version = 'x' WHERE name = 'a'",
        "UPDATE shown SET created = 1 WHERE name = 'a'",
        "UPDATE shown SET wake_at = 1 WHERE name = 'a'",
        "UPDATE shown SET name = 'A' WHERE name = 'a'",
        "UPDATE shown SET deleted = 1 WHERE name = 'a'",
        "DELETE FROM shown WHERE name = 'a'",
        "INSERT INTO shown SELECT vault, kind, 1, name, 0, 0, 0, seq, version, created, record "
        "FROM shown WHERE name = 'a'",
        "UPDATE objects SET newest = 1 WHERE name = 'a'",
        "UPDATE objects SET deleted_at = 1 WHERE name = 'a'",
        "UPDATE versions SET record = x'00' WHERE seq = 2",
        "DELETE FROM versions WHERE object = (SELECT id FROM objects WHERE name = 'a')",
    };
    struct fixture *f = *state;
    char record[LONG + 1] = "";
    memset(record, 'r', LONG);
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(1), "one"), KW_OK);
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(2), "two"), KW_OK);
    assert_int_equal(ts_put(f->store, f->loop, "long", ts_version(3), record), KW_OK);
    close_store(f);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        sqlite3 *db = database(f);
        assert_int_equal(sqlite3_exec(db,
                                      "CREATE TEMP TABLE kept AS SELECT * FROM objects;"
                                      "CREATE TEMP TABLE said AS SELECT * FROM versions;"
                                      "CREATE TEMP TABLE listed AS SELECT * FROM shown;",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        assert_null(ts_store_damage(f->dir));
        assert_int_equal(sqlite3_exec(db, damages[i], NULL, NULL, NULL), SQLITE_OK);
        assert_non_null(ts_store_damage(f->dir));
        assert_int_equal(sqlite3_exec(db,
                                      "DELETE FROM versions; DELETE FROM shown;"
                                      "REPLACE INTO objects SELECT * FROM kept;"
                                      "INSERT INTO versions SELECT * FROM said;"
                                      "INSERT INTO shown SELECT * FROM listed;",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        sqlite3_close(db);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_schema_3, setup, teardown),
        cmocka_unit_test_setup_teardown(test_object_without_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check_finds_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

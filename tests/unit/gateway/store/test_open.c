/* Opening: modes, the lock, migrations, and a disk that is full. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/ts_store.h"

static int setup(void **state)
{
    char *dir = malloc(64);
    ts_dir_make(dir);
    *state = dir;
    return 0;
}

static int teardown(void **state)
{
    ts_dir_remove(*state);
    free(*state);
    return 0;
}

static void sql(const char *dir, const char *text)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/keyward.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static unsigned mode_of(const char *dir, const char *file)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", dir, file);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void test_modes(void **state)
{
    char dir[128], error[256] = "";
    struct store *store = NULL;
    struct ts_loop *loop = ts_loop_create();
    snprintf(dir, sizeof dir, "%s/new", (char *)*state);
    mode_t before = umask(0);
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_put(store, loop, "a", ts_version(1), "r"), KW_OK);
    umask(before);
    assert_int_equal(mode_of(dir, ""), 0700);
    assert_int_equal(mode_of(dir, "/keyward.db"), 0600);
    assert_int_equal(mode_of(dir, "/keyward.db-wal"), 0600);
    assert_int_equal(mode_of(dir, "/keyward.db-shm"), 0600);
    assert_int_equal(mode_of(dir, "/keyward.lock"), 0600);
    store_close(store);
    ts_loop_destroy(loop);

    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_E_FORBIDDEN);
    assert_non_null(strstr(error, "0777"));
    ts_dir_remove(dir);
}

static void test_second_gateway_is_refused(void **state)
{
    const char *dir = *state;
    char error[256] = "", pid[32];
    struct store *store = NULL, *second = NULL;
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_store_open(&second, dir, error, sizeof error), KW_E_CONFLICT);
    snprintf(pid, sizeof pid, "process %d", (int)getpid());
    assert_non_null(strstr(error, pid));
    store_close(store);
    assert_int_equal(ts_store_open(&second, dir, error, sizeof error), KW_OK);
    store_close(second);
}

static void test_from_version_zero(void **state)
{
    const char *dir = *state;
    char error[256] = "";
    struct store *store = NULL;
    struct ts_loop *loop = ts_loop_create();
    sql(dir, "CREATE TABLE stranger(x)"); /* a database without our history */
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_put(store, loop, "a", ts_version(1), "r"), KW_OK);
    store_close(store);
    /* again: nothing to do, nothing lost */
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_get(store, loop, "a", NULL, NULL), KW_OK);
    store_close(store);
    ts_loop_destroy(loop);
}

static void test_newer_schema_is_refused(void **state)
{
    const char *dir = *state;
    char error[256] = "";
    struct store *store = NULL;
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    store_close(store);
    sql(dir, "INSERT INTO migrations VALUES(99, 0)");
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_E_UNSUPPORTED);
    assert_non_null(strstr(error, "newer"));
    assert_non_null(strstr(error, "99"));
}

static void check_newest(struct store *store, struct ts_loop *loop, unsigned n)
{
    struct ts_answer got = {0}, page = {0};
    assert_int_equal(ts_get(store, loop, "a", NULL, &got), KW_OK);
    assert_string_equal(got.result.rows[0].version, ts_version(n));
    store_list(store, ts_loop_handle(loop), "v", STORE_KEY, false, NULL, 10, ts_answer_take, &page);
    assert_true(ts_loop_run_until(loop, &page.done, 20000));
    assert_int_equal(page.result.row_count, 2);
    assert_string_equal(page.result.rows[0].version, ts_version(n));
    assert_string_equal(page.result.rows[1].version, ts_version(7));
    ts_answer_clear(&got);
    ts_answer_clear(&page);
}

/** A database of schema 2 keeps what it has, and its newest versions are the newest. */
static void test_migration_finds_the_newest(void **state)
{
    const char *dir = *state;
    char error[256] = "";
    struct store *store = NULL;
    struct ts_loop *loop = ts_loop_create();
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_put(store, loop, "a", ts_version(9), "old"), KW_OK);
    assert_int_equal(ts_put(store, loop, "b", ts_version(7), "other"), KW_OK);
    assert_int_equal(ts_put(store, loop, "a", ts_version(2), "new"), KW_OK);
    store_close(store);
    sql(dir, "DELETE FROM migrations WHERE version > 2;"
             "DROP TABLE shown;"
             "ALTER TABLE objects DROP COLUMN newest;"
             "CREATE INDEX objects_live ON objects(vault, kind, name) WHERE deleted_at = 0;"
             "CREATE INDEX objects_deleted ON objects(vault, kind, name) WHERE deleted_at <> 0;");
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    check_newest(store, loop, 2);
    assert_int_equal(ts_put(store, loop, "a", ts_version(1), "newer"), KW_OK);
    check_newest(store, loop, 1);
    store_close(store);
    ts_loop_destroy(loop);
}

static void test_failed_migration_leaves_nothing(void **state)
{
    const char *dir = *state;
    char error[256] = "";
    struct store *store = NULL;
    sql(dir, "CREATE TABLE versions(x)"); /* the first step fails half-way */
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_E_INTERNAL);
    assert_non_null(strstr(error, "versions"));
    sql(dir, "DROP TABLE versions; CREATE TABLE settings(x); DROP TABLE settings");
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    store_close(store);
}

static void test_not_a_database(void **state)
{
    const char *dir = *state;
    char path[128], error[256] = "";
    struct store *store = NULL;
    snprintf(path, sizeof path, "%s/keyward.db", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("this is not a database\n", file);
    fclose(file);
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_E_INTEGRITY);
    assert_non_null(strstr(error, "not a database"));
}

/* A limit on the size of files stands for a full disk: writes end short or fail with EFBIG. */
static int with_full_disk(const char *dir)
{
    char error[256] = "";
    struct store *store = NULL;
    struct ts_loop *loop = ts_loop_create();
    struct rlimit limit = {.rlim_cur = 300000, .rlim_max = RLIM_INFINITY};
    unsigned stored = 0;
    kw_status status = KW_OK;
    char *record = calloc(1, 20001);
    if (!record || ts_store_open(&store, dir, error, sizeof error) != KW_OK)
        return 1;
    memset(record, 'r', 20000);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    while (status == KW_OK && stored < 1000)
        status = ts_put(store, loop, "a", ts_version(++stored), record);
    if (status != KW_E_IO || stored < 3 || !store_read_only(store))
        return 2;
    if (ts_put(store, loop, "b", ts_version(1), record) != KW_E_UNAVAILABLE)
        return 3;
    /* reads go on; the failed one is not there, the last good one is the newest */
    struct ts_answer answer;
    if (ts_get(store, loop, "a", ts_version(stored), NULL) != KW_E_NOT_FOUND ||
        ts_get(store, loop, "a", NULL, &answer) != KW_OK ||
        strcmp(answer.result.rows[0].version, ts_version(stored - 1)) != 0)
        return 4;
    ts_answer_clear(&answer);
    sleep(2); /* the probe meets the same limit */
    if (!store_read_only(store))
        return 5;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 50 && store_read_only(store); i++)
        usleep(100000);
    if (store_read_only(store))
        return 6;
    if (ts_put(store, loop, "a", ts_version(stored), record) != KW_OK)
        return 7;
    store_close(store);
    ts_loop_destroy(loop);
    free(record);
    return 0;
}

static void test_full_disk(void **state)
{
    const char *dir = *state;
    char error[256] = "";
    int how = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(with_full_disk(dir));
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    struct store *store = NULL;
    struct ts_loop *loop = ts_loop_create();
    assert_int_equal(ts_store_open(&store, dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_get(store, loop, "a", ts_version(2), NULL), KW_OK);
    store_close(store);
    ts_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_gateway_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_version_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_schema_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_migration_finds_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_migration_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

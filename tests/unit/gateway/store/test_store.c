/* Objects, versions and states on a real SQLite file. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void wait_for(struct fixture *f, struct ts_answer *answer)
{
    assert_true(ts_loop_run_until(f->loop, &answer->done, 20000));
}

static kw_status finish(struct fixture *f, struct ts_answer *answer)
{
    wait_for(f, answer);
    kw_status status = answer->result.status;
    ts_answer_clear(answer);
    return status;
}

static kw_status delete_it(struct fixture *f, const char *name)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref(name, NULL);
    store_delete(f->store, ts_loop_handle(f->loop), &ref, 5000, 6000, ts_answer_take, &answer);
    return finish(f, &answer);
}

static kw_status recover_it(struct fixture *f, const char *name)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref(name, NULL);
    store_recover(f->store, ts_loop_handle(f->loop), &ref, ts_answer_take, &answer);
    return finish(f, &answer);
}

static kw_status purge_it(struct fixture *f, const char *name)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref(name, NULL);
    store_purge(f->store, ts_loop_handle(f->loop), &ref, ts_answer_take, &answer);
    return finish(f, &answer);
}

static kw_status update_it(struct fixture *f, const char *name, const char *version,
                           const char *record, const char *expected)
{
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref(name, version);
    uint8_t hash[32];
    if (expected)
        SHA256((const uint8_t *)expected, strlen(expected), hash);
    store_update(f->store, ts_loop_handle(f->loop), &ref, kw_span_str(record),
                 kw_span_of(hash, expected ? sizeof hash : 0), ts_answer_take, &answer);
    return finish(f, &answer);
}

static void test_put_and_get(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    assert_int_equal(ts_get(f->store, f->loop, "Alpha", NULL, NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_put(f->store, f->loop, "Alpha", ts_version(9), "one"), KW_OK);
    /* a lower version id and the same clock: still the newest, because it was put later */
    assert_int_equal(ts_put(f->store, f->loop, "aLPHA", ts_version(2), "two"), KW_OK);

    assert_int_equal(ts_get(f->store, f->loop, "ALPHA", NULL, &answer), KW_OK);
    assert_int_equal(answer.result.row_count, 1);
    assert_string_equal(answer.result.rows[0].name, "Alpha");
    assert_string_equal(answer.result.rows[0].version, ts_version(2));
    assert_memory_equal(answer.result.rows[0].record, "two", 3);
    assert_int_equal(answer.result.rows[0].deleted_at, 0);
    ts_answer_clear(&answer);

    assert_int_equal(ts_get(f->store, f->loop, "alpha", ts_version(9), &answer), KW_OK);
    assert_memory_equal(answer.result.rows[0].record, "one", 3);
    ts_answer_clear(&answer);
    assert_int_equal(ts_get(f->store, f->loop, "alpha", ts_version(3), NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_put(f->store, f->loop, "alpha", ts_version(9), "again"), KW_E_CONFLICT);
}

static void test_kinds_and_vaults_are_apart(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer = {0};
    struct store_ref secret = {.vault = "v", .kind = STORE_SECRET, .name = "a"};
    struct store_ref other = {.vault = "w", .kind = STORE_KEY, .name = "a"};
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(1), "key"), KW_OK);
    store_get(f->store, ts_loop_handle(f->loop), &secret, ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer), KW_E_NOT_FOUND);
    store_get(f->store, ts_loop_handle(f->loop), &other, ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer), KW_E_NOT_FOUND);
}

static void test_bad_calls_are_answered_at_once(void **state)
{
    struct fixture *f = *state;
    char long_name[STORE_NAME_MAX + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref(long_name, NULL);
    store_get(f->store, ts_loop_handle(f->loop), &ref, ts_answer_take, &answer);
    assert_true(answer.done);
    assert_int_equal(answer.result.status, KW_E_INPUT);
    assert_int_equal(ts_put(f->store, f->loop, "a", "abc", "r"), KW_E_INPUT);
    assert_int_equal(ts_put(f->store, f->loop, "", ts_version(1), "r"), KW_E_INPUT);
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(1), ""), KW_E_INPUT);
    ref = ts_ref("a", NULL);
    answer = (struct ts_answer){0};
    store_list_versions(f->store, ts_loop_handle(f->loop), &ref, NULL, 0, ts_answer_take, &answer);
    assert_int_equal(answer.result.status, KW_E_INPUT);
}

static void test_update_compares(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer;
    assert_int_equal(update_it(f, "a", ts_version(1), "x", NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(1), "one"), KW_OK);
    assert_int_equal(update_it(f, "a", ts_version(1), "two", "wrong"), KW_E_CONFLICT);
    assert_int_equal(update_it(f, "a", ts_version(1), "two", "one"), KW_OK);
    assert_int_equal(update_it(f, "a", ts_version(1), "three", "one"), KW_E_CONFLICT);
    assert_int_equal(update_it(f, "a", NULL, "four", NULL), KW_OK);
    assert_int_equal(ts_get(f->store, f->loop, "a", NULL, &answer), KW_OK);
    assert_int_equal(answer.result.rows[0].record_len, 4);
    assert_memory_equal(answer.result.rows[0].record, "four", 4);
    ts_answer_clear(&answer);
}

static void test_states(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answer = {0};
    struct store_ref ref = ts_ref("A", NULL);
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(1), "one"), KW_OK);
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(2), "two"), KW_OK);
    assert_int_equal(recover_it(f, "a"), KW_E_NOT_FOUND);
    assert_int_equal(purge_it(f, "a"), KW_E_NOT_FOUND);

    store_delete(f->store, ts_loop_handle(f->loop), &ref, 5000, 6000, ts_answer_take, &answer);
    wait_for(f, &answer);
    assert_int_equal(answer.result.status, KW_OK);
    assert_string_equal(answer.result.rows[0].version, ts_version(2));
    assert_int_equal(answer.result.rows[0].deleted_at, 5000);
    assert_int_equal(answer.result.rows[0].purge_at, 6000);
    ts_answer_clear(&answer);

    assert_int_equal(ts_get(f->store, f->loop, "a", NULL, NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_get(f->store, f->loop, "a", ts_version(1), NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_put(f->store, f->loop, "A", ts_version(3), "x"), KW_E_CONFLICT);
    assert_int_equal(update_it(f, "a", ts_version(1), "x", NULL), KW_E_NOT_FOUND);
    assert_int_equal(delete_it(f, "a"), KW_E_NOT_FOUND);
    store_list_versions(f->store, ts_loop_handle(f->loop), &ref, NULL, 5, ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer), KW_E_NOT_FOUND);
    store_get_deleted(f->store, ts_loop_handle(f->loop), &ref, ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer), KW_OK);

    assert_int_equal(recover_it(f, "a"), KW_OK);
    assert_int_equal(ts_get(f->store, f->loop, "a", ts_version(1), NULL), KW_OK);
    assert_int_equal(delete_it(f, "a"), KW_OK);
    assert_int_equal(purge_it(f, "a"), KW_OK);
    store_get_deleted(f->store, ts_loop_handle(f->loop), &ref, ts_answer_take, &answer);
    assert_int_equal(finish(f, &answer), KW_E_NOT_FOUND);
    assert_int_equal(ts_put(f->store, f->loop, "A", ts_version(1), "fresh"), KW_OK);
    assert_int_equal(ts_get(f->store, f->loop, "a", ts_version(2), NULL), KW_E_NOT_FOUND);
}

static unsigned page_through(struct fixture *f, bool deleted, unsigned limit, const char *prefix)
{
    char after[STORE_NAME_MAX + 1] = "";
    unsigned seen = 0;
    bool more = true;
    while (more) {
        struct ts_answer answer = {0};
        store_list(f->store, ts_loop_handle(f->loop), "v", STORE_KEY, deleted, after, limit,
                   ts_answer_take, &answer);
        wait_for(f, &answer);
        assert_int_equal(answer.result.status, KW_OK);
        more = answer.result.more;
        assert_true(!more || answer.result.row_count == limit);
        for (size_t i = 0; i < answer.result.row_count; i++) {
            const struct store_row *row = &answer.result.rows[i];
            assert_true(strcasecmp(row->name, after) > 0);
            assert_int_equal(row->name[0], prefix[seen % 2 ? 1 : 0]);
            memcpy(after, row->name, sizeof after);
            assert_memory_equal(row->record, "new", 3); /* the newest version */
            seen++;
        }
        ts_answer_clear(&answer);
    }
    return seen;
}

static void test_paging_over_a_thousand_names(void **state)
{
    struct fixture *f = *state;
    struct ts_answer answers[2000] = {0};
    for (unsigned i = 0; i < 2000; i++) {
        char name[32];
        unsigned n = i % 1000;
        snprintf(name, sizeof name, "%c%04u", n % 2 ? 'K' : 'k', n);
        struct store_ref ref = ts_ref(name, ts_version(i + 1));
        store_put(f->store, ts_loop_handle(f->loop), &ref, 1, kw_span_str(i < 1000 ? "old" : "new"),
                  ts_answer_take, &answers[i]);
    }
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(finish(f, &answers[i]), KW_OK);
    assert_int_equal(page_through(f, false, 25, "kK"), 1000);
    assert_int_equal(page_through(f, false, 7, "kK"), 1000);
    assert_int_equal(page_through(f, true, 25, "kK"), 0);
    assert_int_equal(delete_it(f, "K0500"), KW_OK);
    assert_int_equal(page_through(f, true, 25, "kk"), 1);
    /* what waited together was committed together */
    struct store_counters counters = store_counters_read(f->store);
    assert_true(counters.commits < counters.changes);
}

static void test_version_paging(void **state)
{
    struct fixture *f = *state;
    struct store_ref ref = ts_ref("a", NULL);
    for (unsigned i = 0; i < 23; i++)
        assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(100 - i), "r"), KW_OK);
    char after[STORE_VERSION_LEN + 1] = "";
    unsigned seen = 0;
    for (bool more = true; more;) {
        struct ts_answer answer = {0};
        store_list_versions(f->store, ts_loop_handle(f->loop), &ref, after, 5, ts_answer_take,
                            &answer);
        wait_for(f, &answer);
        assert_int_equal(answer.result.status, KW_OK);
        for (size_t i = 0; i < answer.result.row_count; i++) {
            assert_string_equal(answer.result.rows[i].version, ts_version(100 - seen));
            seen++;
        }
        memcpy(after, answer.result.rows[answer.result.row_count - 1].version, sizeof after);
        more = answer.result.more;
        ts_answer_clear(&answer);
    }
    assert_int_equal(seen, 23);
}

/* --- many writers --- */

struct writer {
    struct store *store;
    unsigned index, stored, refused;
};

static void *write_many(void *arg)
{
    struct writer *w = arg;
    struct ts_loop *loop = ts_loop_create();
    for (unsigned i = 0; i < 25; i++) {
        struct ts_answer answers[4] = {0};
        for (unsigned j = 0; j < 4; j++) {
            char name[32];
            /* the last of four collides with every other writer's: one of them wins */
            if (j < 3)
                snprintf(name, sizeof name, "w%u-%u-%u", w->index, j, i);
            else
                snprintf(name, sizeof name, "shared-%u", i);
            struct store_ref ref = ts_ref(name, ts_version(7));
            store_put(w->store, ts_loop_handle(loop), &ref, 1, kw_span_str("r"), ts_answer_take,
                      &answers[j]);
        }
        for (unsigned j = 0; j < 4; j++) {
            if (!ts_loop_run_until(loop, &answers[j].done, 20000))
                abort();
            if (answers[j].result.status == KW_OK)
                w->stored++;
            else if (answers[j].result.status == KW_E_CONFLICT)
                w->refused++;
            ts_answer_clear(&answers[j]);
        }
    }
    ts_loop_destroy(loop);
    return NULL;
}

static void test_concurrent_writers_share_commits(void **state)
{
    struct fixture *f = *state;
    struct writer writers[8];
    pthread_t threads[8];
    unsigned stored = 0, refused = 0;
    for (unsigned i = 0; i < 8; i++) {
        writers[i] = (struct writer){.store = f->store, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        stored += writers[i].stored;
        refused += writers[i].refused;
    }
    /* a refused change took none of its company with it */
    assert_int_equal(stored, 8 * 75 + 25);
    assert_int_equal(refused, 7 * 25);
    struct store_counters counters = store_counters_read(f->store);
    assert_int_equal(counters.changes, 800);
    assert_true(counters.commits <= counters.changes / 2);
    assert_int_equal(ts_get(f->store, f->loop, "w7-2-24", NULL, NULL), KW_OK);
}

static void test_settings(void **state)
{
    struct fixture *f = *state;
    char value[16] = "";
    assert_int_equal(store_setting_get(f->store, "x", value, sizeof value), KW_E_NOT_FOUND);
    assert_int_equal(store_setting_put(f->store, "x", "one"), KW_OK);
    assert_int_equal(store_setting_put(f->store, "x", "two"), KW_OK);
    assert_int_equal(store_setting_get(f->store, "x", value, sizeof value), KW_OK);
    assert_string_equal(value, "two");
    assert_int_equal(store_setting_get(f->store, "x", value, 3), KW_E_TOO_LARGE);
    assert_int_equal(store_setting_put(f->store, "", "v"), KW_E_INPUT);
}

static void test_durable_across_open(void **state)
{
    struct fixture *f = *state;
    char error[256] = "";
    assert_int_equal(ts_put(f->store, f->loop, "a", ts_version(1), "one"), KW_OK);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(ts_store_open(&f->store, f->dir, error, sizeof error), KW_OK);
    assert_int_equal(ts_get(f->store, f->loop, "a", NULL, NULL), KW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_and_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kinds_and_vaults_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_calls_are_answered_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update_compares, setup, teardown),
        cmocka_unit_test_setup_teardown(test_states, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paging_over_a_thousand_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_paging, setup, teardown),
        cmocka_unit_test_setup_teardown(test_concurrent_writers_share_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_durable_across_open, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

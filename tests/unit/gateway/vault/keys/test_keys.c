/* Keys as objects, from creation to purge, over a real store, pool and domain. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "crypto/base/clock.h"
#include "tests/support/ts_vault.h"

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

/** Runs SQL on the database file behind the store's back. */
static void sql(struct ts_vault *tv, const char *text)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/keyward.db", tv->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void forget(struct ts_vault *tv, const char *name)
{
    vault_cache_drop(tv->vault->caches[STORE_KEY], "v", kw_span_str(name));
}

static bool op_ended;

static void on_op(struct pool_op *op)
{
    (void)op;
    op_ended = true;
}

/** HMAC with an oct key: shows that the pool half works. */
static kw_status mac(struct ts_vault *tv, struct vault_key *key, uint8_t out[32])
{
    struct pool_op op = {0};
    uint8_t room[64];
    op.lane.kind = KW_KIND_SIGN;
    op.lane.alg = KW_ALG_HS256;
    op.lane.in = kw_span_str("what do ya want for nothing?");
    op.lane.out = (struct kw_buf){.data = room, .cap = sizeof room};
    op.key = key->key;
    op.deadline_ns = kw_now_ns() + KW_S(10);
    op.on_done = on_op;
    op_ended = false;
    KW_TRY(pool_submit(tv->port, &op));
    assert_true(ts_loop_run_until(tv->loop, &op_ended, 10000));
    memcpy(out, room, 32);
    return op.lane.status;
}

static void test_create_get(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_key *made = NULL, *got = NULL, *peeked;
    assert_int_equal(ts_key_get(tv, "Key-1", NULL, &got), KW_E_NOT_FOUND);
    assert_null(got);
    assert_int_equal(ts_key_create(tv, "Key-1", KW_KTY_EC, &made), KW_OK);
    assert_string_equal(made->name, "Key-1");
    assert_int_equal(strlen(made->version), STORE_VERSION_LEN);
    assert_true(made->attributes.created > 1600000000);

    /* published before it was answered */
    peeked = vault_key_peek(tv->vault, "V", kw_span_str("kEY-1"), kw_span_str(""));
    assert_ptr_equal(peeked, made);
    vault_key_unref(peeked);
    peeked = vault_key_peek(tv->vault, "v", kw_span_str("key-1"), kw_span_str(made->version));
    assert_ptr_equal(peeked, made);
    vault_key_unref(peeked);
    assert_null(vault_key_peek(tv->vault, "w", kw_span_str("key-1"), kw_span_str("")));

    /* the same again from the store */
    forget(tv, "key-1");
    assert_null(vault_key_peek(tv->vault, "v", kw_span_str("key-1"), kw_span_str("")));
    assert_int_equal(ts_key_get(tv, "KEY-1", NULL, &got), KW_OK);
    assert_ptr_not_equal(got, made);
    assert_string_equal(got->name, "Key-1");
    assert_string_equal(got->version, made->version);
    assert_int_equal(got->ops, made->ops);
    const struct kc_public *a = pool_key_public(made->key), *b = pool_key_public(got->key);
    assert_int_equal(b->curve, KW_CURVE_P256);
    assert_int_equal(a->coord_len, 32);
    assert_memory_equal(a->x, b->x, 32);
    assert_memory_equal(a->y, b->y, 32);
    vault_key_unref(got);
    vault_key_unref(made);
}

static void test_versions(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_key *one = NULL, *two = NULL, *got = NULL;
    uint8_t a[32], b[32];
    assert_int_equal(ts_key_create(tv, "Mac", KW_KTY_OCT, &one), KW_OK);
    assert_int_equal(ts_key_create(tv, "mac", KW_KTY_OCT, &two), KW_OK);
    assert_string_equal(two->name, "Mac"); /* as it was spelled at creation */
    assert_int_equal(ts_key_get(tv, "mac", NULL, &got), KW_OK);
    assert_string_equal(got->version, two->version);
    vault_key_unref(got);
    forget(tv, "mac");
    assert_int_equal(ts_key_get(tv, "mac", one->version, &got), KW_OK);
    assert_int_equal(mac(tv, one, a), KW_OK);
    assert_int_equal(mac(tv, got, b), KW_OK);
    assert_memory_equal(a, b, 32);
    assert_int_equal(mac(tv, two, b), KW_OK);
    assert_memory_not_equal(a, b, 32);
    vault_key_unref(got);
    assert_int_equal(ts_key_get(tv, "mac", "00000000000000000000000000000000", NULL),
                     KW_E_NOT_FOUND);
    assert_int_equal(ts_key_get(tv, "mac", "xyz", NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_key_get(tv, "m/c", NULL, NULL), KW_E_INPUT);
    assert_int_equal(ts_key_get(tv, "", NULL, NULL), KW_E_INPUT);
    vault_key_unref(one);
    vault_key_unref(two);
}

static void test_import(void **state)
{
    static const uint8_t secret[32] = "a secret of thirty-two bytes ..";
    struct ts_vault *tv = *state;
    struct kc_private_parts parts = {.k = kw_span_of(secret, sizeof secret)};
    struct kc_key *raw = NULL;
    struct ts_key_answer answer = {0};
    struct vault_tag tags[] = {{"env", "t"}, {"", ""}, {"\xc3\xa9", "x y"}};
    struct vault_key_request req = {.vault = "v",
                                    .name = "imp",
                                    .kty = KW_KTY_OCT,
                                    .bits = 256,
                                    .ops = 1u << KW_KIND_SIGN,
                                    .op_export = true,
                                    .attributes = {.enabled = false, .nbf = -5, .exp = 1LL << 40},
                                    .tags = tags,
                                    .tag_count = 3};
    struct vault_key *key = NULL, *again = NULL;
    uint8_t a[32], b[32];
    assert_int_equal(kc_key_import(&raw, KW_KTY_OCT, KW_CURVE_NONE, &parts), KW_OK);
    vault_key_import(tv->vault, ts_loop_handle(tv->loop), &req, raw, ts_key_take, &answer);
    kc_key_unref(raw);
    assert_int_equal(ts_key_finish(tv, &answer, &key), KW_OK);
    forget(tv, "imp");
    assert_int_equal(ts_key_get(tv, "imp", NULL, &again), KW_OK);
    assert_ptr_not_equal(key, again);
    assert_int_equal(again->ops, 1u << KW_KIND_SIGN);
    assert_true(again->op_export && !again->op_import && !again->attributes.enabled);
    assert_true(again->attributes.nbf == -5 && again->attributes.exp == 1LL << 40);
    assert_int_equal(again->tag_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(again->tags[i].name, tags[i].name);
        assert_string_equal(again->tags[i].value, tags[i].value);
    }
    assert_int_equal(mac(tv, key, a), KW_OK);
    assert_int_equal(mac(tv, again, b), KW_OK);
    assert_memory_equal(a, b, 32);
    vault_key_unref(key);
    vault_key_unref(again);
}

static void test_update(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_key *one = NULL, *two = NULL, *got = NULL;
    struct vault_tag tag = {"a", "b"};
    struct vault_key_change change = {.common = {.has_tags = true, .tags = &tag, .tag_count = 1}};
    struct ts_key_answer answer = {0};
    assert_int_equal(ts_key_enable(tv, "k", NULL, false), KW_E_NOT_FOUND);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, &one), KW_OK);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, &two), KW_OK);
    assert_int_equal(ts_key_enable(tv, "k", one->version, false), KW_OK);
    got = vault_key_peek(tv->vault, "v", kw_span_str("k"), kw_span_str(one->version));
    assert_non_null(got); /* the change was published */
    assert_false(got->attributes.enabled);
    assert_true(one->attributes.enabled); /* what was handed out does not change under its holder */
    vault_key_unref(got);
    got = vault_key_peek(tv->vault, "v", kw_span_str("k"), kw_span_str(""));
    assert_string_equal(got->version, two->version);
    assert_true(got->attributes.enabled);
    vault_key_unref(got);

    vault_key_update(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), kw_span_str(""),
                     &change, ts_key_take, &answer);
    assert_int_equal(ts_key_finish(tv, &answer, &got), KW_OK);
    assert_string_equal(got->version, two->version);
    assert_int_equal(got->tag_count, 1);
    vault_key_unref(got);
    got = vault_key_peek(tv->vault, "v", kw_span_str("k"), kw_span_str(""));
    assert_int_equal(got->tag_count, 1); /* the newest alias follows */
    vault_key_unref(got);
    vault_key_unref(one);
    vault_key_unref(two);
}

/* Many changes of different members at once: compare-and-retry loses none. */
static void test_concurrent_updates(void **state)
{
    struct ts_vault *tv = *state;
    struct ts_key_answer answers[3] = {0};
    struct vault_tag tag = {"a", "b"};
    struct vault_key_change changes[3] = {
        {.common = {.has_enabled = true, .enabled = false}},
        {.common = {.has_exp = true, .exp = 77}},
        {.common = {.has_tags = true, .tags = &tag, .tag_count = 1}},
    };
    struct vault_key *got = NULL;
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, NULL), KW_OK);
    for (size_t i = 0; i < 3; i++)
        vault_key_update(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"),
                         kw_span_str(""), &changes[i], ts_key_take, &answers[i]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ts_key_finish(tv, &answers[i], NULL), KW_OK);
    assert_int_equal(ts_key_get(tv, "k", NULL, &got), KW_OK);
    assert_false(got->attributes.enabled);
    assert_true(got->attributes.exp == 77);
    assert_int_equal(got->tag_count, 1);
    vault_key_unref(got);
}

static void test_delete_recover_purge(void **state)
{
    struct ts_vault *tv = *state;
    struct ts_key_answer answer = {0};
    struct vault_key *made = NULL, *got = NULL;
    assert_int_equal(ts_key_delete(tv, "k"), KW_E_NOT_FOUND);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, &made), KW_OK);
    vault_key_delete(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("K"), 30, ts_key_take,
                     &answer);
    assert_int_equal(ts_key_finish(tv, &answer, &got), KW_OK);
    assert_string_equal(got->version, made->version);
    assert_true(got->purge_at - got->deleted_at == 30 * 86400);
    assert_non_null(got->key);
    vault_key_unref(got);
    assert_null(vault_key_peek(tv->vault, "v", kw_span_str("k"), kw_span_str("")));
    assert_null(vault_key_peek(tv->vault, "v", kw_span_str("k"), kw_span_str(made->version)));
    assert_int_equal(ts_key_get(tv, "k", made->version, NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, NULL), KW_E_CONFLICT);

    answer = (struct ts_key_answer){0};
    vault_key_get_deleted(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), ts_key_take,
                          &answer);
    assert_int_equal(ts_key_finish(tv, &answer, NULL), KW_OK);
    answer = (struct ts_key_answer){0};
    vault_key_recover(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), ts_key_take,
                      &answer);
    assert_int_equal(ts_key_finish(tv, &answer, &got), KW_OK);
    assert_true(got->deleted_at == 0);
    vault_key_unref(got);
    assert_int_equal(ts_key_get(tv, "k", made->version, NULL), KW_OK);
    assert_int_equal(ts_key_delete(tv, "k"), KW_OK);
    answer = (struct ts_key_answer){0};
    vault_key_purge(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), ts_key_take,
                    &answer);
    assert_int_equal(ts_key_finish(tv, &answer, &got), KW_OK);
    assert_null(got);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_EC, NULL), KW_OK);
    vault_key_unref(made);
}

struct page_answer {
    bool done, more;
    kw_status status;
    size_t count;
    char last[STORE_NAME_MAX + 1];
};

static void take_page(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                      bool more)
{
    struct page_answer *page = ctx;
    page->done = true;
    page->status = status;
    page->count = count;
    page->more = more;
    if (count > 0)
        snprintf(page->last, sizeof page->last, "%s", keys[count - 1]->name);
}

static void test_lists(void **state)
{
    struct ts_vault *tv = *state;
    struct page_answer page = {0};
    for (int i = 0; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(ts_key_create(tv, name, KW_KTY_OCT, NULL), KW_OK);
    }
    assert_int_equal(ts_key_create(tv, "k3", KW_KTY_OCT, NULL), KW_OK);
    vault_key_list(tv->vault, ts_loop_handle(tv->loop), "v", false, NULL, 3, take_page, &page);
    assert_true(ts_loop_run_until(tv->loop, &page.done, 10000));
    assert_true(page.status == KW_OK && page.count == 3 && page.more);
    page.done = false;
    vault_key_list(tv->vault, ts_loop_handle(tv->loop), "v", false, page.last, 3, take_page, &page);
    assert_true(ts_loop_run_until(tv->loop, &page.done, 10000));
    assert_true(page.status == KW_OK && page.count == 2 && !page.more);
    page.done = false;
    vault_key_versions(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("K3"), NULL, 3,
                       take_page, &page);
    assert_true(ts_loop_run_until(tv->loop, &page.done, 10000));
    assert_true(page.status == KW_OK && page.count == 2 && !page.more);
    page.done = false;
    vault_key_list(tv->vault, ts_loop_handle(tv->loop), "v", true, NULL, 3, take_page, &page);
    assert_true(ts_loop_run_until(tv->loop, &page.done, 10000));
    assert_true(page.status == KW_OK && page.count == 0);
}

static void test_tampered_record_is_refused(void **state)
{
    struct ts_vault *tv = *state;
    struct page_answer page = {0};
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, NULL), KW_OK);
    forget(tv, "k");
    assert_int_equal(ts_key_get(tv, "k", NULL, NULL), KW_OK);
    forget(tv, "k");
    /* another last byte, the same length */
    sql(tv, "UPDATE versions SET record = CAST(substr(record, 1, length(record) - 1) || "
            "CASE WHEN substr(record, -1) = x'00' THEN x'01' ELSE x'00' END AS BLOB)");
    assert_int_equal(ts_key_get(tv, "k", NULL, NULL), KW_E_INTEGRITY);
    assert_int_equal(ts_key_enable(tv, "k", NULL, true), KW_E_INTEGRITY);
    /* and of what lists read */
    sql(tv, "UPDATE shown SET record = CAST(substr(record, 1, length(record) - 1) || "
            "CASE WHEN substr(record, -1) = x'00' THEN x'01' ELSE x'00' END AS BLOB)");
    vault_key_list(tv->vault, ts_loop_handle(tv->loop), "v", false, NULL, 3, take_page, &page);
    assert_true(ts_loop_run_until(tv->loop, &page.done, 10000));
    assert_int_equal(page.status, KW_E_INTEGRITY);
    sql(tv, "UPDATE versions SET record = x'00'");
    assert_int_equal(ts_key_get(tv, "k", NULL, NULL), KW_E_INTEGRITY);
}

static void test_moved_record_is_refused(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_key *victim = NULL, *weak = NULL;
    assert_int_equal(ts_key_create(tv, "victim", KW_KTY_OCT, &victim), KW_OK);
    assert_int_equal(ts_key_create(tv, "weak", KW_KTY_OCT, &weak), KW_OK);
    forget(tv, "victim");
    forget(tv, "weak");
    sql(tv, "UPDATE objects SET name = 'x' WHERE name = 'victim';"
            "UPDATE objects SET name = 'victim' WHERE name = 'weak'");
    assert_int_equal(ts_key_get(tv, "victim", NULL, NULL), KW_E_INTEGRITY);
    assert_int_equal(ts_key_get(tv, "x", NULL, NULL), KW_E_INTEGRITY);
    /* another spelling is the same name */
    sql(tv, "UPDATE objects SET name = 'y' WHERE name = 'victim';"
            "UPDATE objects SET name = 'VICTIM' WHERE name = 'x'");
    assert_int_equal(ts_key_get(tv, "victim", NULL, NULL), KW_OK);
    vault_key_unref(victim);
    vault_key_unref(weak);
}

static void test_other_version_is_another_place(void **state)
{
    struct ts_vault *tv = *state;
    struct vault_key *old = NULL;
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, &old), KW_OK);
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, NULL), KW_OK);
    forget(tv, "k");
    /* an old version's record under the newest version's id: a roll-back */
    sql(tv, "UPDATE versions SET record = (SELECT record FROM versions ORDER BY seq LIMIT 1) "
            "WHERE seq = (SELECT max(seq) FROM versions)");
    assert_int_equal(ts_key_get(tv, "k", NULL, NULL), KW_E_INTEGRITY);
    assert_int_equal(ts_key_get(tv, "k", old->version, NULL), KW_OK);
    vault_key_unref(old);
}

static void test_misses_share_a_read(void **state)
{
    struct ts_vault *tv = *state;
    struct ts_key_answer answers[20] = {0};
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, NULL), KW_OK);
    forget(tv, "k");
    unsigned long before = ts_loop_posts(tv->loop);
    for (size_t i = 0; i < 20; i++)
        vault_key_get(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), kw_span_str(""),
                      ts_key_take, &answers[i]);
    struct vault_key *first = NULL;
    for (size_t i = 0; i < 20; i++) {
        struct vault_key *key = NULL;
        assert_int_equal(ts_key_finish(tv, &answers[i], &key), KW_OK);
        assert_int_equal(answers[i].calls, 1);
        if (!first)
            first = key;
        assert_ptr_equal(key, first);
        vault_key_unref(key);
    }
    assert_int_equal(ts_loop_posts(tv->loop) - before, 1);
}

/* A read that took off before a delete was acknowledged must not serve who asks after it. */
static void test_no_joining_across_a_delete(void **state)
{
    struct ts_vault *tv = *state;
    struct ts_loop *other = ts_loop_create();
    struct ts_key_answer early = {0}, gone = {0}, late = {0};
    assert_int_equal(ts_key_create(tv, "k", KW_KTY_OCT, NULL), KW_OK);
    forget(tv, "k");
    unsigned long posts = ts_loop_posts(tv->loop);
    vault_key_get(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), kw_span_str(""),
                  ts_key_take, &early);
    /* until the store has answered the read; this loop has not taken it in */
    for (int i = 0; i < 20000 && ts_loop_posts(tv->loop) == posts; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    vault_key_delete(tv->vault, ts_loop_handle(other), "v", kw_span_str("k"), 90, ts_key_take,
                     &gone);
    assert_true(ts_loop_run_until(other, &gone.done, 20000));
    assert_int_equal(gone.status, KW_OK);
    vault_key_unref(gone.key);
    vault_key_get(tv->vault, ts_loop_handle(tv->loop), "v", kw_span_str("k"), kw_span_str(""),
                  ts_key_take, &late);
    assert_int_equal(ts_key_finish(tv, &late, NULL), KW_E_NOT_FOUND);
    assert_int_equal(ts_key_finish(tv, &early, NULL), KW_OK); /* it began before the delete */
    assert_null(vault_key_peek(tv->vault, "v", kw_span_str("k"), kw_span_str("")));
    assert_int_equal(ts_key_get(tv, "k", NULL, NULL), KW_E_NOT_FOUND);
    ts_loop_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_concurrent_updates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete_recover_purge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampered_record_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_record_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_version_is_another_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misses_share_a_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_joining_across_a_delete, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

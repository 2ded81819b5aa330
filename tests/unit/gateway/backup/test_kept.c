/* The list of scheduled backups: its text, and what may go when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/backup/kept.h"

#define DAY 86400

static void add(struct backup_kept *kept, const char *folder, int64_t at,
                enum backup_kept_state state)
{
    assert_int_equal(backup_kept_add(kept, folder, at), KW_OK);
    backup_kept_mark(kept, folder, state, 10);
}

/* One letter for each entry: w, g, b, and x for those that are going. */
static void states(const struct backup_kept *kept, const char *expected)
{
    char got[64] = "";
    for (size_t i = 0; i < kept->count; i++)
        got[i] = "wgbx"[kept->list[i].state];
    assert_string_equal(got, expected);
}

static struct backup_kept make(const char *word)
{
    struct backup_kept kept = {.list = NULL};
    char folder[32];
    for (size_t i = 0; word[i]; i++) {
        snprintf(folder, sizeof folder, "f%zu", i);
        add(&kept, folder, (int64_t)(i + 1) * DAY,
            (enum backup_kept_state)(strchr("wgbx", word[i]) - "wgbx"));
    }
    return kept;
}

static void expires(const char *word, unsigned keep, unsigned days, const char *expected)
{
    struct backup_kept kept = make(word);
    size_t going = 0;
    for (size_t i = 0; expected[i]; i++)
        going += expected[i] == 'x';
    int64_t now = (int64_t)strlen(word) * DAY + 100;
    assert_int_equal(backup_kept_expire(&kept, now, keep, days), going);
    states(&kept, expected);
    backup_kept_clear(&kept);
}

static void test_expire(void **state)
{
    (void)state;
    expires("", 1, 0, "");
    expires("g", 1, 0, "g");
    expires("ggggg", 2, 0, "xxxgg");
    expires("ggggg", 2, 3, "xxggg"); /* both are kept: the newest two, and those of three days */
    expires("ggggg", 4, 1, "xgggg");
    expires("ggggg", 9, 0, "ggggg");
    /* what is not good goes once a good one follows it, not before */
    expires("wbggw", 1, 0, "xxxgw");
    expires("gbwbw", 1, 0, "gbwbw");
    expires("bwbw", 1, 0, "bwbw");
    expires("gwgb", 1, 0, "xxgb");
    /* it does not count as one of those that are kept */
    expires("gbgbg", 2, 0, "xxgxg");
    /* what was begun to be removed goes on to be, even without a good one */
    expires("xb", 5, 9, "xb");
    expires("xgg", 5, 9, "xgg");
    /* never the newest good one, whatever is asked for */
    expires("ggb", 0, 0, "xgb");
}

static void test_expire_old(void **state)
{
    (void)state;
    struct backup_kept kept = make("ggg");
    assert_int_equal(backup_kept_expire(&kept, 5000 * (int64_t)DAY, 1, 30), 2);
    states(&kept, "xxg");
    assert_string_equal(backup_kept_newest(&kept)->folder, "f2");
    assert_int_equal(backup_kept_good(&kept), 1);
    backup_kept_clear(&kept);
}

static void test_entries(void **state)
{
    (void)state;
    struct backup_kept kept = make("gbg");
    assert_int_equal(backup_kept_add(&kept, "f1", 1), KW_E_INPUT); /* a name twice */
    assert_int_equal(backup_kept_add(&kept, "../x", 1), KW_E_INPUT);
    backup_kept_mark(&kept, "nothing", BACKUP_GOING, 1);
    backup_kept_drop(&kept, "nothing");
    states(&kept, "gbg");
    backup_kept_drop(&kept, "f1");
    backup_kept_drop(&kept, "f2");
    states(&kept, "g");
    assert_string_equal(kept.list[0].folder, "f0");
    backup_kept_drop(&kept, "f0");
    assert_null(backup_kept_newest(&kept));
    backup_kept_clear(&kept);
}

static void test_most(void **state)
{
    (void)state;
    struct backup_kept kept = {.list = NULL}, again;
    char folder[BACKUP_FOLDER_MAX + 1];
    for (unsigned i = 0; i < BACKUP_KEPT_MAX; i++) {
        snprintf(folder, sizeof folder, "%0*u", BACKUP_FOLDER_MAX, i);
        assert_int_equal(backup_kept_add(&kept, folder, INT64_C(1) << 40), KW_OK);
        kept.list[i].bytes = UINT64_C(1) << 40;
    }
    assert_int_equal(backup_kept_add(&kept, "more", 1), KW_E_TOO_LARGE);
    char *text = backup_kept_text(&kept);
    assert_non_null(text);
    assert_true(strlen(text) < BACKUP_KEPT_TEXT);
    assert_int_equal(backup_kept_read(&again, text), KW_OK);
    assert_int_equal(again.count, BACKUP_KEPT_MAX);
    backup_kept_clear(&again);
    backup_kept_clear(&kept);
    free(text);
}

static void test_text(void **state)
{
    (void)state;
    struct backup_kept kept = make("wgbx"), again;
    snprintf(kept.to, sizeof kept.to, "file:///a \"b\"");
    snprintf(kept.domain, sizeof kept.domain, "0123456789abcdef");
    char *text = backup_kept_text(&kept);
    assert_int_equal(backup_kept_read(&again, text), KW_OK);
    states(&again, "wgbx");
    assert_string_equal(again.to, kept.to);
    assert_string_equal(again.domain, kept.domain);
    assert_int_equal(again.list[3].at, 4 * DAY);
    assert_int_equal(again.list[3].bytes, 10);
    backup_kept_clear(&again);
    /* cut anywhere it is refused, and nothing leaks */
    for (size_t len = 0; len < strlen(text); len++) {
        char *cut = strndup(text, len);
        assert_int_equal(backup_kept_read(&again, cut), KW_E_INTEGRITY);
        free(cut);
    }
    free(text);
    backup_kept_clear(&kept);
}

static void test_text_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"to\":\"t\",\"domain\":\"d\"}",
        "{\"to\":\"t\",\"domain\":\"d\",\"list\":{}}",
        "{\"to\":\"t\",\"domain\":5,\"list\":[]}",
        "{\"to\":\"t\",\"domain\":\"0123456789012345678901234567890123456789\",\"list\":[]}",
        "{\"to\":\"t\",\"domain\":\"d\",\"list\":[{}]}",
        "{\"to\":\"t\",\"domain\":\"d\",\"list\":[{\"folder\":\"../x\",\"state\":\"good\"}]}",
        "{\"to\":\"t\",\"domain\":\"d\",\"list\":[{\"folder\":\"x\",\"state\":\"fine\"}]}",
        "{\"to\":\"t\",\"domain\":\"d\",\"list\":[{\"folder\":\"x\",\"state\":\"good\","
        "\"bytes\":-1}]}",
    };
    struct backup_kept kept;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(backup_kept_read(&kept, texts[i]), KW_E_INTEGRITY);
        assert_null(kept.list);
        assert_int_equal(kept.count, 0);
    }
    assert_int_equal(backup_kept_read(&kept, "{\"to\":\"\",\"domain\":\"\",\"list\":[]}"), KW_OK);
    backup_kept_clear(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expire),  cmocka_unit_test(test_expire_old),
        cmocka_unit_test(test_entries), cmocka_unit_test(test_most),
        cmocka_unit_test(test_text),    cmocka_unit_test(test_text_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

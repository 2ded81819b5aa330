/* keyward dr: reports, comparisons of inventories, backups found at a place. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/dr.h"

static void test_report(void **state)
{
    (void)state;
    struct dr_report report = {.list = NULL};
    assert_int_equal(dr_code(&report), 0);
    assert_true(dr_add(&report, DR_OK, "p", "i", "nothing to do", "%d", 1));
    assert_string_equal(report.list[0].next, "");
    assert_false(dr_add(&report, DR_WARN, "p", "i", "look", "%s", "x"));
    assert_string_equal(report.list[1].next, "look");
    assert_int_equal(dr_code(&report), 0); /* warnings are allowed */
    for (int i = 0; i < 100; i++)
        assert_false(
            dr_add(&report, DR_FAIL, "p", "i", "", "%0*d", 2000, i)); /* cut, not overrun */
    assert_int_equal(dr_count(&report, DR_FAIL), 100);
    assert_int_equal(dr_code(&report), 1);
    dr_report_clear(&report);
    report.out_of_memory = true;
    assert_int_equal(dr_code(&report), 1); /* what is missing may have been a fault */
}

static void test_span(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(dr_span(text, 0), "0 s");
    assert_string_equal(dr_span(text, 119), "119 s");
    assert_string_equal(dr_span(text, 120), "2 min");
    assert_string_equal(dr_span(text, 7200), "2 h");
    assert_string_equal(dr_span(text, 172799), "47 h");
    assert_string_equal(dr_span(text, 172800), "2 days");
}

/* --- inventories --- */

static void add(struct dr_inventory *inventory, const char *vault, const char *name, char version,
                const char *record)
{
    struct store_row row = {.kind = STORE_SECRET, .created = 5};
    snprintf(row.name, sizeof row.name, "%s", name);
    memset(row.version, version, STORE_VERSION_LEN);
    dr_inventory_add(inventory, NULL, vault, &row, kw_span_str(record));
    assert_int_equal(inventory->status, KW_OK);
}

static void compare(const struct dr_inventory *a, const struct dr_inventory *b, const char *vault,
                    size_t same, size_t changed, size_t only_a, size_t only_b)
{
    struct dr_difference d;
    dr_compare(&d, a, b, vault, NULL, NULL);
    assert_int_equal(d.same, same);
    assert_int_equal(d.changed, changed);
    assert_int_equal(d.only_first, only_a);
    assert_int_equal(d.only_second, only_b);
}

static void test_compare(void **state)
{
    (void)state;
    struct dr_inventory a = {.status = KW_OK}, b = {.status = KW_OK}, none = {.status = KW_OK};
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", (i * 7) % 300); /* in another order on each side */
        add(&a, "v", name, '1', "x");
        snprintf(name, sizeof name, "N%d", i); /* names are one without case */
        add(&b, "V", name, '1', i == 3 ? "y" : "x");
    }
    add(&a, "v", "only-a", '1', "x");
    add(&b, "v", "n5", '2', "x"); /* one version more */
    add(&b, "w", "n5", '1', "x"); /* another vault */
    dr_inventory_sort(&a);
    dr_inventory_sort(&b);
    dr_inventory_sort(&none);
    compare(&a, &b, NULL, 299, 1, 1, 2);
    compare(&a, &b, "V", 299, 1, 1, 1);
    compare(&a, &b, "none", 0, 0, 0, 0);
    compare(&a, &none, NULL, 0, 0, 301, 0);
    compare(&none, &b, NULL, 0, 0, 0, 302);
    assert_non_null(dr_inventory_find(&b, &a.list[0]));
    assert_null(dr_inventory_find(&none, &a.list[0]));
    /* the same record, but deleted in between */
    b.list[0].deleted_at = 9;
    compare(&a, &b, NULL, 298, 2, 1, 2);
    dr_inventory_clear(&a);
    dr_inventory_clear(&b);
}

/* --- a place --- */

static char top[64], error[BACKUP_ERROR];

static void put(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", top, folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", top, folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static const char abc_digest[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void put_backup(const char *folder, const char *vault, long created)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"vault\":\"%s\",\"domain\":\"0123456789abcdef\",\"created\":%ld,\"archive\":{"
             "\"size\":3,\"sha256\":\"%s\"},\"counts\":{\"keys\":{\"objects\":2,\"versions\":3},"
             "\"secrets\":{\"objects\":1,\"versions\":1}}}",
             vault, created, abc_digest);
    put(folder, "manifest.json", text);
    put(folder, "archive.kwar", "abc");
}

static int setup(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/kw-dr-XXXXXX");
    return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command); /* a folder that this program has made */
}

static void test_newest(void **state)
{
    (void)state;
    struct dr_place place;
    struct dr_backup *list;
    size_t count, unfinished;
    assert_int_equal(dr_place_open(&place, top, NULL, NULL, error), KW_OK);
    assert_int_equal(dr_backups_newest(&list, &count, &unfinished, &place, NULL, error), KW_OK);
    assert_int_equal(count, 0);
    put_backup("keyward-a-b-20260101T000000Z-00000001", "a-b", 100);
    put_backup("keyward-a-b-20260102T000000Z-00000000", "a-b", 200);
    put_backup("mhsm-a-b-2026010300000000", "a-b", 300); /* asked for, and newer */
    put_backup("mhsm-aaa-2026010400000000", "aaa", 400);
    put("keyward-a-20260105T000000Z-00000000", "archive.kwar", "abc"); /* did not come to its end */
    put("mhsm-a-2026010600000000", "manifest.json", "{\"vault\":1}");
    put("other-a-2026010600000000", "manifest.json", "{}");
    assert_int_equal(dr_backups_newest(&list, &count, &unfinished, &place, NULL, error), KW_OK);
    assert_int_equal(count, 2);
    assert_int_equal(unfinished, 2);
    for (size_t i = 0; i < count; i++) {
        bool a = strcmp(list[i].vault, "aaa") == 0;
        assert_string_equal(list[i].folder,
                            a ? "mhsm-aaa-2026010400000000" : "mhsm-a-b-2026010300000000");
        assert_int_equal(list[i].objects, 3);
        assert_int_equal(list[i].versions, 4);
    }
    free(list);
    assert_int_equal(dr_backups_newest(&list, &count, &unfinished, &place, "AAA", error), KW_OK);
    assert_int_equal(count, 1);
    /* the digest, without any domain */
    assert_int_equal(dr_backup_check(&list[0], &place, NULL, NULL, error), KW_OK);
    put("mhsm-aaa-2026010400000000", "archive.kwar", "abd");
    assert_int_equal(dr_backup_check(&list[0], &place, NULL, NULL, error), KW_E_INTEGRITY);
    put("mhsm-aaa-2026010400000000", "archive.kwar", "abcd");
    assert_int_equal(dr_backup_check(&list[0], &place, NULL, NULL, error), KW_E_INTEGRITY);
    free(list);
    dr_place_close(&place);
}

static void test_manifests_refused(void **state)
{
    (void)state;
    struct dr_place place;
    struct dr_backup backup;
    assert_int_equal(dr_place_open(&place, top, NULL, NULL, error), KW_OK);
    put_backup("mhsm-good-1", "vvv", 1);
    assert_int_equal(dr_backup_open(&backup, &place, "mhsm-good-1", error), KW_OK);
    assert_int_equal(dr_backup_open(&backup, &place, "mhsm-none-1", error), KW_E_NOT_FOUND);
    assert_int_equal(dr_backup_open(&backup, &place, "../x", error), KW_E_INPUT);
    static const char *const bad[] = {
        "",
        "{",
        "{\"vault\":\"v\\u001bv\",\"domain\":\"d\",\"created\":1,\"archive\":{\"size\":1,"
        "\"sha256\":\"a\"}}",
        "{\"vault\":\"vvv\",\"domain\":\"\\u001b\",\"created\":1,\"archive\":{\"size\":1,"
        "\"sha256\":\"a\"}}",
        "[]",
        "{}",
        "{\"vault\":\"vvv\",\"domain\":\"d\",\"created\":1}",
        "{\"vault\":\"vvv\",\"domain\":\"d\",\"created\":\"1\",\"archive\":{\"size\":1,\"sha256\":"
        "\"a\"}}",
        "{\"vault\":\"vvv\",\"domain\":\"d\",\"created\":1,\"archive\":{\"size\":0,\"sha256\":"
        "\"a\"}"
        "}",
        "{\"vault\":\"vvv\",\"domain\":\"01234567890123456789\",\"created\":1,\"archive\":{"
        "\"size\":"
        "1,"
        "\"sha256\":\"a\"}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("mhsm-bad-1", "manifest.json", bad[i]);
        assert_int_equal(dr_backup_open(&backup, &place, "mhsm-bad-1", error), KW_E_INTEGRITY);
    }
    dr_place_close(&place);
    assert_int_equal(dr_place_open(&place, "/nowhere/at/all", NULL, NULL, error), KW_E_NOT_FOUND);
    dr_place_close(&place);
    assert_int_equal(dr_place_open(&place, "https://h/c", "/nowhere/sas", NULL, error), KW_E_IO);
    dr_place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_span),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_newest),
        cmocka_unit_test(test_manifests_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

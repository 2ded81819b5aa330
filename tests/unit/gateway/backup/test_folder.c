/* A folder as the place of backups: what is put comes back, what is removed is gone and nothing
 * else, what others put there stays. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/backup/place.h"
#include "gateway/backup/token.h"
#include "gateway/config/backup.h"

static char top[64], error[BACKUP_ERROR];
static char *tops[] = {top};
static const struct backup_rules rules = {.folders = tops, .folder_count = 1};
static struct backup_place *place;

static const char *path(const char *name)
{
    static char room[PATH_MAX];
    snprintf(room, sizeof room, "%s/%s", top, name);
    return room;
}

static bool there(const char *name)
{
    struct stat st;
    return lstat(path(name), &st) == 0;
}

static int setup(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/kw-place-XXXXXX");
    if (!mkdtemp(top))
        return -1;
    char *address = gw_folder_address(top);
    kw_status status = backup_place_open(&place, &rules, address, "", error);
    free(address);
    return status == KW_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    backup_place_close(place);
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command); /* a folder that this program has made */
}

static int file_of(const char *text)
{
    int fd = memfd_create("x", MFD_CLOEXEC);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static void put(const char *folder, const char *name, const char *text)
{
    int fd = file_of(text);
    assert_int_equal(backup_put(place, folder, name, fd, strlen(text), error), KW_OK);
    close(fd);
}

static const char *const names[] = {"manifest.json", "archive.kwar"};

static void test_remove(void **state)
{
    (void)state;
    put("a", "archive.kwar", "1");
    put("a", "manifest.json", "2");
    put("b", "archive.kwar", "3");
    put("b", "notes", "somebody's");
    assert_int_equal(backup_remove(place, "a", names, 2, error), KW_OK);
    assert_false(there("a"));
    assert_int_equal(backup_remove(place, "a", names, 2, error), KW_OK); /* again: gone is gone */
    assert_int_equal(backup_remove(place, "b", names, 2, error), KW_OK);
    assert_false(there("b/archive.kwar"));
    assert_true(there("b/notes"));
    /* what a crash left behind */
    put("c", "archive.kwar.part", "half");
    assert_int_equal(backup_remove(place, "c", names, 2, error), KW_OK);
    assert_false(there("c"));
    assert_int_equal(backup_remove(place, "..", names, 2, error), KW_E_INPUT);
    assert_int_equal(backup_remove(place, "a/b", names, 2, error), KW_E_INPUT);
}

static void test_remove_no_link(void **state)
{
    (void)state;
    put("real", "archive.kwar", "1");
    assert_int_equal(symlink("real", path("link")), 0);
    assert_int_equal(backup_remove(place, "link", names, 2, error), KW_E_IO);
    assert_true(there("real/archive.kwar"));
}

struct found {
    char text[256];
};

static void found(void *ctx, const char *folder)
{
    struct found *all = ctx;
    size_t used = strlen(all->text);
    snprintf(all->text + used, sizeof all->text - used, "%s ", folder);
}

static void test_list(void **state)
{
    (void)state;
    struct found all = {.text = ""};
    put("keyward-v-1", "manifest.json", "1");
    put("other-v-1", "manifest.json", "1");
    assert_int_equal(backup_list(place, "keyward-", found, &all, error), KW_OK);
    assert_string_equal(all.text, "keyward-v-1 ");
    assert_int_equal(backup_list(place, "keyward-none", found, &all, error), KW_OK);
    assert_string_equal(all.text, "keyward-v-1 ");
    assert_int_equal(backup_list(place, "../", found, &all, error), KW_E_INPUT);
}

static kw_status stop(void *ctx)
{
    (void)ctx;
    return KW_E_UNAVAILABLE;
}

static void test_stopped(void **state)
{
    (void)state;
    int fd = file_of("text");
    backup_place_watch(place, stop, NULL);
    assert_int_equal(backup_put(place, "s", "archive.kwar", fd, 4, error), KW_E_UNAVAILABLE);
    backup_place_watch(place, NULL, NULL);
    assert_false(there("s/archive.kwar"));
    assert_false(there("s/archive.kwar.part"));
    close(fd);
}

static void test_short_source(void **state)
{
    (void)state;
    int fd = file_of("text");
    assert_int_equal(backup_put(place, "t", "archive.kwar", fd, 5, error), KW_E_IO);
    assert_false(there("t/archive.kwar"));
    close(fd);
}

static void test_address(void **state)
{
    (void)state;
    static const struct {
        const char *path, *address;
    } rows[] = {
        {"/a/b", "file:///a/b"}, {"/a b%", "file:///a%20b%25"}, {"/\xc3\xa4", "file:///%c3%a4"}};
    char back[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *address = gw_folder_address(rows[i].path);
        assert_string_equal(address, rows[i].address);
        assert_true(backup_path_of(back, sizeof back, address));
        assert_string_equal(back, rows[i].path);
        free(address);
    }
    static const char *const bad[] = {"file://host/a", "file:///a%",  "file:///a%0",
                                      "file:///a%00",  "file:///a?b", "file:///a#b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(backup_path_of(back, sizeof back, bad[i]));
    assert_false(backup_path_of(back, 4, "file:///abcd"));
}

static void write_text(const char *name, const char *text)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_token(void **state)
{
    (void)state;
    char token[BACKUP_TOKEN_MAX + 1], long_text[BACKUP_TOKEN_MAX + 10];
    write_text("token", "?sv=1&sig=a%3D\r\n");
    assert_int_equal(backup_token_read(token, path("token"), error), KW_OK);
    assert_string_equal(token, "sv=1&sig=a%3D");
    static const char *const bad[] = {"", "\n", "?", "a\nb\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text("token", bad[i]);
        assert_int_equal(backup_token_read(token, path("token"), error), KW_E_INPUT);
    }
    memset(long_text, 'a', sizeof long_text);
    long_text[BACKUP_TOKEN_MAX] = '\0';
    write_text("token", long_text);
    assert_int_equal(backup_token_read(token, path("token"), error), KW_OK);
    long_text[BACKUP_TOKEN_MAX] = 'a';
    long_text[sizeof long_text - 1] = '\0';
    write_text("token", long_text);
    assert_int_equal(backup_token_read(token, path("token"), error), KW_E_INPUT);
    assert_int_equal(backup_token_read(token, path("none"), error), KW_E_IO);
    assert_null(strstr(error, "aaaa"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remove),  cmocka_unit_test(test_remove_no_link),
        cmocka_unit_test(test_list),    cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_address), cmocka_unit_test(test_short_source),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

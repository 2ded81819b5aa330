#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/pkcs11/landlock.h"

static void folder_is(const char *text, const char *expected)
{
    char folder[32] = "";
    bool found = pool_landlock_token_folder(folder, sizeof(folder), kw_span_str(text));
    assert_int_equal(found, expected != NULL);
    if (expected != NULL) {
        assert_string_equal(folder, expected);
    }
}

static void token_folder_is_read_as_softhsm_reads_it(void **state)
{
    (void)state;
    folder_is("directories.tokendir = /var/lib/softhsm/tokens/\n", "/var/lib/softhsm/tokens/");
    folder_is("# a\n\nlog.level = INFO\n\tdirectories.tokendir=/a b\t# c\r\n", "/a b");
    folder_is("directories.tokendir = /no/newline", "/no/newline");
    folder_is("", NULL);
    folder_is("=\n=x\ndirectories.tokendir\n", NULL);
    folder_is("directories.tokendir = \n", NULL);
    folder_is("#directories.tokendir = /a\n", NULL);
    folder_is("directories.tokendirs = /a\n", NULL);
    folder_is("directories.tokendir = /0123456789012345678901234567890\n", NULL); /* 32 bytes */
    folder_is("directories.tokendir = /012345678901234567890123456789\n",
              "/012345678901234567890123456789");
}

/* What the child found, by its exit code; 0: all is as it should be. */
static int inside(const char *folder, const char *open_path, const char *closed_path)
{
    char wrong[256];
    char paths[256];
    int len = snprintf(paths, sizeof(paths), "%s%c", folder, '\0');
    struct pool_landlock view = {"/usr/lib/none.so", kw_span_of(paths, (size_t)len)};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        pool_landlock_enter(&view, wrong, sizeof(wrong)) != KW_OK) {
        return 1;
    }
    int fd = open(open_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return 2;
    }
    if (open(closed_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EACCES) {
        return 3;
    }
    if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES) {
        return 4;
    }
    /* each thing in it by itself, because /etc/keyward is none of them */
    if (open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES) {
        return 7;
    }
    if (rename(open_path, closed_path) == 0 || (errno != EACCES && errno != EXDEV)) {
        return 5;
    }
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? 6 : 0;
}

static void nothing_but_what_is_named_is_there(void **state)
{
    (void)state;
    if (pool_landlock_abi() == 0) {
        skip();
    }
    char folder[] = "/tmp/kw-landlock-XXXXXX";
    char ours[64], within[64], beside[64];
    assert_non_null(mkdtemp(folder));
    snprintf(ours, sizeof(ours), "%s/ours", folder);
    snprintf(within, sizeof(within), "%s/ours/file", folder);
    snprintf(beside, sizeof(beside), "%s/file", folder);
    assert_int_equal(mkdir(ours, 0700), 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(inside(ours, within, beside));
    }
    int how = -1;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(unlink(within), 0);
    assert_int_equal(rmdir(ours), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static void what_is_missing_is_named_and_restricts_nothing(void **state)
{
    (void)state;
    if (pool_landlock_abi() == 0) {
        skip();
    }
    char wrong[64];
    struct pool_landlock view = {"none.so", kw_span_of("/etc\0/does/not/exist", 21)};
    assert_int_equal(pool_landlock_enter(&view, wrong, sizeof(wrong)), KW_E_NOT_FOUND);
    assert_string_equal(wrong, "/does/not/exist");
    view.paths.len--; /* the last one has no end */
    assert_int_equal(pool_landlock_enter(&view, wrong, sizeof(wrong)), KW_E_INPUT);
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_folder_is_read_as_softhsm_reads_it),
        cmocka_unit_test(nothing_but_what_is_named_is_there),
        cmocka_unit_test(what_is_missing_is_named_and_restricts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/base/secret.h"
#include "pool/pkcs11/login.h"

#define COUNT_LOW     0x10000u
#define FINAL_TRY     0x20000u
#define LOCKED        0x40000u
#define TO_BE_CHANGED 0x80000u
#define ERROR_STATE   0x1000000u

static char dir[64];

static struct pool_login login_as(const char *member, const char *serial, const char *pin)
{
    return (struct pool_login){
        .state_dir = dir, .member = member, .serial = kw_span_str(serial), .pin = kw_span_str(pin)};
}

static kw_status begin(const struct pool_login *login)
{
    const char *reason = NULL;
    kw_status status = pool_login_begin(login, &reason);
    assert_true(status == KW_OK || (reason != NULL && reason[0] != '\0'));
    return status;
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/keyward-login-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    DIR *list = opendir(dir);
    const struct dirent *entry;
    while ((entry = readdir(list)) != NULL) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    closedir(list);
    return rmdir(dir);
}

static enum pool_login_standing look(const struct pool_login *login)
{
    enum pool_login_standing standing = POOL_LOGIN_UNRESOLVED;
    assert_int_equal(pool_login_look(login, &standing), KW_OK);
    return standing;
}

static void looking_tells_and_changes_nothing(void **state)
{
    (void)state;
    char path[128];
    struct pool_login login = login_as("a", "s1", "1234"), other_pin = login_as("a", "s1", "9"),
                      other_token = login_as("a", "s2", "1234"),
                      neighbour = login_as("b", "s3", "1234");
    snprintf(path, sizeof(path), "%s/login.salt", dir);
    assert_int_equal(look(&login), POOL_LOGIN_UNTRIED);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(begin(&login), KW_OK);
    assert_int_equal(look(&login), POOL_LOGIN_UNRESOLVED);
    assert_int_equal(pool_login_settle(&login, POOL_LOGIN_GOOD), KW_OK);
    assert_int_equal(look(&login), POOL_LOGIN_KNOWN_GOOD);
    assert_int_equal(look(&other_pin), POOL_LOGIN_UNTRIED);
    assert_int_equal(look(&other_token), POOL_LOGIN_UNTRIED);
    assert_int_equal(look(&neighbour), POOL_LOGIN_UNTRIED);
    assert_int_equal(begin(&login), KW_OK);
    assert_int_equal(pool_login_settle(&login, POOL_LOGIN_REFUSED), KW_OK);
    assert_int_equal(look(&login), POOL_LOGIN_WAS_REFUSED);
    assert_int_equal(look(&neighbour), POOL_LOGIN_REFUSED_ELSEWHERE);
    assert_int_equal(begin(&login), KW_E_FORBIDDEN);
}

static void a_refused_pin_is_not_tried_again(void **state)
{
    (void)state;
    struct pool_login wrong = login_as("a", "s1", "0000"), right = login_as("a", "s1", "1111");
    assert_int_equal(begin(&wrong), KW_OK);
    assert_int_equal(pool_login_settle(&wrong, POOL_LOGIN_REFUSED), KW_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(begin(&wrong), KW_E_FORBIDDEN);
    }
    assert_int_equal(begin(&right), KW_OK);
    assert_int_equal(pool_login_settle(&right, POOL_LOGIN_GOOD), KW_OK);
    assert_int_equal(begin(&right), KW_OK);
}

static void an_operator_allows_one_more(void **state)
{
    (void)state;
    struct pool_login wrong = login_as("a", "s1", "0000");
    assert_int_equal(begin(&wrong), KW_OK);
    assert_int_equal(pool_login_settle(&wrong, POOL_LOGIN_REFUSED), KW_OK);
    wrong.operator_allows = true;
    assert_int_equal(begin(&wrong), KW_OK);
    wrong.flags = LOCKED; /* the token has the last word */
    assert_int_equal(begin(&wrong), KW_E_FORBIDDEN);
}

/* the process died between the attempt and its answer */
static void an_attempt_without_an_answer_counts(void **state)
{
    (void)state;
    struct pool_login first = login_as("a", "s1", "0000");
    assert_int_equal(begin(&first), KW_OK);
    assert_int_equal(begin(&first), KW_E_FORBIDDEN);
}

static void a_known_good_pin_survives_crashes_in_the_login(void **state)
{
    (void)state;
    struct pool_login good = login_as("a", "s1", "1111");
    assert_int_equal(begin(&good), KW_OK);
    assert_int_equal(pool_login_settle(&good, POOL_LOGIN_GOOD), KW_OK);
    int allowed = 0;
    while (allowed < 50 && begin(&good) == KW_OK) {
        allowed++; /* never settled */
    }
    assert_int_equal(allowed, 6); /* the first, and five that found it unresolved */
}

static void a_counted_failure_stops_crash_loops_at_once(void **state)
{
    (void)state;
    struct pool_login good = login_as("a", "s1", "1111");
    assert_int_equal(begin(&good), KW_OK);
    assert_int_equal(pool_login_settle(&good, POOL_LOGIN_GOOD), KW_OK);
    assert_int_equal(begin(&good), KW_OK); /* crashed, and the token counted it */
    good.flags = COUNT_LOW;
    assert_int_equal(begin(&good), KW_E_FORBIDDEN);
}

static void flags_forbid_what_the_rules_say(void **state)
{
    (void)state;
    struct pool_login login = login_as("a", "s1", "1111");
    static const uint64_t forbidden[] = {FINAL_TRY, LOCKED, TO_BE_CHANGED, ERROR_STATE,
                                         FINAL_TRY | COUNT_LOW};
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        login.flags = forbidden[i];
        assert_int_equal(begin(&login), KW_E_FORBIDDEN);
    }
    login.flags = COUNT_LOW; /* someone else's failure: this PIN was not the one */
    assert_int_equal(begin(&login), KW_OK);
}

/* the same wrong PIN pushed to all members could spend the tries of each */
static void a_pin_refused_by_one_member_is_kept_from_others(void **state)
{
    (void)state;
    struct pool_login a = login_as("a", "s1", "1111"), b = login_as("b", "s2", "1111"),
                      c = login_as("c", "s3", "1111"), other = login_as("b", "s2", "2222");
    assert_int_equal(begin(&c), KW_OK);
    assert_int_equal(pool_login_settle(&c, POOL_LOGIN_GOOD), KW_OK);
    assert_int_equal(begin(&a), KW_OK);
    assert_int_equal(pool_login_settle(&a, POOL_LOGIN_REFUSED), KW_OK);
    assert_int_equal(begin(&b), KW_E_FORBIDDEN);
    assert_int_equal(begin(&c), KW_OK); /* there it has worked */
    assert_int_equal(begin(&other), KW_OK);
}

static void an_unspent_attempt_may_be_repeated(void **state)
{
    (void)state;
    struct pool_login login = login_as("a", "s1", "1111");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(begin(&login), KW_OK);
        assert_int_equal(pool_login_settle(&login, POOL_LOGIN_UNSPENT), KW_OK);
    }
}

static void a_damaged_record_stops_logins(void **state)
{
    (void)state;
    struct pool_login login = login_as("a/../b", "s1", "1111");
    char path[128], text[1024] = "";
    assert_int_equal(begin(&login), KW_OK);
    snprintf(path, sizeof(path), "%s/login-a_.._b.json", dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_null(strstr(text, "1111")); /* no PIN in the clear */
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    file = fopen(path, "w");
    fputs("{\"state\":\"go", file);
    fclose(file);
    assert_int_equal(begin(&login), KW_E_IO);
}

static void without_a_place_for_the_record_nothing_is_tried(void **state)
{
    (void)state;
    struct pool_login login = login_as("a", "s1", "1111");
    login.state_dir = "/nonexistent";
    assert_int_equal(begin(&login), KW_E_IO);
    login.state_dir = NULL;
    assert_int_equal(begin(&login), KW_E_IO);
}

static void pin_files_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        mode_t mode;
        kw_status status;
    } cases[] = {
        {"1234\n", 0600, KW_OK},          {"1234", 0400, KW_OK},
        {"1234\r\nrest\n", 0600, KW_OK},  {"1234\n", 0640, KW_E_FORBIDDEN},
        {"1234\n", 0604, KW_E_FORBIDDEN}, {"1234\n", 0700, KW_E_FORBIDDEN},
        {"", 0600, KW_E_INPUT},           {"\n1234", 0600, KW_E_INPUT},
    };
    char path[128];
    snprintf(path, sizeof(path), "%s/pin", dir);
    const char *reason;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kw_secret pin = {0};
        unlink(path);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(cases[i].text, file);
        fclose(file);
        assert_int_equal(chmod(path, cases[i].mode), 0);
        assert_int_equal(pool_login_read_pin(path, &pin, &reason), cases[i].status);
        if (cases[i].status == KW_OK) {
            assert_int_equal(pin.len, 4);
            assert_memory_equal(pin.data, "1234", 4);
        }
        kw_secret_clear(&pin);
    }
    for (int len = 256; len <= 257; len++) {
        struct kw_secret pin = {0};
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "%0*d", len, 7);
        fclose(file);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(pool_login_read_pin(path, &pin, &reason), len == 256 ? KW_OK : KW_E_INPUT);
        kw_secret_clear(&pin);
    }
    struct kw_secret none = {0};
    assert_int_equal(pool_login_read_pin(dir, &none, &reason), KW_E_FORBIDDEN);
    assert_int_equal(pool_login_read_pin("/nonexistent", &none, &reason), KW_E_IO);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(looking_tells_and_changes_nothing),
        IN_DIR(a_refused_pin_is_not_tried_again),
        IN_DIR(an_operator_allows_one_more),
        IN_DIR(an_attempt_without_an_answer_counts),
        IN_DIR(a_known_good_pin_survives_crashes_in_the_login),
        IN_DIR(a_counted_failure_stops_crash_loops_at_once),
        IN_DIR(flags_forbid_what_the_rules_say),
        IN_DIR(a_pin_refused_by_one_member_is_kept_from_others),
        IN_DIR(an_unspent_attempt_may_be_repeated),
        IN_DIR(a_damaged_record_stops_logins),
        IN_DIR(without_a_place_for_the_record_nothing_is_tried),
        IN_DIR(pin_files_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

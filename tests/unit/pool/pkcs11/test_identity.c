/* Who a member is: the record comes back as it was written, a damaged one is not taken for none,
 * and check values tell domains apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool/pkcs11/identity.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/kw-identity-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static const char *path_of(const char *member)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/member-%s.json", dir, member);
    return path;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path_of("a"));
    return rmdir(dir);
}

static void it_comes_back(void **state)
{
    (void)state;
    struct pool_identity identity = {.domain = "00112233445566778899aabbccddeeff"}, back;
    static const char *const serials[] = {"", "1", "0123456789abcdef", "a b\"c\\d\x01"};
    static const char *const kept[] = {"", "1", "0123456789abcdef", "a?b?c?d?"};
    struct stat info;
    assert_int_equal(pool_identity_load(&back, dir, "a"), KW_E_NOT_FOUND);
    for (size_t i = 0; i < 4; i++) {
        pool_identity_serial(identity.serial, serials[i]);
        assert_string_equal(identity.serial, kept[i]);
        assert_int_equal(pool_identity_store(dir, "a", &identity), KW_OK);
        assert_int_equal(pool_identity_load(&back, dir, "a"), KW_OK);
        assert_string_equal(back.serial, kept[i]);
        assert_string_equal(back.domain, identity.domain);
    }
    assert_int_equal(stat(path_of("a"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(pool_identity_load(&back, dir, "b"), KW_E_NOT_FOUND);
    assert_int_equal(pool_identity_remove(dir, "a"), KW_OK);
    assert_int_equal(pool_identity_remove(dir, "a"), KW_OK);
    assert_int_equal(pool_identity_load(&back, dir, "a"), KW_E_NOT_FOUND);
}

/* What is known of one member's token and PIN is not what is known of another's. */
static void names_that_look_alike_are_two(void **state)
{
    (void)state;
    static const char *const names[] = {"hsm.1", "hsm_1", "hsm-1"};
    struct pool_identity identity = {.domain = "00112233445566778899aabbccddeeff"}, back;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pool_identity_load(&back, dir, names[i]), KW_E_NOT_FOUND);
        assert_int_equal(pool_identity_store(dir, names[i], &identity), KW_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pool_identity_remove(dir, names[i]), KW_OK);
    }
}

static void a_damaged_record_is_not_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "{\"serial\":\"#1\",\"domain\":\"\"}",
        "{\"serial\":\"#1\",\"domain\":\"0011\"}",
        "{\"serial\":\"1\",\"domain\":\"00112233445566778899aabbccddeeff\"}",
    };
    struct pool_identity back;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FILE *file = fopen(path_of("a"), "w");
        assert_non_null(file);
        assert_true(fputs(texts[i], file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(pool_identity_load(&back, dir, "a"), KW_E_IO);
    }
}

static void check_values_tell_domains_apart(void **state)
{
    (void)state;
    struct kc_domain *one = NULL, *two = NULL;
    char a[2 * POOL_DOMAIN_CHECK_LEN + 1], b[sizeof a], again[sizeof a];
    assert_int_equal(kc_domain_create(&one), KW_OK);
    assert_int_equal(kc_domain_create(&two), KW_OK);
    assert_int_equal(pool_domain_check(a, one), KW_OK);
    assert_int_equal(pool_domain_check(b, two), KW_OK);
    assert_int_equal(pool_domain_check(again, one), KW_OK);
    assert_string_equal(a, again);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 2 * POOL_DOMAIN_CHECK_LEN);
    kc_domain_destroy(one);
    kc_domain_destroy(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_look_alike_are_two, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_record_is_not_none, setup, teardown),
        cmocka_unit_test(check_values_tell_domains_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

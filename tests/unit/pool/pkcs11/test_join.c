/* Orders to join: one for each member with a token, valid for the one domain, gone when done. */
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
#include "pool/pkcs11/join.h"
#include "pool/pool.h"

static char dir[64];
static struct kc_domain *domain, *other;
static char ours[2 * POOL_DOMAIN_CHECK_LEN + 1], theirs[2 * POOL_DOMAIN_CHECK_LEN + 1];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/kw-join-XXXXXX");
    return mkdtemp(dir) == NULL || kc_domain_create(&domain) != KW_OK ||
           kc_domain_create(&other) != KW_OK || pool_domain_check(ours, domain) != KW_OK ||
           pool_domain_check(theirs, other) != KW_OK;
}

static int teardown(void **state)
{
    (void)state;
    kc_domain_destroy(domain);
    kc_domain_destroy(other);
    return rmdir(dir);
}

static void it_names_tokens_and_one_domain(void **state)
{
    (void)state;
    struct pool_member_config members[3] = {{.name = "a", .kind = POOL_MEMBER_PKCS11},
                                            {.name = "b", .kind = POOL_MEMBER_REMOTE},
                                            {.name = "c", .kind = POOL_MEMBER_PKCS11}};
    assert_false(pool_join_ordered(dir, "a", ours));
    assert_int_equal(pool_join_order(dir, members, 3, domain), KW_OK);
    assert_true(pool_join_ordered(dir, "a", ours));
    assert_false(pool_join_ordered(dir, "b", ours));
    assert_true(pool_join_ordered(dir, "c", ours));
    assert_false(pool_join_ordered(dir, "a", theirs));
    assert_int_equal(pool_join_order(dir, members, 1, other), KW_OK); /* the last word counts */
    assert_false(pool_join_ordered(dir, "a", ours));
    assert_true(pool_join_ordered(dir, "a", theirs));
    assert_int_equal(pool_join_end(dir, "a"), KW_OK);
    assert_int_equal(pool_join_end(dir, "a"), KW_OK);
    assert_false(pool_join_ordered(dir, "a", theirs));
    assert_int_equal(pool_join_end(dir, "c"), KW_OK);
}

static void a_damaged_one_orders_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{}", "{\"domain\":\"\"}", "{\"domain\":\"00\"}"};
    char path[128];
    snprintf(path, sizeof path, "%s/join-a.json", dir);
    for (size_t i = 0; i < 4; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
        assert_false(pool_join_ordered(dir, "a", ours));
        assert_false(pool_join_ordered(dir, "a", ""));
    }
    assert_int_equal(pool_join_end(dir, "a"), KW_OK);
}

static void it_cannot_be_written(void **state)
{
    (void)state;
    struct pool_member_config member = {.name = "a", .kind = POOL_MEMBER_PKCS11};
    assert_int_not_equal(pool_join_order("/nonexistent", &member, 1, domain), KW_OK);
    assert_int_equal(pool_join_order("/nonexistent", &member, 0, domain), KW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_names_tokens_and_one_domain),
        cmocka_unit_test(a_damaged_one_orders_nothing),
        cmocka_unit_test(it_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

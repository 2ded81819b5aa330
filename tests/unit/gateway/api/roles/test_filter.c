/* $filter of role lists: what is known, how it is spelled, and that everything else is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/api/roles/filter.h"

#define GUID "a290e904-7015-4bba-90c8-60543313cdb4"

static bool reads(const char *text, bool assignments, struct gw_role_filter *out)
{
    struct gw_arena *arena = gw_arena_create();
    struct gw_fault fault = {0};
    struct gw_role_filter unused;
    /* in memory of its own, so that a read behind it is seen */
    size_t len = strlen(text);
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    bool good =
        gw_role_filter_read(out ? out : &unused, kw_span_of(copy, len), assignments, arena, &fault);
    if (!good)
        assert_int_equal(fault.http, 400);
    free(copy);
    gw_arena_destroy(arena);
    return good;
}

static void test_assignments(void **state)
{
    struct gw_role_filter filter;
    (void)state;
    assert_true(reads("", true, &filter));
    assert_false(filter.at_scope || filter.has_principal);
    assert_true(reads(" ATSCOPE ( ) ", true, &filter));
    assert_true(filter.at_scope);
    assert_true(reads("principalId eq '" GUID "'", true, &filter));
    assert_true(filter.has_principal && filter.principal[0] == 0xa2);
    assert_true(reads("atScope()+and+principalid+EQ+'" GUID "'", true, &filter));
    assert_true(filter.has_principal && filter.at_scope);
    assert_true(reads("assignedTo('" GUID "') and atScopeAndBelow()", true, &filter));
    assert_true(filter.has_principal && !filter.at_scope);
}

static void test_definitions(void **state)
{
    struct gw_arena *arena = gw_arena_create();
    struct gw_role_filter filter;
    struct gw_fault fault;
    (void)state;
    assert_true(gw_role_filter_read(&filter, kw_span_str("roleName eq 'it''s' and type eq 'x'"),
                                    false, arena, &fault));
    assert_true(kw_span_equal(filter.name, kw_span_str("it's")));
    assert_true(kw_span_equal(filter.type, kw_span_str("x")));
    gw_arena_destroy(arena);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"x",
                                      "atScope",
                                      "atScope(",
                                      "atScope(x)",
                                      "atScope()atScope()",
                                      "atScope() and",
                                      "and atScope()",
                                      "atScope() or atScope()",
                                      "principalId eq",
                                      "principalId eq x",
                                      "principalId eq '",
                                      "principalId eq 'x'",
                                      "principalId eq '" GUID,
                                      "principalId ne '" GUID "'",
                                      "principalIdeq '" GUID "'",
                                      "assignedTo('" GUID "'",
                                      "assignedTo(" GUID ")",
                                      "type eq 'x'",
                                      "()",
                                      "'"};
    char text[GW_FILTER_MAX + 64];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(reads(bad[i], true, NULL));
    assert_false(reads("principalId eq '" GUID "'", false, NULL));
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_false(reads(text, false, NULL));
    memcpy(text, "roleName eq '", 13);
    text[GW_FILTER_MAX - 1] = '\'';
    text[GW_FILTER_MAX] = '\0';
    assert_true(reads(text, false, NULL));
    text[GW_FILTER_MAX] = ' ';
    assert_false(reads(text, false, NULL));
}

/* Every prefix and every changed byte of a filter is read or refused, never read past its end. */
static void test_every_byte(void **state)
{
    static const char text[] = "atScope() and principalId eq '" GUID "' and assignedTo('" GUID "')";
    char copy[sizeof text];
    (void)state;
    for (size_t len = 0; len < sizeof text; len++) {
        memcpy(copy, text, sizeof text);
        copy[len] = '\0';
        reads(copy, true, NULL);
        for (int c = 1; c < 256; c += 3) {
            memcpy(copy, text, sizeof text);
            copy[len] = (char)(len + 1 == sizeof text ? 0 : c);
            reads(copy, true, NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assignments), cmocka_unit_test(test_definitions),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_every_byte)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

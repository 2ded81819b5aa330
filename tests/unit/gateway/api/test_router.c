#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/api/router.h"
#include "gateway/base/arena.h"

static struct gw_arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = gw_arena_create();
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    gw_arena_destroy(arena);
    return 0;
}

static enum gw_match match(enum gw_face face, enum gw_method method, const char *target,
                           struct gw_match_result *result)
{
    static struct gw_path path; /* the result borrows from it */
    struct kw_span query;
    const char *why = NULL;
    if (!gw_target_parse(kw_span_str(target), arena, &path, &query, &why))
        fail_msg("%s: %s", target, why);
    return gw_router_match(face, method, &path, result);
}

static void found(void **state)
{
    (void)state;
    static const struct {
        enum gw_method method;
        const char *target, *label, *params; /* joined by '|' */
    } cases[] = {
        {GW_POST, "/keys/k1/0123/sign", "keys_sign", "k1|0123"},
        {GW_POST, "/keys/k1//sign", "keys_sign", "k1|"},
        {GW_POST, "/keys/k1/sign", "keys_sign", "k1|"},
        {GW_POST, "/keys/k1/sign/", "keys_sign", "k1|"},
        {GW_POST, "//keys///k1////sign//", "keys_sign", "k1|"},
        {GW_POST, "/KEYS/k1/Sign", "keys_sign", "k1|"},
        {GW_POST, "/keys/sign/sign", "keys_sign", "sign|"},
        {GW_POST, "/keys/k1/v/wrapkey", "keys_wrap", "k1|v"},
        {GW_POST, "/keys/k1/v/wrapKey", "keys_wrap", "k1|v"},
        {GW_POST, "/keys/k1//unwrapKey", "keys_unwrap", "k1|"},
        {GW_POST, "/keys/k1/verify?api-version=7.4", "keys_verify", "k1|"},
        {GW_POST, "/keys/k1/encrypt", "keys_encrypt", "k1|"},
        {GW_POST, "/keys/k1/decrypt", "keys_decrypt", "k1|"},
        {GW_POST, "/keys/k1/create", "keys_create", "k1"},
        {GW_PUT, "/keys/k1", "keys_import", "k1"},
        {GW_PUT, "/keys/k1/", "keys_import", "k1"},
        {GW_GET, "/keys", "keys_list", ""},
        {GW_GET, "/keys/", "keys_list", ""},
        {GW_GET, "/keys?maxresults=1", "keys_list", ""},
        {GW_GET, "/keys/k1", "keys_get", "k1|"},
        {GW_GET, "/keys/k1/", "keys_get", "k1|"},
        {GW_GET, "/keys/k1/abc", "keys_get", "k1|abc"},
        {GW_HEAD, "/keys/k1/abc", "keys_get", "k1|abc"},
        {GW_GET, "/keys/k%31/a%62c", "keys_get", "k1|abc"},
        {GW_GET, "/keys/k1/versions", "keys_versions", "k1"},
        {GW_GET, "/keys/versions", "keys_get", "versions|"},
        {GW_PATCH, "/keys/k1", "keys_update", "k1|"},
        {GW_PATCH, "/keys/k1/v", "keys_update", "k1|v"},
        {GW_DELETE, "/keys/k1", "keys_delete", "k1"},
        {GW_GET, "/deletedkeys", "deletedkeys_list", ""},
        {GW_GET, "/deletedkeys/k1", "deletedkeys_get", "k1"},
        {GW_POST, "/deletedkeys/k1/recover", "keys_recover", "k1"},
        {GW_DELETE, "/deletedkeys/k1", "keys_purge", "k1"},
        {GW_POST, "/rng", "rng", ""},
        {GW_POST, "/batch", "batch", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gw_match_result result;
        char params[200] = "";
        if (match(GW_FACE_API, cases[i].method, cases[i].target, &result) != GW_MATCH_FOUND)
            fail_msg("%s is not found", cases[i].target);
        assert_string_equal(result.route->label, cases[i].label);
        for (size_t p = 0; p < result.param_count; p++)
            snprintf(params + strlen(params), sizeof params - strlen(params), "%s%.*s",
                     p ? "|" : "", (int)result.params[p].len, (const char *)result.params[p].data);
        assert_string_equal(params, cases[i].params);
        assert_ptr_equal(&gw_routes[gw_route_index(result.route)], result.route);
    }
}

static void no_path(void **state)
{
    (void)state;
    static const char *const targets[] = {"/",
                                          "/key",
                                          "/keys2",
                                          "/keys/a/b/c",
                                          "/keys/a/b/c/sign",
                                          "/secret",
                                          "/secrets/a/b/c",
                                          "/storage",
                                          "/rng/x",
                                          "/batch/x",
                                          "/healthz",
                                          "/metrics",
                                          "/members/a/drain",
                                          "/deletedkeys/a/b",
                                          "/keys/a/b/nothing",
                                          "/keys/a/b/sign/x",
                                          "/status.json",
                                          "/deletedkeys/a/recover/b"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct gw_match_result result;
        if (match(GW_FACE_API, GW_GET, targets[i], &result) != GW_MATCH_NO_PATH)
            fail_msg("%s is found", targets[i]);
    }
}

static void no_method(void **state)
{
    (void)state;
    static const struct {
        enum gw_method method;
        const char *target, *allow;
    } cases[] = {
        {GW_GET, "/keys/k1/sign", "POST, OPTIONS"},
        {GW_DELETE, "/keys", "GET, HEAD, OPTIONS"},
        {GW_POST, "/keys/k1", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"},
        {GW_PUT, "/keys/k1/v", "GET, HEAD, PATCH, OPTIONS"},
        {GW_POST, "/keys/k1/versions", "GET, HEAD, OPTIONS"},
        {GW_PATCH, "/deletedkeys/k1", "GET, HEAD, DELETE, OPTIONS"},
        {GW_METHOD_OTHER, "/rng", "POST, OPTIONS"},
        {GW_GET, "/batch", "POST, OPTIONS"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gw_match_result result;
        if (match(GW_FACE_API, cases[i].method, cases[i].target, &result) != GW_MATCH_NO_METHOD)
            fail_msg("%s", cases[i].target);
        assert_null(result.route);
        assert_string_equal(gw_router_allow(result.methods, arena), cases[i].allow);
    }
}

static void faces_are_apart(void **state)
{
    (void)state;
    struct gw_match_result result;
    assert_int_equal(match(GW_FACE_ADMIN, GW_GET, "/healthz", &result), GW_MATCH_FOUND);
    assert_true(result.route->open);
    assert_int_equal(match(GW_FACE_ADMIN, GW_GET, "/", &result), GW_MATCH_FOUND);
    assert_int_equal(match(GW_FACE_ADMIN, GW_GET, "/keys", &result), GW_MATCH_NO_PATH);
    assert_int_equal(match(GW_FACE_ADMIN, GW_POST, "/members/a/drain", &result), GW_MATCH_NO_PATH);
    assert_int_equal(match(GW_FACE_CONTROL, GW_POST, "/members/a/drain", &result), GW_MATCH_FOUND);
    assert_false(result.route->open);
    assert_int_equal(match(GW_FACE_CONTROL, GW_GET, "/keys", &result), GW_MATCH_FOUND);
    assert_string_equal(result.route->label, "control_keys"); /* not the clients' list */
    assert_int_equal(match(GW_FACE_CONTROL, GW_POST, "/keys/a/sign", &result), GW_MATCH_NO_PATH);
    assert_int_not_equal(match(GW_FACE_API, GW_POST, "/keys/a/adopt", &result), GW_MATCH_FOUND);
    for (size_t i = 0; i < gw_route_count; i++) {
        if (gw_routes[i].face == GW_FACE_API)
            assert_false(gw_routes[i].open);
    }
}

static void refused_targets(void **state)
{
    (void)state;
    static const char *const targets[] = {"",
                                          "keys",
                                          "*",
                                          "http://a/keys",
                                          "/keys/..",
                                          "/keys/../x",
                                          "/keys/.",
                                          "/keys/%2e%2e",
                                          "/keys/%2E",
                                          "/keys/a%2Fb",
                                          "/keys/a%2fb",
                                          "/keys/a%5cb",
                                          "/keys/a\\b",
                                          "/keys/a%00",
                                          "/keys/a;b",
                                          "/keys/a%3Bb",
                                          "/keys/a%",
                                          "/keys/a%4",
                                          "/keys/a%zz",
                                          "/keys/a%252F",
                                          "/keys/a%0a",
                                          "/keys/a\x80",
                                          "/keys/a%C3%A9",
                                          "/keys/a%7f",
                                          "/a/a/a/a/a/a/a/a/a/a/a/a/a",
                                          "/keys/a%23",
                                          "/keys/a\tb"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct gw_path path;
        struct kw_span query;
        const char *why = NULL;
        if (gw_target_parse(kw_span_str(targets[i]), arena, &path, &query, &why))
            fail_msg("%s was taken", targets[i]);
        assert_non_null(why);
    }
}

static void query_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* NULL: absent */
    } cases[] = {
        {"api-version=7.4", "api-version", "7.4"},
        {"api%2Dversion=2025-07-01", "api-version", "2025-07-01"},
        {"a=1&api-version=7.4&b", "api-version", "7.4"},
        {"a=1&api-version=7.4&b", "b", ""},
        {"$skiptoken=abc", "$skiptoken", "abc"},
        {"%24skiptoken=a%62c", "$skiptoken", "abc"},
        {"a==b", "a", "=b"},
        {"api-version=1&api-version=2", "api-version", "1"},
        {"", "api-version", NULL},
        {"&&&", "api-version", NULL},
        {"api-version2=1", "api-version", NULL},
        {"api-version=%zz", "api-version", NULL},
        {"API-VERSION=7.4", "api-version", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gw_request req = {.arena = arena, .query = kw_span_str(cases[i].query)};
        struct kw_span value;
        bool there = gw_query_get(&req, cases[i].name, &value);
        if (there != (cases[i].value != NULL))
            fail_msg("%s", cases[i].query);
        if (there)
            assert_true(kw_span_equal(value, kw_span_str(cases[i].value)));
    }
}

static void authorities(void **state)
{
    (void)state;
    static const char *const good[] = {"localhost:8443", "kw.example.org", "[::1]:8443",
                                       "10.0.0.1"};
    static const char *const bad[] = {"a b",  "a/b",    "a\"b", "a@b",
                                      "a\\b", "a\r\nb", "a?b",  "\xc3\xa9"};
    struct kw_span out;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct gw_request req = {.authority = kw_span_str(good[i])};
        assert_true(gw_authority(&req, &out));
        assert_true(kw_span_equal(out, req.authority));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct gw_request req = {.authority = kw_span_str(bad[i])};
        assert_false(gw_authority(&req, &out));
    }
    struct gw_request none = {0};
    assert_true(gw_authority(&none, &out));
    assert_true(kw_span_equal(out, kw_span_str("localhost")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found),           cmocka_unit_test(no_path),
        cmocka_unit_test(no_method),       cmocka_unit_test(faces_are_apart),
        cmocka_unit_test(refused_targets), cmocka_unit_test(query_parameters),
        cmocka_unit_test(authorities),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

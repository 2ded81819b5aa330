#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/api/json/read.h"
#include "gateway/base/arena.h"

static json_t *parse(const char *text, struct gw_fault *fault)
{
    memset(fault, 0, sizeof *fault);
    return gw_json_parse(kw_span_str(text), fault);
}

static void refused_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "empty"},
        {"[]", "object"},
        {"\"a\"", "object"},
        {"12", "object"},
        {"null", "object"},
        {"{", "not valid JSON"},
        {"{\"a\":1}}", "not valid JSON"},
        {"{\"a\":01}", "not valid JSON"},
        {"{\"a\":1,\"a\":2}", "twice"},
        {"{\"a\":{\"b\":1,\"b\":1}}", "twice"},
        {"{\"a\":\"\xff\"}", "UTF-8"},
        {"{\"a\":\"\\u0000\"}", "not valid JSON"},
        {"{\"a\":\"\\ud800\"}", "not valid JSON"},
        {"{\"a\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", "deeper"},
        {"{\"a\":1e999}", "not valid JSON"},
        {"{\"a\":99999999999999999999}", "not valid JSON"},
        {"{\"secret-text\":tru}", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gw_fault fault;
        json_t *root = parse(cases[i].text, &fault);
        if (root)
            fail_msg("%s was taken", cases[i].text);
        assert_int_equal(fault.http, 400);
        assert_string_equal(fault.code, "BadParameter");
        if (!strstr(fault.message, cases[i].says))
            fail_msg("%s: %s", cases[i].text, fault.message);
        /* nothing of the body is repeated */
        assert_null(strstr(fault.message, "secret"));
    }
}

static void getters(void **state)
{
    (void)state;
    struct gw_fault fault;
    struct gw_arena *arena = gw_arena_create();
    json_t *root = parse("{\"s\":\"abc\",\"i\":7,\"b\":true,\"n\":null,\"o\":{},\"a\":[],"
                         "\"bytes\":\"AAEC\",\"bad\":\"A\",\"r\":1.5}",
                         &fault);
    assert_non_null(root);
    struct kw_span text;
    int64_t number = 0;
    bool flag = false, present;
    json_t *value;
    assert_true(gw_json_string(root, "s", 3, &text, &fault));
    assert_true(kw_span_equal(text, kw_span_str("abc")));
    assert_false(gw_json_string(root, "s", 2, &text, &fault));
    assert_non_null(strstr(fault.message, "'s'"));
    assert_true(gw_json_string(root, "n", 3, &text, &fault));
    assert_null(text.data);
    assert_true(gw_json_string(root, "missing", 3, &text, &fault));
    assert_null(text.data);
    assert_false(gw_json_string(root, "i", 3, &text, &fault));
    assert_true(gw_json_int(root, "i", 0, 7, &number, &present, &fault));
    assert_true(present);
    assert_int_equal(number, 7);
    assert_false(gw_json_int(root, "i", 8, 9, &number, &present, &fault));
    assert_false(gw_json_int(root, "i", 0, 6, &number, &present, &fault));
    assert_false(gw_json_int(root, "r", 0, 9, &number, &present, &fault));
    assert_false(gw_json_int(root, "s", 0, 9, &number, &present, &fault));
    assert_true(gw_json_int(root, "n", 0, 9, &number, &present, &fault));
    assert_false(present);
    assert_true(gw_json_bool(root, "b", &flag, &present, &fault));
    assert_true(present && flag);
    assert_false(gw_json_bool(root, "i", &flag, &present, &fault));
    assert_true(gw_json_object(root, "o", &value, &fault));
    assert_non_null(value);
    assert_false(gw_json_object(root, "a", &value, &fault));
    assert_true(gw_json_array(root, "a", &value, &fault));
    assert_non_null(value);
    assert_false(gw_json_array(root, "o", &value, &fault));
    assert_true(gw_json_bytes(root, "bytes", 3, arena, &text, &fault));
    assert_memory_equal(text.data, "\0\1\2", 3);
    assert_false(gw_json_bytes(root, "bytes", 2, arena, &text, &fault));
    assert_false(gw_json_bytes(root, "bad", 9, arena, &text, &fault));
    assert_non_null(strstr(fault.message, "base64url"));
    json_decref(root);
    gw_arena_destroy(arena);
}

static void writer_escapes_and_bounds(void **state)
{
    (void)state;
    struct gw_out out;
    const char text[] = "a\"b\\c\n\x01\x7f\xc3\xa9";
    gw_out_init(&out, NULL, 4, 1000);
    gw_out_string(&out, text, sizeof text - 1);
    assert_false(out.failed);
    const char *expected = "\"a\\\"b\\\\c\\n\\u0001\\u007f\xc3\xa9\"";
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.data, expected, out.len);
    gw_out_free(&out);
    gw_out_init(&out, NULL, 4, 10);
    for (int i = 0; i < 20; i++)
        gw_out_text(&out, "abc");
    assert_true(out.failed);
    assert_true(out.len <= 10);
    gw_out_free(&out);
}

static void faults_have_their_shape(void **state)
{
    (void)state;
    static const struct {
        kw_status status;
        int http;
        const char *code, *inner;
        unsigned retry;
    } rows[] = {
        {KW_E_INPUT, 400, "BadParameter", NULL, 0},
        {KW_E_CRYPTO, 400, "BadParameter", NULL, 0},
        {KW_E_UNSUPPORTED, 400, "BadParameter", NULL, 0},
        {KW_E_FORBIDDEN, 403, "Forbidden", "AccessDenied", 0},
        {KW_E_NOT_FOUND, 404, "KeyNotFound", NULL, 0},
        {KW_E_CONFLICT, 409, "Conflict", "ObjectIsDeletedButRecoverable", 0},
        {KW_E_TOO_LARGE, 413, "RequestBodyTooLarge", NULL, 0},
        {KW_E_BUSY, 503, "ServiceUnavailable", NULL, 1},
        {KW_E_UNAVAILABLE, 503, "ServiceUnavailable", NULL, 2},
        {KW_E_DEADLINE, 503, "ServiceUnavailable", NULL, 1},
        {KW_E_NOMEM, 503, "ServiceUnavailable", NULL, 2},
        {KW_E_IO, 503, "ServiceUnavailable", NULL, 5},
        {KW_E_INTEGRITY, 500, "InternalError", NULL, 0},
        {KW_E_INTERNAL, 500, "InternalError", NULL, 0},
    };
    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct gw_fault fault;
        struct gw_out out;
        assert_false(
            gw_fault_status(&fault, rows[i].status, kw_span_of(long_name, sizeof long_name)));
        assert_int_equal(fault.http, rows[i].http);
        assert_string_equal(fault.code, rows[i].code);
        assert_int_equal(fault.retry_after_s, rows[i].retry);
        assert_true(strlen(fault.message) > 10);
        gw_out_init(&out, NULL, 64, 4096);
        gw_fault_write(&out, &fault);
        json_t *back = json_loadb(out.data, out.len, 0, NULL);
        assert_non_null(back);
        assert_string_equal(json_string_value(json_object_get(back, "code")), rows[i].code);
        const json_t *inner = json_object_get(back, "innererror");
        assert_int_equal(inner != NULL, rows[i].inner != NULL);
        if (inner)
            assert_string_equal(json_string_value(json_object_get(inner, "code")), rows[i].inner);
        json_decref(back);
        gw_out_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_bodies),
        cmocka_unit_test(getters),
        cmocka_unit_test(writer_escapes_and_bounds),
        cmocka_unit_test(faults_have_their_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/api/crypto/body.h"
#include "gateway/base/arena.h"

static uint64_t seed = 20261122;

static unsigned rnd(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed % n);
}

static void same_span(struct kw_span a, struct kw_span b)
{
    assert_int_equal(a.data != NULL, b.data != NULL);
    assert_true(kw_span_equal(a, b));
}

/* What the scan takes, the full reader takes alike. Returns whether each took it. */
static void compare(const char *text, size_t len, bool *scanned, bool *parsed)
{
    char *copy = malloc(len + 1);
    memcpy(copy, text, len);
    struct gw_arena *arena = gw_arena_create();
    struct gw_crypto_body a, b;
    struct gw_fault fault = {0};
    struct kw_span json = kw_span_of(copy, len);
    *scanned = gw_crypto_body_scan(json, &a);
    *parsed = gw_crypto_body_parse(json, true, arena, &b, &fault);
    if (*scanned) {
        if (!*parsed)
            fail_msg("only the scan takes: %.*s (%s)", (int)len, text, fault.message);
        same_span(a.id, b.id);
        same_span(a.op, b.op);
        same_span(a.key, b.key);
        same_span(a.alg, b.alg);
        same_span(a.value, b.value);
        same_span(a.digest, b.digest);
        same_span(a.iv, b.iv);
        same_span(a.aad, b.aad);
        same_span(a.tag, b.tag);
    }
    if (!*parsed)
        assert_int_equal(fault.http, 400);
    gw_arena_destroy(arena);
    free(copy);
}

static void scan_takes_the_hot_bodies(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"alg\":\"RS256\",\"value\":\"AAEC\"}",
        " { \"alg\" : \"ES256\" , \"digest\" : \"AA\" ,\n\"value\":\"-_\" } \r\n",
        "{\"value\":\"AA\",\"alg\":\"A256CBCPAD\",\"iv\":\"AAECAwQFBgcICQoLDA0ODw\"}",
        "{\"alg\":\"A256GCM\",\"value\":\"\",\"iv\":\"a\",\"aad\":\"b\",\"tag\":\"c\"}",
        "{\"id\":\"7\",\"op\":\"sign\",\"key\":\"k/v\",\"alg\":\"RS256\",\"value\":\"AA\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bool scanned, parsed;
        compare(texts[i], strlen(texts[i]), &scanned, &parsed);
        assert_true(scanned);
        assert_true(parsed);
    }
}

static void left_to_the_full_reader(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"{}", true},
        {"{\"alg\":null,\"value\":\"AA\"}", true},
        {"{\"alg\":\"RS\\u0032\",\"value\":\"AA\"}", true},
        {"{\"other\":1,\"alg\":\"a\"}", true},
        {"{\"alg\":\"\xc3\xa9\"}", true},
        {"{\"alg\":\"a\",\"alg\":\"b\"}", false},
        {"{\"alg\":\"a\"}x", false},
        {"{\"alg\":\"a\",}", false},
        {"{\"alg\":\"a\"", false},
        {"{\"alg\":1}", false},
        {"[\"alg\"]", false},
        {"\"alg\"", false},
        {"", false},
        {"{\"alg\":\"a\nb\"}", false},
        {"{\"alg\":\"\xff\"}", false},
        {"{'alg':'a'}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool scanned, parsed;
        compare(cases[i].text, strlen(cases[i].text), &scanned, &parsed);
        assert_false(scanned);
        if (parsed != cases[i].valid)
            fail_msg("%s", cases[i].text);
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    const char *text = "{\"alg\":\"RS256\",\"value\":\"AAEC\",\"digest\":\"AA\"}";
    for (size_t len = 0; len < strlen(text); len++) {
        bool scanned, parsed;
        compare(text, len, &scanned, &parsed);
        assert_false(scanned);
        assert_false(parsed);
    }
}

/* Bodies put together at random, then changed at random places. */
static void random_bodies(void **state)
{
    (void)state;
    static const char *const names[] = {"alg", "value", "digest", "iv",  "aad",
                                        "tag", "id",    "op",     "key", "foo"};
    static const char *const values[] = {"\"\"", "\"RS256\"",  "\"AAEC-_\"", "null",
                                         "1",    "\"a\\\\b\"", "[1]",        "\"\\u0041\"",
                                         "true", "{\"a\":1}"};
    static const char alphabet[] = "\"\\{}[]:, ant1\n\x7f\x01";
    unsigned took[2] = {0, 0};
    for (int round = 0; round < 20000; round++) {
        char text[512];
        int at = snprintf(text, sizeof text, "{");
        unsigned members = rnd(6), first = rnd(10);
        for (unsigned i = 0; i < members; i++) {
            unsigned name = rnd(8) ? (first + i) % 10 : rnd(10);
            unsigned value = rnd(3) ? 1 + rnd(2) : rnd(10);
            at += snprintf(text + at, sizeof text - (size_t)at, "%s%s\"%s\":%s%s", i ? "," : "",
                           rnd(4) ? "" : " ", names[name], rnd(4) ? "" : "\t", values[value]);
        }
        at += snprintf(text + at, sizeof text - (size_t)at, "}");
        for (unsigned changes = rnd(3) ? 0 : 1 + rnd(3); changes > 0; changes--)
            text[rnd((unsigned)at)] = rnd(3) ? alphabet[rnd(sizeof alphabet - 1)] : (char)rnd(256);
        bool scanned, parsed;
        compare(text, (size_t)at, &scanned, &parsed);
        took[0] += scanned;
        took[1] += parsed;
    }
    /* the test means something only if both ways are taken often */
    assert_true(took[0] > 1000);
    assert_true(took[1] > took[0] + 1000);
    assert_true(took[1] < 19000);
}

static void single_requests_ignore_batch_members(void **state)
{
    (void)state;
    const char *text = "{\"id\":5,\"op\":[],\"key\":{},\"alg\":\"RS256\",\"value\":\"AA\"}";
    struct gw_arena *arena = gw_arena_create();
    struct gw_crypto_body body;
    struct gw_fault fault;
    assert_true(gw_crypto_body_read(kw_span_str(text), false, arena, &body, &fault));
    assert_false(gw_crypto_body_read(kw_span_str(text), true, arena, &body, &fault));
    gw_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_takes_the_hot_bodies),
        cmocka_unit_test(left_to_the_full_reader),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(random_bodies),
        cmocka_unit_test(single_requests_ignore_batch_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

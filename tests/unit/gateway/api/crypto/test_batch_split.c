#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/api/crypto/batch_split.h"

struct seen {
    size_t count;
    char text[8][200];
    size_t len[8];
    bool broken, whole;
};

static bool feed(struct gw_split *split, struct seen *seen, const char *data, size_t len)
{
    struct kw_span input = kw_span_of(data, len), element;
    for (;;) {
        switch (gw_split_next(split, &input, &element)) {
        case GW_SPLIT_MORE:
            assert_int_equal(input.len, 0);
            return true;
        case GW_SPLIT_ELEMENT:
            assert_true(seen->count < 8);
            seen->len[seen->count] = element.len;
            if (element.data) {
                assert_true(element.len < sizeof seen->text[0]);
                memcpy(seen->text[seen->count], element.data, element.len);
            }
            seen->count++;
            break;
        case GW_SPLIT_BROKEN:
            assert_non_null(split->why);
            seen->broken = true;
            return false;
        case GW_SPLIT_NOMEM:
            fail();
        }
    }
}

/* Cut at `a` and `b`; each piece in memory of its own, so that a read outside it is seen. */
static struct seen run(const char *text, size_t a, size_t b, size_t max)
{
    struct seen seen = {0};
    struct gw_split split;
    size_t len = strlen(text), cuts[4] = {0, a, b, len};
    gw_split_init(&split, max);
    bool going = true;
    for (int i = 0; i < 3 && going; i++) {
        size_t n = cuts[i + 1] - cuts[i];
        char *piece = malloc(n + 1);
        memcpy(piece, text + cuts[i], n);
        going = feed(&split, &seen, piece, n);
        free(piece);
    }
    seen.whole = going && gw_split_end(&split);
    if (going && !seen.whole)
        assert_non_null(split.why);
    gw_split_free(&split);
    return seen;
}

static const char *const elements[] = {
    "{\"op\":\"sign\",\"x\":\"a\\\"]}\\\\\"}",
    "[1,[2,{\"a\":\"]\"}]]",
    "\"s,]\\\"t\"",
    "12",
    "true",
};

static void build(char *out, size_t size, const char *open, const char *close, const char *space)
{
    int at = snprintf(out, size, "%s%s", open, space);
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++)
        at += snprintf(out + at, size - (size_t)at, "%s%s%s%s", i ? "," : "", space, elements[i],
                       space);
    snprintf(out + at, size - (size_t)at, "%s%s", space, close);
}

static void check_all(const struct seen *seen)
{
    assert_true(seen->whole);
    assert_int_equal(seen->count, sizeof elements / sizeof elements[0]);
    for (size_t i = 0; i < seen->count; i++)
        assert_string_equal(seen->text[i], elements[i]);
}

static void every_two_cuts(void **state)
{
    (void)state;
    static const char *const shapes[][3] = {{"[", "]", ""},
                                            {"{\"operations\":[", "]}", ""},
                                            {" {\n\"operations\" : [", "] }\r\n", " \t\n"}};
    for (size_t s = 0; s < 3; s++) {
        char text[400];
        build(text, sizeof text, shapes[s][0], shapes[s][1], shapes[s][2]);
        size_t len = strlen(text);
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++) {
                struct seen seen = run(text, a, b, 100000);
                check_all(&seen);
            }
        }
    }
}

static void empty_lists(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", " [ ] ", "{\"operations\":[]}",
                                        "{ \"operations\" : [ ] } "};
    for (size_t i = 0; i < 4; i++) {
        struct seen seen = run(texts[i], 1, 2, 100);
        assert_true(seen.whole);
        assert_int_equal(seen.count, 0);
    }
}

static void broken_framing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "   ",
                                        "x",
                                        "\"a\"",
                                        "12",
                                        "[",
                                        "[1",
                                        "[1,",
                                        "[1,]",
                                        "[,1]",
                                        "[1 2]",
                                        "[{}{}]",
                                        "[1]x",
                                        "[1],",
                                        "[1]]",
                                        "{",
                                        "{}",
                                        "{\"ops\":[]}",
                                        "{\"operations\"}",
                                        "{\"operations\":1}",
                                        "{\"operations\":[]",
                                        "{\"operations\":[],\"a\":1}",
                                        "{\"operations\":[]}}",
                                        "{\"operation\":[]}",
                                        "{\"operationss\":[]}",
                                        "{\"Operations\":[]}",
                                        "[{\"a\":1]",
                                        "[\"a]",
                                        "[[1]",
                                        "{\"operations\":[1}",
                                        "[}",
                                        "{operations:[]}",
                                        "[1}",
                                        "]",
                                        "\xef\xbb\xbf[]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t len = strlen(texts[i]);
        for (size_t cut = 0; cut <= len; cut++) {
            struct seen seen = run(texts[i], cut, len, 100);
            if (seen.whole)
                fail_msg("\"%s\" was taken", texts[i]);
        }
    }
}

/* Past its limit an element is counted, not kept, and the ones around it are whole. */
static void long_element(void **state)
{
    (void)state;
    const char *text = "[\"ab\",{\"k\":\"0123456789012345678901234567890\"},3]";
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        struct seen seen = run(text, cut, len, 20);
        assert_true(seen.whole);
        assert_int_equal(seen.count, 3);
        assert_string_equal(seen.text[0], "\"ab\"");
        assert_int_equal(seen.len[1], strlen("{\"k\":\"0123456789012345678901234567890\"}"));
        assert_string_equal(seen.text[1], "");
        assert_string_equal(seen.text[2], "3");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_two_cuts),
        cmocka_unit_test(empty_lists),
        cmocka_unit_test(broken_framing),
        cmocka_unit_test(long_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

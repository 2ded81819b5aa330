#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/http/h1_strict.h"

struct head_case {
    const char *text;
    size_t len;
    int status;
};

#define HEAD(status, text)                                                                         \
    {                                                                                              \
        text, sizeof(text) - 1, status                                                             \
    }
#define GET "GET /keys HTTP/1.1\r\nHost: a\r\n"

static const struct head_case heads[] = {
    HEAD(0, GET "\r\n"),
    HEAD(0, GET "Content-Length: 0\r\n\r\n"),
    HEAD(0, GET "Content-Length:5\r\n\r\n"),
    HEAD(0, GET "Content-Length: 999999999999999999\r\n\r\n"),
    HEAD(0, GET "Transfer-Encoding: chunked\r\n\r\n"),
    HEAD(0, GET "transfer-encoding: CHUNKED\r\n\r\n"),
    HEAD(0, GET "X:\r\n\r\n"),
    HEAD(0, GET "X: \t a\tb \r\n\r\n"),
    HEAD(0, "GET / HTTP/1.0\r\n\r\n"),
    HEAD(0, "GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n"),
    HEAD(0, "GET https://a:8443 HTTP/1.1\r\nHost: a:8443\r\n\r\n"),
    HEAD(0, "GET /?a=b&c=%20 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"),
    HEAD(0, GET "Expect: 100-Continue\r\n\r\n"),
    HEAD(400, GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    HEAD(400, GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    HEAD(400, GET "Content-Length: 5,5\r\n\r\n"),
    HEAD(400, GET "Content-Length: +5\r\n\r\n"),
    HEAD(400, GET "Content-Length: -0\r\n\r\n"),
    HEAD(400, GET "Content-Length: 0x5\r\n\r\n"),
    HEAD(400, GET "Content-Length:  5 \r\n\r\n"),
    HEAD(400, GET "Content-Length:\t5\r\n\r\n"),
    HEAD(400, GET "Content-Length: 18446744073709551616\r\n\r\n"),
    HEAD(400, GET "Content-Length: 1000000000000000000\r\n\r\n"),
    HEAD(400, GET "Content-Length: \r\n\r\n"),
    HEAD(400, GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    HEAD(501, GET "Transfer-Encoding: xchunked\r\n\r\n"),
    HEAD(501, GET "Transfer-Encoding: chunked, identity\r\n\r\n"),
    HEAD(501, GET "Transfer-Encoding: identity, chunked\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding:\tchunked\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding: chunked\t\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding: \x0b"
                  "chunked\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding: chunked\0\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding : chunked\r\n\r\n"),
    HEAD(400, GET "Transfer-Encoding:\r\n chunked\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    HEAD(400, GET "X: a\rb\r\n\r\n"),
    HEAD(400, GET "X: a\nY: b\r\n\r\n"),
    HEAD(400, GET "X: a\r\n b\r\n\r\n"),
    HEAD(400, GET "X: a\r\n\tb\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    HEAD(400, GET "nocolon\r\n\r\n"),
    HEAD(400, GET ": empty\r\n\r\n"),
    HEAD(400, GET "X(y): z\r\n\r\n"),
    HEAD(400, GET "X y: z\r\n\r\n"),
    HEAD(400, GET "X: a\0b\r\n\r\n"),
    HEAD(400, GET "X: \x7f\r\n\r\n"),
    HEAD(400, GET "X: \x80\r\n\r\n"),
    HEAD(400, GET "X: \xff\r\n\r\n"),
    HEAD(400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    HEAD(400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET /\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET /\r\n\r\n"),
    HEAD(400, "\r\n\r\n"),
    HEAD(505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    HEAD(505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    HEAD(505, "PRI * HTTP/2.0\r\n\r\n"),
    HEAD(400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET / HTTP/11\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    HEAD(400, "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    HEAD(417, GET "Expect: magic\r\n\r\n"),
    HEAD(417, GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
};

/* As the connection does it: find the end, then check; the bytes come `step` at a time. */
static int verdict(const char *text, size_t len, size_t step, struct gw_h1_head *head)
{
    size_t scanned = 0;
    struct gw_h1_fault fault;
    for (size_t have = step; have < len + step; have += step) {
        size_t now = have < len ? have : len;
        size_t end = gw_h1_head_end((const uint8_t *)text, now, &scanned, &fault);
        if (fault.status)
            return fault.status;
        if (end)
            return gw_h1_check((const uint8_t *)text, end, head).status;
    }
    return -1;
}

static void heads_are_judged(void **state)
{
    (void)state;
    const size_t steps[] = {1, 2, 7, 100000};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            struct gw_h1_head head;
            int got = verdict(heads[i].text, heads[i].len, steps[s], &head);
            if (got != heads[i].status)
                fail_msg("case %zu, step %zu: %d, expected %d: %s", i, steps[s], got,
                         heads[i].status, heads[i].text);
        }
    }
    assert_true(sizeof heads / sizeof *heads >= 60);
}

static void framing_is_read(void **state)
{
    (void)state;
    struct gw_h1_head head;
    const char text[] = "POST http://a:1/x?y HTTP/1.1\r\nHost: A:1\r\nContent-Length: 17\r\n"
                        "Connection: foo , Close\r\nExpect: 100-continue\r\n\r\n";
    assert_int_equal(verdict(text, sizeof text - 1, sizeof text, &head), 0);
    assert_int_equal(head.content_length, 17);
    assert_true(head.close);
    assert_true(head.expect_continue);
    assert_false(head.chunked);
    assert_true(kw_span_equal(head.target, kw_span_str("/x?y")));
    assert_true(kw_span_equal(head.host, kw_span_str("a:1")));
    assert_true(kw_span_equal(head.method, kw_span_str("POST")));
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    static char text[GW_H1_HEAD_MAX + 200];
    struct gw_h1_head head;
    /* exactly the bound, and one more */
    for (int over = 0; over <= 1; over++) {
        size_t start = strlen(GET "X: "), len = GW_H1_HEAD_MAX + (size_t)over;
        memset(text, 'y', sizeof text);
        memcpy(text, GET "X: ", start);
        memcpy(text + len - 4, "\r\n\r\n", 4);
        assert_int_equal(verdict(text, len, 1000, &head), over ? 431 : 0);
        assert_int_equal(verdict(text, len, sizeof text, &head), over ? 431 : 0);
    }
    for (int fields = GW_H1_HEADERS_MAX; fields <= GW_H1_HEADERS_MAX + 1; fields++) {
        size_t at = strlen(GET);
        memcpy(text, GET, at);
        for (int i = 1; i < fields; i++, at += 6)
            memcpy(text + at, "X: y\r\n", 6);
        memcpy(text + at, "\r\n", 2);
        assert_int_equal(verdict(text, at + 2, sizeof text, &head),
                         fields > GW_H1_HEADERS_MAX ? 431 : 0);
    }
}

struct chunk_case {
    const char *text;
    const char *body; /* NULL: must be refused */
};

static const struct chunk_case chunk_cases[] = {
    {"0\r\n\r\n", ""},
    {"5\r\nhello\r\n0\r\n\r\n", "hello"},
    {"5\r\nhello\r\n00\r\n\r\n", "hello"},
    {"A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n", "0123456789!"},
    {"5;x=y\r\nhello\r\n0;z\r\n\r\n", "hello"},
    {"0\r\nX: y\r\nZ:\r\n\r\n", ""},
    {"5\nhello\r\n0\r\n\r\n", NULL},
    {"5\r\nhello\n0\r\n\r\n", NULL},
    {"5\r\nhelloo\r\n0\r\n\r\n", NULL},
    {"5\r\nhell\r\n0\r\n\r\n", NULL},
    {"+5\r\nhello\r\n0\r\n\r\n", NULL},
    {" 5\r\nhello\r\n0\r\n\r\n", NULL},
    {"5 \r\nhello\r\n0\r\n\r\n", NULL},
    {"5 ;x\r\nhello\r\n0\r\n\r\n", NULL},
    {"0x5\r\nhello\r\n0\r\n\r\n", NULL},
    {"\r\nhello\r\n0\r\n\r\n", NULL},
    {";x\r\nhello\r\n0\r\n\r\n", NULL},
    {"000000005\r\nhello\r\n0\r\n\r\n", NULL},
    {"ffffffffffffffff1\r\nhello", NULL},
    {"5;a\tb\r\nhello\r\n0\r\n\r\n", NULL},
    {"5\r\nhello\r\n0\r\nX\r\n\r\n", NULL},
    {"0\r\n X: y\r\n\r\n", NULL},
    {"0\r\nX: y\n\r\n", NULL},
    {"0\r\nContent-Length: 3\r\n\r\n", NULL},
    {"0\r\ntransfer-encoding: chunked\r\n\r\n", NULL},
    {"0\r\nAuthorization: Bearer x\r\n\r\n", NULL},
    {"0\r\nHost: b\r\n\r\n", NULL},
    {"0\r\n\rX", NULL},
};

static void chunks_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chunk_cases / sizeof *chunk_cases; i++) {
        for (size_t step = 1; step < 80; step += 13) {
            const char *text = chunk_cases[i].text;
            struct gw_h1_chunks chunks = {0};
            struct gw_h1_fault fault = {0};
            enum gw_h1_step outcome = GW_H1_MORE;
            char body[64];
            size_t at = 0, len = strlen(text), got = 0;
            while (at < len && outcome != GW_H1_BAD && outcome != GW_H1_END) {
                size_t used, have = len - at < step ? len - at : step;
                struct kw_span piece;
                outcome = gw_h1_chunks_feed(&chunks, (const uint8_t *)text + at, have, &used,
                                            &piece, &fault);
                assert_true(used <= have);
                at += used;
                if (outcome == GW_H1_PIECE) {
                    memcpy(body + got, piece.data, piece.len);
                    got += piece.len;
                }
            }
            if (!chunk_cases[i].body) {
                assert_int_equal(outcome, GW_H1_BAD);
                assert_int_equal(fault.status, 400);
                continue;
            }
            assert_int_equal(outcome, GW_H1_END);
            assert_int_equal(at, len);
            assert_int_equal(got, strlen(chunk_cases[i].body));
            assert_memory_equal(body, chunk_cases[i].body, got);
        }
    }
}

static void endless_extensions_and_trailers_end(void **state)
{
    (void)state;
    const char *const starts[] = {"5;", "0\r\n"};
    for (int i = 0; i < 2; i++) {
        struct gw_h1_chunks chunks = {0};
        struct gw_h1_fault fault;
        struct kw_span piece;
        size_t used, fed = 0;
        enum gw_h1_step outcome = gw_h1_chunks_feed(&chunks, (const uint8_t *)starts[i],
                                                    strlen(starts[i]), &used, &piece, &fault);
        while (outcome != GW_H1_BAD && fed < 100000) {
            const char *more = i == 0 ? "aaaaaaaa" : "X: yyyyyyyy\r\n";
            fed += strlen(more);
            outcome = gw_h1_chunks_feed(&chunks, (const uint8_t *)more, strlen(more), &used, &piece,
                                        &fault);
        }
        assert_int_equal(outcome, GW_H1_BAD);
        assert_true(fed < 2 * GW_H1_TRAILERS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_judged),
        cmocka_unit_test(framing_is_read),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(chunks_are_judged),
        cmocka_unit_test(endless_extensions_and_trailers_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The texts of a remote member: base64url, JSON, requests, answers, statuses, URLs, the loop guard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "pool/key.h"
#include "pool/remote/base64url.h"
#include "pool/remote/json.h"
#include "pool/remote/message.h"
#include "pool/remote/url.h"
#include "pool/remote/via.h"

#define SPAN(text) kw_span_str(text)

static void base64url_both_ways(void **state)
{
    (void)state;
    /* RFC 4648 section 10, without padding */
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        uint8_t room[16];
        struct kw_buf out = {.data = room, .cap = strlen(coded[i])};
        assert_int_equal(pool_remote_b64_put(&out, SPAN(plain[i])), KW_OK);
        assert_true(kw_span_equal(kw_buf_span(&out), SPAN(coded[i])));
        out = (struct kw_buf){.data = room, .cap = strlen(plain[i])};
        assert_int_equal(pool_remote_b64_get(&out, SPAN(coded[i])), KW_OK);
        assert_true(kw_span_equal(kw_buf_span(&out), SPAN(plain[i])));
        if (plain[i][0] != 0) {
            out = (struct kw_buf){.data = room, .cap = strlen(coded[i]) - 1};
            assert_int_equal(pool_remote_b64_put(&out, SPAN(plain[i])), KW_E_TOO_LARGE);
            assert_int_equal(out.len, 0);
            out.cap = strlen(plain[i]) - 1;
            assert_int_equal(pool_remote_b64_get(&out, SPAN(coded[i])), KW_E_TOO_LARGE);
        }
    }
    /* every byte value as a digit: only the alphabet's 64 are taken, each with its value */
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned c = 0; c < 256; c++) {
        const char *at = c != 0 ? strchr(digits, (int)c) : NULL;
        uint8_t room[3], text[4] = {(uint8_t)c, 'A', 'A', 'A'};
        struct kw_buf out = {.data = room, .cap = 3};
        assert_int_equal(pool_remote_b64_get(&out, kw_span_of(text, 4)), at ? KW_OK : KW_E_INPUT);
        assert_true(!at || room[0] >> 2 == at - digits);
    }
    static const char *const bad[] = {"Z", "Zg==", "Zh", "Zm9=", "Zm9v ", "+m9v", "Zm/v", "Zm9vY"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t room[16];
        struct kw_buf out = {.data = room, .cap = sizeof room};
        assert_int_equal(pool_remote_b64_get(&out, SPAN(bad[i])), KW_E_INPUT);
    }
}

static kw_status read_value(const char *json, struct pool_remote_json_want *want)
{
    *want = (struct pool_remote_json_want){.name = "value"};
    /* in a block of exactly this size, so that a step too far is seen by the sanitizer */
    size_t len = strlen(json);
    char *copy = malloc(len + (len == 0));
    memcpy(copy, json, len);
    kw_status status = pool_remote_json_read(kw_span_of(copy, len), want, 1);
    char text[64] = "";
    if (status == KW_OK && want->type == POOL_REMOTE_JSON_STRING) {
        snprintf(text, sizeof text, "%.*s", (int)want->text.len, (const char *)want->text.data);
        want->text = (struct kw_span){0};
        assert_string_equal(text, "yes");
    }
    free(copy);
    return status;
}

static void json_is_read_strictly(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"value\":\"yes\"}",
        " { \"a\" : [ 1, -2.5e+3, {\"value\":\"no\"}, null ] ,\n\t\"value\" : \"yes\" } ",
        "{\"value\":\"yes\",\"x\":{\"value\":\"no\"}}",
        "{\"\\u00e9\\n\":\"\\\"\",\"value\":\"yes\"}",
        "{\"v\\u0061lue\":1,\"value\":\"yes\"}",
    };
    static const char *const absent[] = {"{}", "{\"value\":null}", "{\"x\":{\"value\":\"no\"}}",
                                         "{\"x\":[{\"value\":\"no\"}]}"};
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "\"value\"",
        "{",
        "{\"value\"",
        "{\"value\":",
        "{\"value\":\"yes\"",
        "{\"value\":\"yes\",}",
        "{\"value\":\"yes\"} x",
        "{\"value\":\"yes\"}{}",
        "{\"value\":\"yes\",\"value\":\"yes\"}",
        "{\"value\":\"y\\u0065s\"}",
        "{\"value\":\"y\xc3\xa9s\"}",
        "{\"value\":1}",
        "{\"value\":[]}",
        "{\"value\":{}}",
        "{\"value\":\"yes\",\"x\":01}",
        "{\"value\":\"yes\",\"x\":1.}",
        "{\"value\":\"yes\",\"x\":-}",
        "{\"value\":\"yes\",\"x\":1e}",
        "{\"value\":\"yes\",\"x\":tru}",
        "{\"value\":\"yes\",\"x\":nulls}",
        "{\"value\":\"yes\",\"x\":\"\\x\"}",
        "{\"value\":\"yes\",\"x\":\"\\u12g4\"}",
        "{\"value\":\"yes\",\"x\":\"a\nb\"}",
        "{\"value\":\"yes\",\"x\":[1 2]}",
        "{\"value\":\"yes\",\"x\":[1,]}",
        "{value:\"yes\"}",
    };
    struct pool_remote_json_want want;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(read_value(good[i], &want), KW_OK);
        assert_int_equal(want.type, POOL_REMOTE_JSON_STRING);
    }
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        assert_int_equal(read_value(absent[i], &want), KW_OK);
        assert_int_equal(want.type, POOL_REMOTE_JSON_ABSENT);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(read_value(bad[i], &want), KW_E_INPUT);
    }
    /* every beginning of a good text is a bad one */
    for (size_t len = 0; len < strlen(good[1]) - 1; len++) {
        char part[128];
        snprintf(part, sizeof part, "%.*s", (int)len, good[1]);
        assert_int_equal(read_value(part, &want), KW_E_INPUT);
    }
}

static void json_depth_is_bounded(void **state)
{
    (void)state;
    static char text[100000];
    struct pool_remote_json_want want;
    for (int open = 0; open < 2; open++) {
        size_t len = (size_t)snprintf(text, sizeof text, "{\"x\":");
        memset(text + len, open ? '[' : '{', sizeof text - len);
        want = (struct pool_remote_json_want){.name = "value"};
        assert_int_equal(pool_remote_json_read(kw_span_of(text, sizeof text), &want, 1),
                         KW_E_INPUT);
    }
}

/* Random changes of a valid text: nothing but a verdict may come of them. */
static void json_survives_noise(void **state)
{
    (void)state;
    static const char seed[] = "{\"key\":{\"kid\":\"https://h/keys/n/v\",\"kty\":\"RSA-HSM\",\"n\":"
                               "\"AQAB\",\"e\":\"AQAB\"},\"a\":[1,{\"b\":null}],\"value\":\"AA\"}";
    unsigned noise = 1;
    for (int round = 0; round < 20000; round++) {
        char *copy = malloc(sizeof seed - 1);
        memcpy(copy, seed, sizeof seed - 1);
        for (int k = 0; k < 3; k++) {
            copy[(unsigned)rand_r(&noise) % (sizeof seed - 1)] = (char)rand_r(&noise);
        }
        struct pool_remote_json_want wants[] = {{.name = "value"}, {.parent = "key", .name = "n"}};
        size_t len = (unsigned)rand_r(&noise) % sizeof seed;
        (void)!pool_remote_json_read(kw_span_of(copy, len), wants, 2);
        free(copy);
    }
}

/* --- messages --- */

static struct pool_op op_of(enum kw_kind kind, enum kw_alg alg, const char *in, uint8_t *room,
                            size_t cap)
{
    return (struct pool_op){
        .lane = {.kind = kind, .alg = alg, .in = SPAN(in), .out = {.data = room, .cap = cap}}};
}

static void expect_body(const struct pool_op *op, const char *wanted)
{
    size_t size = pool_remote_body_size(op);
    uint8_t *data = malloc(size);
    struct kw_buf out = {.data = data, .cap = size};
    assert_int_equal(pool_remote_body(&out, op), KW_OK);
    assert_int_equal(out.len, strlen(wanted));
    assert_memory_equal(out.data, wanted, out.len);
    out = (struct kw_buf){.data = data, .cap = strlen(wanted) - 1};
    assert_int_equal(pool_remote_body(&out, op), KW_E_TOO_LARGE);
    free(data);
}

static void requests(void **state)
{
    (void)state;
    uint8_t room[64];
    char path[POOL_REMOTE_PATH_MAX];
    struct pool_op op = op_of(KW_KIND_SIGN, KW_ALG_RS256, "foob", room, sizeof room);
    expect_body(&op, "{\"alg\":\"RS256\",\"value\":\"Zm9vYg\"}");
    assert_int_equal(pool_remote_path(path, &op, "my-key", "0123"), KW_OK);
    assert_string_equal(path, "/keys/my-key/0123/sign?api-version=7.4");
    static const char *const names[] = {"", "a/b", "a?b", "a b", "..", "a%20", "k\xc3\xa9y", NULL};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(pool_remote_path(path, &op, names[i], "0123"), KW_E_INPUT);
        assert_int_equal(pool_remote_path(path, &op, "k", names[i]), KW_E_INPUT);
        assert_int_equal(pool_remote_key_path(path, names[i], NULL), KW_E_INPUT);
    }
    op = op_of(KW_KIND_DECRYPT, KW_ALG_A256GCM, "foob", room, sizeof room);
    op.lane.iv = SPAN("0123456789ab");
    op.lane.aad = SPAN("foo");
    expect_body(&op,
                "{\"alg\":\"A256GCM\",\"value\":\"Zm9vYg\",\"iv\":\"MDEyMzQ1Njc4OWFi\",\"tag\":"
                "\"AAAAAAAAAAAAAAAAAAAAAA\",\"aad\":\"Zm9v\"}");
    op = op_of(KW_KIND_VERIFY, KW_ALG_HS256, "foob", room, sizeof room);
    op.lane.sig = SPAN("foo");
    expect_body(&op, "{\"alg\":\"HS256\",\"value\":\"Zm9v\",\"digest\":\"Zm9vYg\"}");
    op = op_of(KW_KIND_RANDOM, KW_ALG_NONE, "", room, 32);
    expect_body(&op, "{\"count\":32}");
    op.lane.out.cap = KW_RNG_MAX + 1;
    assert_false(pool_remote_can(&op));
    op = op_of(KW_KIND_ENCRYPT, KW_ALG_A256GCM, "x", room, sizeof room);
    assert_false(pool_remote_can(&op));
    op = op_of(KW_KIND_GENERATE, KW_ALG_NONE, "", room, sizeof room);
    assert_false(pool_remote_can(&op));
}

static void results(void **state)
{
    (void)state;
    uint8_t room[4];
    struct pool_op op = op_of(KW_KIND_SIGN, KW_ALG_RS256, "x", room, sizeof room);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"kid\":\"k\",\"value\":\"Zm9vYg\"}")), KW_OK);
    assert_int_equal(op.lane.out.len, 4);
    assert_memory_equal(room, "foob", 4);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":\"Zm9vYmE\"}")), KW_E_INPUT);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":\"Zm9=\"}")), KW_E_INPUT);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":true}")), KW_E_INPUT);
    assert_int_equal(pool_remote_result(&op, SPAN("{}")), KW_E_INPUT);
    op = op_of(KW_KIND_RANDOM, KW_ALG_NONE, "", room, 4);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":\"Zm9v\"}")), KW_E_INPUT);
    op = op_of(KW_KIND_VERIFY, KW_ALG_HS256, "", room, 4);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":true}")), KW_OK);
    assert_true(op.lane.valid);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":false}")), KW_OK);
    assert_false(op.lane.valid);
    assert_int_equal(pool_remote_result(&op, SPAN("{\"value\":\"true\"}")), KW_E_INPUT);
}

static void bundles(void **state)
{
    (void)state;
    char version[POOL_REMOTE_VERSION_MAX + 1];
    struct kc_public rsa = {
        .kty = KW_KTY_RSA, .n = {1, 2, 3}, .n_len = 3, .e = {1, 0, 1}, .e_len = 3};
    struct kc_public oct = {.kty = KW_KTY_OCT, .bits = 256};
    struct kc_public ec = {
        .kty = KW_KTY_EC, .curve = KW_CURVE_P256, .x = {0, 2}, .y = {3, 4}, .coord_len = 2};
#define KID "\"kid\":\"https://h/keys/n/v1\""
    static const struct {
        const char *json;
        int which;
        kw_status status;
    } rows[] = {
        {"{\"key\":{" KID ",\"kty\":\"RSA-HSM\",\"n\":\"AQID\",\"e\":\"AQAB\"}}", 0, KW_OK},
        {"{\"key\":{" KID ",\"kty\":\"RSA-HSM\",\"n\":\"AAECAw\",\"e\":\"AQAB\"}}", 0, KW_OK},
        {"{\"key\":{" KID ",\"kty\":\"RSA-HSM\",\"n\":\"AQIE\",\"e\":\"AQAB\"}}", 0,
         KW_E_NOT_FOUND},
        {"{\"key\":{" KID ",\"kty\":\"RSA-HSM\",\"n\":\"AQID\",\"e\":\"Aw\"}}", 0, KW_E_NOT_FOUND},
        {"{\"key\":{" KID ",\"kty\":\"RSA-HSM\",\"n\":\"AQID\"}}", 0, KW_E_NOT_FOUND},
        {"{\"key\":{" KID ",\"kty\":\"RSA\",\"n\":\"AQID\",\"e\":\"AQAB\"}}", 0, KW_E_NOT_FOUND},
        {"{\"key\":{\"kid\":\"v1\",\"kty\":\"RSA-HSM\",\"n\":\"AQID\",\"e\":\"AQAB\"}}", 0,
         KW_E_INPUT},
        {"{\"key\":{\"kid\":\"https://h/keys/n/../x?\",\"kty\":\"RSA-HSM\"}}", 0, KW_E_INPUT},
        {"{" KID ",\"kty\":\"RSA-HSM\",\"n\":\"AQID\",\"e\":\"AQAB\"}", 0, KW_E_INPUT},
        {"{}", 0, KW_E_INPUT},
        {"{\"key\":{" KID ",\"kty\":\"EC-HSM\",\"crv\":\"P-256\",\"x\":\"AAI\",\"y\":\"AwQ\"}}", 2,
         KW_OK},
        {"{\"key\":{" KID ",\"kty\":\"EC-HSM\",\"crv\":\"P-384\",\"x\":\"AAI\",\"y\":\"AwQ\"}}", 2,
         KW_E_NOT_FOUND},
        {"{\"key\":{" KID ",\"kty\":\"EC-HSM\",\"crv\":\"P-256\",\"x\":\"AwQ\",\"y\":\"AwQ\"}}", 2,
         KW_E_NOT_FOUND},
        {"{\"key\":{" KID ",\"kty\":\"oct-HSM\"}}", 1, KW_OK},
        {"{\"key\":{\"kid\":\"https://h/keys/n/v2\",\"kty\":\"oct-HSM\"}}", 1, KW_E_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct kc_public *pub = rows[i].which == 0 ? &rsa : rows[i].which == 1 ? &oct : &ec;
        assert_int_equal(pool_remote_bundle(SPAN(rows[i].json), pub, "v1", version),
                         rows[i].status);
        if (rows[i].status == KW_OK) {
            assert_string_equal(version, "v1");
        }
    }
}

static void statuses(void **state)
{
    (void)state;
    static const struct {
        int status, retry_after;
        enum kw_kind kind;
        enum pool_remote_meaning meaning;
        int pause;
        kw_status caller;
    } rows[] = {
        {200, -1, KW_KIND_SIGN, POOL_REMOTE_RESULT, 0, KW_OK},
        {400, -1, KW_KIND_DECRYPT, POOL_REMOTE_CALLER, 0, KW_E_CRYPTO},
        {400, -1, KW_KIND_UNWRAP, POOL_REMOTE_CALLER, 0, KW_E_CRYPTO},
        {400, -1, KW_KIND_SIGN, POOL_REMOTE_LACKS, 0, KW_OK},
        {401, -1, KW_KIND_SIGN, POOL_REMOTE_NO_ENTRY, 0, KW_OK},
        {403, -1, KW_KIND_SIGN, POOL_REMOTE_NO_KEY, 0, KW_OK},
        {404, -1, KW_KIND_SIGN, POOL_REMOTE_NO_KEY, 0, KW_OK},
        {404, -1, KW_KIND_RANDOM, POOL_REMOTE_LACKS, 0, KW_OK},
        {413, -1, KW_KIND_SIGN, POOL_REMOTE_LACKS, 0, KW_OK},
        {429, -1, KW_KIND_SIGN, POOL_REMOTE_BUSY, 1, KW_OK},
        {429, 7, KW_KIND_SIGN, POOL_REMOTE_BUSY, 7, KW_OK},
        {429, 100000, KW_KIND_SIGN, POOL_REMOTE_BUSY, 60, KW_OK},
        {503, 2, KW_KIND_SIGN, POOL_REMOTE_BUSY, 2, KW_OK},
        {503, -1, KW_KIND_SIGN, POOL_REMOTE_BROKEN, 0, KW_OK},
        {500, -1, KW_KIND_DECRYPT, POOL_REMOTE_BROKEN, 0, KW_OK},
        {302, -1, KW_KIND_SIGN, POOL_REMOTE_BROKEN, 0, KW_OK},
        {204, -1, KW_KIND_SIGN, POOL_REMOTE_BROKEN, 0, KW_OK},
        {508, -1, KW_KIND_SIGN, POOL_REMOTE_LOOP, 0, KW_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pool_op op = {.lane = {.kind = rows[i].kind}};
        int pause_s;
        kw_status caller;
        assert_int_equal(
            pool_remote_meaning(rows[i].status, &op, rows[i].retry_after, &pause_s, &caller),
            rows[i].meaning);
        assert_int_equal(caller, rows[i].caller);
        if (rows[i].meaning == POOL_REMOTE_BUSY) {
            assert_int_equal(pause_s, rows[i].pause);
        }
    }
    assert_int_equal(pool_remote_retry_after(SPAN("12")), 12);
    assert_true(pool_remote_retry_after(SPAN("99999999999999999999")) >= 60);
    assert_int_equal(pool_remote_retry_after(SPAN("Fri, 31 Dec 2027 23:59:59 GMT")), 5);
    assert_int_equal(pool_remote_retry_after(SPAN("")), 5);
    assert_int_equal(pool_remote_retry_after(SPAN("-1")), 5);
}

static void urls(void **state)
{
    (void)state;
    static const char *const good[][4] = {
        {"https://vault.example", "vault.example", "443", "vault.example"},
        {"https://vault.example/", "vault.example", "443", "vault.example"},
        {"https://vault.example:443", "vault.example", "443", "vault.example"},
        {"https://10.0.0.5:8443", "10.0.0.5", "8443", "10.0.0.5:8443"},
        {"https://[::1]:8443/", "::1", "8443", "[::1]:8443"},
        {"https://[::1]", "::1", "443", "[::1]"},
    };
    static const char *const bad[] = {
        "",
        "vault.example",
        "http://vault.example",
        "https://",
        "https:///",
        "https://:1",
        "https://a:",
        "https://a:0",
        "https://a:65536",
        "https://a:1x",
        "https://a:123456",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "https://a b",
        "https://[::1",
        "https://[a]",
        "https://[1.2.3.4]",
        "https://::1",
        "https://[::1]x",
        "https://-a",
        "https://a#b",
    };
    struct pool_remote_url url;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(pool_remote_url_read(good[i][0], &url), KW_OK);
        assert_string_equal(url.host, good[i][1]);
        assert_string_equal(url.port, good[i][2]);
        assert_string_equal(url.authority, good[i][3]);
        assert_int_equal(url.numeric, i >= 3);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(pool_remote_url_check(bad[i]), KW_E_INPUT);
    }
    char name[400] = "https://";
    memset(name + 8, 'a', 300);
    assert_int_equal(pool_remote_url_check(name), KW_E_INPUT);
    assert_int_equal(pool_remote_url_check(NULL), KW_E_INPUT);
}

static void loop_guard(void **state)
{
    (void)state;
    char ids[5][POOL_VIA_ID_LEN + 1], via[POOL_VIA_TEXT_MAX + 1] = "", next[POOL_VIA_TEXT_MAX + 1];
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pool_via_make(ids[i]), KW_OK);
        assert_int_equal(strlen(ids[i]), POOL_VIA_ID_LEN);
    }
    assert_true(pool_via_allows(ids[0], SPAN("")));
    for (int i = 0; i < POOL_VIA_MAX; i++) {
        assert_int_equal(pool_via_append(next, via, ids[i]), KW_OK);
        snprintf(via, sizeof via, "%s", next);
        assert_true(pool_via_allows(ids[4], SPAN(via)));
        for (int k = 0; k <= i; k++) {
            assert_false(pool_via_allows(ids[k], SPAN(via)));
        }
    }
    assert_int_equal(pool_via_append(next, via, ids[3]), KW_E_TOO_LARGE);
    static const char *const bad[] = {"x",
                                      "0123456789abcde",
                                      "0123456789abcdeg",
                                      "0123456789ABCDEF",
                                      "0123456789abcdef,",
                                      "0123456789abcdef;0123456789abcdef",
                                      "0123456789abcdef,0123456789abcdef,0123456789abcdef,"
                                      "0123456789abcdef"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(pool_via_allows("ffffffffffffffff", SPAN(bad[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_both_ways),
        cmocka_unit_test(json_is_read_strictly),
        cmocka_unit_test(json_depth_is_bounded),
        cmocka_unit_test(json_survives_noise),
        cmocka_unit_test(requests),
        cmocka_unit_test(results),
        cmocka_unit_test(bundles),
        cmocka_unit_test(statuses),
        cmocka_unit_test(urls),
        cmocka_unit_test(loop_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

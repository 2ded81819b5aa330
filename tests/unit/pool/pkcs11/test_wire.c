#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "crypto/domain/domain.h"
#include "pool/pkcs11/wire.h"
#include "pool/pool.h"

static uint8_t room[POOL_WIRE_RECORD_MAX];

static struct pool_wire_request sample_request(void)
{
    struct pool_wire_request msg = {
        .id = 0x0123456789abcdefull,
        .kind = KW_KIND_DECRYPT,
        .alg = KW_ALG_A256GCM,
        .kty = KW_KTY_OCT,
        .bits = 256,
        .exponent = 65537,
        .out_cap = 77,
        .blob = kw_span_str("blob bytes"),
        .in = kw_span_str("input"),
        .sig = kw_span_str("signature"),
        .iv = kw_span_str("twelve bytes"),
        .aad = kw_span_str("additional"),
        .n = kw_span_str("modulus"),
        .e = kw_span_str("exponent"),
    };
    memset(msg.key_id, 0x5a, sizeof(msg.key_id));
    memset(msg.tag, 0xa5, sizeof(msg.tag));
    return msg;
}

/* One of each type; returns how many records `out` holds. */
static void all_records(struct kw_buf *out, struct kw_span *bodies, size_t *count)
{
    struct pool_wire_request request = sample_request();
    struct pool_wire_answer answer = {.id = 9,
                                      .verdict = POOL_WIRE_DONE,
                                      .status = KW_E_CRYPTO,
                                      .valid = true,
                                      .ckr = 0x80000001u,
                                      .out = kw_span_str("result")};
    struct pool_wire_generated made = {
        .id = 3,
        .pub = {.kty = KW_KTY_EC, .curve = KW_CURVE_P521, .bits = 521, .coord_len = 66},
        .blob = kw_span_str("made")};
    struct pool_wire_config config = {.module = kw_span_str("/lib/module.so"),
                                      .token_label = kw_span_str("label"),
                                      .sessions = 8,
                                      .processors = 2,
                                      .loaded_keys = 256,
                                      .coalesce = true,
                                      .sandbox = POOL_SANDBOX_STRICT,
                                      .memory = 1ull << 40,
                                      .files = 99,
                                      .paths = kw_span_of("/a\0/b", 6)};
    uint8_t key[KC_DOMAIN_KEY_LEN] = {1, 2, 3};
    struct pool_wire_login login = {kw_span_str("1234"), kw_span_of(key, sizeof(key)),
                                    kw_span_str("0123456789abcdef"), true};
    struct pool_wire_hello hello = {.flags = 0x40du,
                                    .label = "a",
                                    .serial = "0123456789abcdef",
                                    .manufacturer = "m",
                                    .model = "x",
                                    .firmware = "2.6"};
    struct pool_wire_logged_in logged_in = {0xa0, 0x10000};
    struct pool_wire_ready ready = {4};
    struct pool_wire_failed bad = {POOL_WIRE_STAGE_TOKEN, 0xe0, kw_span_str("no token")};
    assert_int_equal(pool_wire_put_request(out, &request), KW_OK);
    assert_int_equal(pool_wire_put_answer(out, &answer), KW_OK);
    assert_int_equal(pool_wire_put_need_key(out, 44), KW_OK);
    assert_int_equal(pool_wire_put_generated(out, &made), KW_OK);
    assert_int_equal(pool_wire_put_config(out, &config), KW_OK);
    assert_int_equal(pool_wire_put_login(out, &login), KW_OK);
    assert_int_equal(pool_wire_put_plain(out, POOL_WIRE_CHANNEL), KW_OK);
    assert_int_equal(pool_wire_put_plain(out, POOL_WIRE_LOCKED), KW_OK);
    assert_int_equal(pool_wire_put_forget(out, kw_span_of(key, 32)), KW_OK);
    struct pool_wire_zeroized zeroized = {3, 0};
    assert_int_equal(pool_wire_put_zeroized(out, &zeroized), KW_OK);
    assert_int_equal(pool_wire_put_hello(out, &hello), KW_OK);
    assert_int_equal(pool_wire_put_logged_in(out, &logged_in), KW_OK);
    assert_int_equal(pool_wire_put_ready(out, &ready), KW_OK);
    assert_int_equal(pool_wire_put_failed(out, &bad), KW_OK);
    struct pool_wire_list list = {7, true};
    struct pool_wire_listed listed = {.sequence = 7,
                                      .key = {.known = true,
                                              .type = 3,
                                              .pub = {.kty = KW_KTY_EC, .curve = KW_CURVE_P256},
                                              .source = POOL_FOUND_CERTIFICATE,
                                              .ops = 3,
                                              .asks_pin = true,
                                              .id = {1, 2, 3},
                                              .id_len = 3,
                                              .label = "a label",
                                              .check = {4, 5, 6},
                                              .check_len = 3}};
    struct pool_wire_loaded loaded = {7, kw_span_of(key, 32)};
    struct pool_wire_listed_all end = {7, 0x30, true};
    assert_int_equal(pool_wire_put_list(out, &list), KW_OK);
    assert_int_equal(pool_wire_put_listed(out, &listed), KW_OK);
    assert_int_equal(pool_wire_put_loaded(out, &loaded), KW_OK);
    assert_int_equal(pool_wire_put_listed_all(out, &end), KW_OK);
    struct kw_span stream = kw_buf_span(out);
    for (*count = 0; stream.len > 0; (*count)++) {
        assert_int_equal(pool_wire_next(&stream, &bodies[*count]), KW_OK);
        assert_int_equal(pool_wire_type_of(bodies[*count]) != 0, 1);
    }
}

/* Decodes a body as whatever type it claims; touches all that was decoded. */
static kw_status decode(struct kw_span body)
{
    union {
        struct pool_wire_request request;
        struct pool_wire_answer answer;
        struct pool_wire_generated made;
        struct pool_wire_config config;
        struct pool_wire_login login;
        struct pool_wire_hello hello;
        struct pool_wire_logged_in logged_in;
        struct pool_wire_ready ready;
        struct pool_wire_failed bad;
        uint64_t id;
        struct kw_span ids;
        struct pool_wire_zeroized zeroized;
        struct pool_wire_list list;
        struct pool_wire_listed listed;
        struct pool_wire_loaded loaded;
        struct pool_wire_listed_all end;
    } msg;
    switch (pool_wire_type_of(body)) {
    case POOL_WIRE_REQUEST: {
        kw_status status = pool_wire_get_request(body, &msg.request);
        if (status == KW_OK) {
            assert_true(msg.request.blob.len + msg.request.in.len + msg.request.sig.len +
                            msg.request.iv.len + msg.request.aad.len <
                        body.len);
            assert_true(msg.request.kind < KW_KIND_COUNT && msg.request.alg < KW_ALG_COUNT);
        }
        return status;
    }
    case POOL_WIRE_ANSWER: {
        kw_status status = pool_wire_get_answer(body, &msg.answer);
        if (status == KW_OK) {
            assert_true(msg.answer.out.len < body.len);
            assert_true(msg.answer.verdict < POOL_WIRE_VERDICT_COUNT);
        }
        return status;
    }
    case POOL_WIRE_NEED_KEY:
        return pool_wire_get_need_key(body, &msg.id);
    case POOL_WIRE_GENERATED:
        return pool_wire_get_generated(body, &msg.made);
    case POOL_WIRE_CONFIG:
        return pool_wire_get_config(body, &msg.config);
    case POOL_WIRE_LOGIN:
        return pool_wire_get_login(body, &msg.login);
    case POOL_WIRE_ZEROIZED:
        return pool_wire_get_zeroized(body, &msg.zeroized);
    case POOL_WIRE_FORGET: {
        kw_status status = pool_wire_get_forget(body, &msg.ids);
        assert_true(status != KW_OK || msg.ids.len % KW_KEY_ID_LEN == 0);
        return status;
    }
    case POOL_WIRE_LIST:
        return pool_wire_get_list(body, &msg.list);
    case POOL_WIRE_LISTED: {
        kw_status status = pool_wire_get_listed(body, &msg.listed);
        if (status == KW_OK) {
            assert_true(strlen(msg.listed.key.label) <= POOL_LABEL_MAX);
            assert_true(msg.listed.key.id_len <= POOL_RESIDENT_ID_MAX);
            assert_true(msg.listed.key.source <= POOL_FOUND_CERTIFICATE);
        }
        return status;
    }
    case POOL_WIRE_LOADED: {
        kw_status status = pool_wire_get_loaded(body, &msg.loaded);
        assert_true(status != KW_OK || msg.loaded.ids.len % KW_KEY_ID_LEN == 0);
        return status;
    }
    case POOL_WIRE_LISTED_ALL:
        return pool_wire_get_listed_all(body, &msg.end);
    case POOL_WIRE_HELLO:
        return pool_wire_get_hello(body, &msg.hello);
    case POOL_WIRE_LOGGED_IN:
        return pool_wire_get_logged_in(body, &msg.logged_in);
    case POOL_WIRE_READY:
        return pool_wire_get_ready(body, &msg.ready);
    case POOL_WIRE_FAILED:
        return pool_wire_get_failed(body, &msg.bad);
    default:
        return pool_wire_get_plain(body, (enum pool_wire_type)pool_wire_type_of(body));
    }
}

static void request_comes_back_as_it_went(void **state)
{
    (void)state;
    struct kw_buf out = {room, 0, sizeof(room)};
    struct pool_wire_request msg = sample_request(), back;
    assert_int_equal(pool_wire_put_request(&out, &msg), KW_OK);
    assert_true(out.len <= pool_wire_request_size(&msg));
    struct kw_span stream = kw_buf_span(&out), body;
    assert_int_equal(pool_wire_next(&stream, &body), KW_OK);
    assert_int_equal(stream.len, 0);
    assert_int_equal(pool_wire_get_request(body, &back), KW_OK);
    assert_true(back.id == msg.id && back.kind == msg.kind && back.alg == msg.alg);
    assert_true(back.kty == msg.kty && back.bits == msg.bits && back.out_cap == msg.out_cap);
    assert_int_equal(back.exponent, 65537);
    assert_memory_equal(back.key_id, msg.key_id, sizeof(msg.key_id));
    assert_memory_equal(back.tag, msg.tag, sizeof(msg.tag));
    assert_true(kw_span_equal(back.blob, msg.blob) && kw_span_equal(back.in, msg.in));
    assert_true(kw_span_equal(back.sig, msg.sig) && kw_span_equal(back.iv, msg.iv));
    assert_true(kw_span_equal(back.aad, msg.aad));
    assert_true(kw_span_equal(back.n, msg.n) && kw_span_equal(back.e, msg.e));
}

static void each_truncation_is_refused(void **state)
{
    (void)state;
    struct kw_buf out = {room, 0, sizeof(room)};
    struct kw_span bodies[32];
    size_t count;
    all_records(&out, bodies, &count);
    assert_int_equal(count, 18);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(decode(bodies[i]), KW_OK);
        for (size_t len = 1; len < bodies[i].len; len++) {
            /* in a block of its own, so that a sanitizer sees a read behind the end */
            uint8_t *copy = malloc(len);
            assert_non_null(copy);
            memcpy(copy, bodies[i].data, len);
            assert_int_equal(decode(kw_span_of(copy, len)), KW_E_INPUT);
            free(copy);
        }
    }
}

static void trailing_bytes_are_refused(void **state)
{
    (void)state;
    struct kw_buf out = {room, 0, sizeof(room)};
    struct kw_span bodies[32];
    size_t count;
    all_records(&out, bodies, &count);
    for (size_t i = 0; i < count; i++) {
        uint8_t copy[1024] = {0};
        assert_true(bodies[i].len < sizeof(copy));
        memcpy(copy, bodies[i].data, bodies[i].len);
        assert_int_equal(decode(kw_span_of(copy, bodies[i].len + 1)), KW_E_INPUT);
    }
}

static void random_changes_never_break_the_decoder(void **state)
{
    (void)state;
    struct kw_buf out = {room, 0, sizeof(room)};
    struct kw_span bodies[32];
    size_t count;
    unsigned seed = 12345, refused = 0;
    all_records(&out, bodies, &count);
    for (unsigned round = 0; round < 200000; round++) {
        struct kw_span body = bodies[round % count];
        uint8_t *copy = malloc(body.len);
        assert_non_null(copy);
        memcpy(copy, body.data, body.len);
        unsigned changes = 1 + (unsigned)rand_r(&seed) % 4;
        for (unsigned i = 0; i < changes; i++) {
            copy[(size_t)rand_r(&seed) % body.len] = (uint8_t)rand_r(&seed);
        }
        refused += decode(kw_span_of(copy, body.len)) != KW_OK;
        free(copy);
    }
    assert_true(refused > 1000);
}

static void framing_checks_the_length(void **state)
{
    (void)state;
    uint8_t bytes[8] = {0};
    struct kw_span stream = kw_span_of(bytes, 3), body;
    assert_int_equal(pool_wire_next(&stream, &body), KW_E_NOT_FOUND);
    stream = kw_span_of(bytes, 8);
    assert_int_equal(pool_wire_next(&stream, &body), KW_E_INPUT); /* length 0 */
    memset(bytes, 0xff, 4);
    stream = kw_span_of(bytes, 8);
    assert_int_equal(pool_wire_next(&stream, &body), KW_E_INPUT); /* over the bound */
    memset(bytes, 0, 4);
    bytes[0] = 5;
    stream = kw_span_of(bytes, 8);
    assert_int_equal(pool_wire_next(&stream, &body), KW_E_NOT_FOUND);
    bytes[0] = 4;
    stream = kw_span_of(bytes, 8);
    assert_int_equal(pool_wire_next(&stream, &body), KW_OK);
    assert_int_equal(body.len, 4);
    assert_int_equal(stream.len, 0);
}

static void encoders_keep_to_room_and_bounds(void **state)
{
    (void)state;
    struct pool_wire_request msg = sample_request();
    uint8_t small[64];
    struct kw_buf out = {small, 0, sizeof(small)};
    assert_int_equal(pool_wire_put_request(&out, &msg), KW_E_TOO_LARGE);
    assert_int_equal(out.len, 0);
    out = (struct kw_buf){room, 7, sizeof(room)};
    msg.in = kw_span_of(room, POOL_WIRE_DATA_MAX + 1);
    assert_int_equal(pool_wire_put_request(&out, &msg), KW_E_TOO_LARGE);
    assert_int_equal(out.len, 7);
    msg = sample_request();
    msg.out_cap = POOL_WIRE_DATA_MAX + 1;
    assert_int_equal(pool_wire_put_request(&out, &msg), KW_E_TOO_LARGE);
    msg = sample_request();
    msg.blob = kw_span_of(room, KC_BLOB_MAX + 1);
    assert_int_equal(pool_wire_put_request(&out, &msg), KW_E_TOO_LARGE);
    struct pool_wire_login login = {kw_span_str("1"), kw_span_of(small, 31), kw_span_str("d"),
                                    false};
    assert_int_equal(pool_wire_put_login(&out, &login), KW_OK);
    struct kw_span stream = kw_span_of(room + 7, out.len - 7), body;
    assert_int_equal(pool_wire_next(&stream, &body), KW_OK);
    assert_int_equal(pool_wire_get_login(body, &login), KW_E_INPUT); /* not 32 bytes */
}

static void control_characters_do_not_reach_operators(void **state)
{
    (void)state;
    struct kw_buf out = {room, 0, sizeof(room)};
    struct pool_wire_hello hello = {.label = "a\x1b[2Jb", .serial = "1\n2"}, back;
    assert_int_equal(pool_wire_put_hello(&out, &hello), KW_OK);
    struct kw_span stream = kw_buf_span(&out), body;
    assert_int_equal(pool_wire_next(&stream, &body), KW_OK);
    assert_int_equal(pool_wire_get_hello(body, &back), KW_OK);
    assert_string_equal(back.label, "a?[2Jb");
    assert_string_equal(back.serial, "1?2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_comes_back_as_it_went),
        cmocka_unit_test(each_truncation_is_refused),
        cmocka_unit_test(trailing_bytes_are_refused),
        cmocka_unit_test(random_changes_never_break_the_decoder),
        cmocka_unit_test(framing_checks_the_length),
        cmocka_unit_test(encoders_keep_to_room_and_bounds),
        cmocka_unit_test(control_characters_do_not_reach_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

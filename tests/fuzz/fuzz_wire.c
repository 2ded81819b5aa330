/* The host protocol in both directions: the stream cutter, and every decoder on every record. What
 * decodes must encode to a record that decodes to the same bytes. */
#include "pool/pkcs11/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t room[2][POOL_WIRE_RECORD_MAX];

/* Twice through the same codec gives the same bytes. */
#define ROUND(type, field)                                                                         \
    static void round_##type(struct kw_span body)                                                  \
    {                                                                                              \
        struct pool_wire_##type msg, again;                                                        \
        struct kw_buf one = {room[0], 0, sizeof room[0]}, two = {room[1], 0, sizeof room[1]};      \
        if (pool_wire_get_##type(body, &msg) != KW_OK)                                             \
            return;                                                                                \
        if (pool_wire_put_##type(&one, &msg) != KW_OK)                                             \
            abort();                                                                               \
        struct kw_span stream = kw_buf_span(&one), inner;                                          \
        if (pool_wire_next(&stream, &inner) != KW_OK || stream.len != 0 ||                         \
            pool_wire_get_##type(inner, &again) != KW_OK ||                                        \
            pool_wire_put_##type(&two, &again) != KW_OK ||                                         \
            !kw_span_equal(kw_buf_span(&one), kw_buf_span(&two)))                                  \
            abort();                                                                               \
    }

ROUND(request, id)
ROUND(answer, id)
ROUND(generated, id)
ROUND(config, module)
ROUND(login, pin)
ROUND(hello, flags)
ROUND(logged_in, ckr)
ROUND(ready, sessions)
ROUND(failed, stage)
ROUND(list, tokens)
ROUND(listed, key)
ROUND(loaded, ids)
ROUND(listed_all, ckr)

static void all(struct kw_span body)
{
    uint64_t id;
    round_request(body);
    round_answer(body);
    round_generated(body);
    round_config(body);
    round_login(body);
    round_hello(body);
    round_logged_in(body);
    round_ready(body);
    round_failed(body);
    round_list(body);
    round_listed(body);
    round_loaded(body);
    round_listed_all(body);
    (void)!pool_wire_get_need_key(body, &id);
    (void)!pool_wire_get_plain(body, POOL_WIRE_CHANNEL);
    (void)!pool_wire_get_plain(body, POOL_WIRE_LOCKED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kw_span stream = kw_span_of(data, size), body;
    while (pool_wire_next(&stream, &body) == KW_OK)
        all(body);
    all(kw_span_of(data, size)); /* a record without its length: deeper at once */
    return 0;
}

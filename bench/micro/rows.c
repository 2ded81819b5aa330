/* Which operations are measured, and what each has to reach as a ratio to OpenSSL 3.0. */
#include <stdlib.h>

#include "bench/micro/row.h"

#define AES(row_name, need, row_kind, row_alg, row_len)                                            \
    {                                                                                              \
        .name = (row_name), .anchor_name = "openssl evp, reused context", .must_reach = (need),    \
        .setup = bench_aes_setup, .theirs = bench_aes_theirs, .cleanup = bench_aes_cleanup,        \
        .kind = KW_KIND_##row_kind, .alg = KW_ALG_##row_alg, .bits = 256, .len = (row_len),        \
    }
#define PKEY(row_name, need, row_kind, row_alg, row_bits, row_len)                                 \
    {                                                                                              \
        .name = (row_name), .anchor_name = "openssl evp, reused context", .must_reach = (need),    \
        .setup = bench_pkey_setup, .theirs = bench_pkey_theirs, .cleanup = bench_pkey_cleanup,     \
        .kind = KW_KIND_##row_kind, .alg = KW_ALG_##row_alg, .bits = (row_bits), .len = (row_len), \
    }

struct bench_row bench_rows[] = {
    PKEY("rsa2048-private", 2.6, SIGN, RS256, 2048, 32),
    PKEY("rsa3072-private", 5.0, SIGN, RS256, 3072, 32),
    PKEY("rsa4096-private", 4.9, SIGN, RS256, 4096, 32),
    PKEY("rsa2048-public", 4.8, VERIFY, RS256, 2048, 32),
    PKEY("rsa3072-public", 4.2, VERIFY, RS256, 3072, 32),
    PKEY("rsa4096-public", 4.0, VERIFY, RS256, 4096, 32),
    PKEY("p256-sign", 4.1, SIGN, ES256, 256, 32),
    PKEY("p384-sign", 49, SIGN, ES384, 384, 48),
    PKEY("p521-sign", 0, SIGN, ES512, 521, 64),
    AES("aes256-kw-32", 54, WRAP, A256KW, 32),
    AES("aes256-kwp-32", 48, WRAP, AES_KWP, 32),
    AES("aes256-gcm-32", 4.3, ENCRYPT, A256GCM, 32),
    AES("aes256-gcm-1024", 3.7, ENCRYPT, A256GCM, 1024),
    AES("aes256-cbc-256", 7, ENCRYPT, A256CBC, 256),
    AES("aes256-kw-unwrap-32", 0, UNWRAP, A256KW, 32),
    AES("aes256-gcm-decrypt-1024", 0, DECRYPT, A256GCM, 1024),
    AES("aes256-cbc-decrypt-256", 0, DECRYPT, A256CBC, 256),
    PKEY("rsa2048-oaep-unwrap", 0, UNWRAP, RSA_OAEP_256, 2048, 32),
};
const size_t bench_row_count = sizeof bench_rows / sizeof bench_rows[0];

bool bench_batch_open(struct bench_batch *batch, size_t count, size_t room)
{
    batch->count = count;
    batch->memory = calloc(4 * count, room);
    if (!batch->memory || kw_random(batch->memory, count * room) != KW_OK)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct kc_lane_op *op = &batch->ops[i];
        uint8_t *at = batch->memory + i * room;
        *op = (struct kc_lane_op){
            .in = kw_span_of(at, 0),
            .out = {at + count * room, 0, room},
            .sig = kw_span_of(at + 2 * count * room, 0),
            .iv = kw_span_of(at + 3 * count * room, 0),
        };
        batch->list[i] = op;
    }
    return true;
}

void bench_batch_close(struct bench_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        kc_key_unref(batch->keys[i]);
    free(batch->memory);
    *batch = (struct bench_batch){0};
}

bool bench_batch_run(struct bench_batch *batch, struct kc_scratch *scratch)
{
    bool ok = true;
    kc_lanes_run(batch->list, batch->count, batch->shape, scratch);
    for (size_t i = 0; i < batch->count; i++) {
        const struct kc_lane_op *op = &batch->ops[i];
        ok &= op->status == KW_OK && (op->kind != KW_KIND_VERIFY || op->valid);
    }
    return ok;
}

/* AES rows: 64 messages under 64 keys a call. The anchor has one key, set once. */
#include <openssl/evp.h>
#include <string.h>

#include "bench/micro/row.h"
#include "crypto/base/secret.h"

#define KEYS 64
#define ROOM 1088

static const char *cipher_name(enum kw_alg alg)
{
    switch (kw_alg_info(alg)->family) {
    case KW_FAMILY_AES_KW:
        return "AES-256-WRAP";
    case KW_FAMILY_AES_KWP:
        return "AES-256-WRAP-PAD";
    case KW_FAMILY_AES_GCM:
        return "AES-256-GCM";
    default:
        return "AES-256-CBC";
    }
}

static bool forward(const struct bench_row *row)
{
    return row->kind == KW_KIND_ENCRYPT || row->kind == KW_KIND_WRAP;
}

/* Turns a batch of the forward operation into one of the way back. */
static bool turn_around(struct bench_row *row)
{
    struct kc_scratch *scratch = kc_scratch_create();
    bool ok = scratch && bench_batch_run(&row->batch, scratch);
    for (size_t i = 0; ok && i < row->batch.count; i++) {
        struct kc_lane_op *op = &row->batch.ops[i];
        uint8_t *in = (uint8_t *)(uintptr_t)op->in.data;
        memcpy(in, op->out.data, op->out.len);
        op->in.len = op->out.len;
        op->kind = row->kind;
    }
    kc_scratch_destroy(scratch);
    return ok;
}

static bool make_batch(struct bench_row *row)
{
    struct bench_batch *batch = &row->batch;
    if (!bench_batch_open(batch, KEYS, ROOM))
        return false;
    enum kw_family family = kw_alg_info(row->alg)->family;
    for (size_t i = 0; i < KEYS; i++) {
        struct kc_lane_op *op = &batch->ops[i];
        if (kc_key_generate(&batch->keys[i], KW_KTY_OCT, 256, KW_CURVE_NONE, 0) != KW_OK)
            return false;
        op->key = batch->keys[i];
        op->alg = row->alg;
        op->kind = row->kind == KW_KIND_UNWRAP    ? KW_KIND_WRAP
                   : row->kind == KW_KIND_DECRYPT ? KW_KIND_ENCRYPT
                                                  : row->kind;
        op->in.len = row->len;
        op->iv.len = family == KW_FAMILY_AES_GCM   ? KW_GCM_IV_LEN
                     : family == KW_FAMILY_AES_CBC ? KW_AES_BLOCK_LEN
                                                   : 0;
    }
    if (kc_lanes_shape(&batch->ops[0], &batch->shape) != KW_OK)
        return false;
    return forward(row) || turn_around(row);
}

bool bench_aes_setup(struct bench_row *row)
{
    if (!make_batch(row))
        return false;
    struct kw_secret key = {0};
    EVP_CIPHER_CTX *ctx = row->ctx = EVP_CIPHER_CTX_new();
    row->cipher = EVP_CIPHER_fetch(NULL, cipher_name(row->alg), NULL);
    bool ok = ctx && row->cipher && kc_key_to_private(&key, row->batch.keys[0]) == KW_OK;
    if (ok) {
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        ok = EVP_CipherInit_ex2(ctx, row->cipher, key.data, NULL, forward(row), NULL) == 1 &&
             EVP_CIPHER_CTX_set_padding(ctx, 0) == 1;
    }
    kw_secret_clear(&key);
    return ok;
}

bool bench_aes_theirs(struct bench_row *row)
{
    EVP_CIPHER_CTX *ctx = row->ctx;
    const struct kc_lane_op *op = &row->batch.ops[0];
    uint8_t out[ROOM], tag[KW_GCM_TAG_LEN];
    int len = 0, last = 0, in_len = (int)op->in.len;
    enum kw_family family = kw_alg_info(row->alg)->family;
    if (op->iv.len != 0 && EVP_CipherInit_ex2(ctx, NULL, NULL, op->iv.data, -1, NULL) != 1)
        return false;
    if (family == KW_FAMILY_AES_GCM && !forward(row)) {
        memcpy(tag, op->tag, sizeof tag);
        if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) != 1)
            return false;
    }
    if (EVP_CipherUpdate(ctx, out, &len, op->in.data, in_len) != 1)
        return false;
    if (family != KW_FAMILY_AES_GCM)
        return true;
    return EVP_CipherFinal_ex(ctx, out + len, &last) == 1 &&
           (!forward(row) || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1);
}

void bench_aes_cleanup(struct bench_row *row)
{
    EVP_CIPHER_free(row->cipher);
    EVP_CIPHER_CTX_free(row->ctx);
    bench_batch_close(&row->batch);
}

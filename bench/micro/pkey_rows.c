/* RSA and EC rows: 16 operations of 8 keys a call. The anchor has one key and one context. */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "bench/micro/row.h"
#include "crypto/keys/key_internal.h"
#include "tests/support/rsa_maker.h"

#define LANES  16
#define KEYS   8
#define PRIMES 5 /* ten pairs */
#define ROOM   512

/* Eight keys of different primes' pairs, half of them with p < q. */
static bool rsa_keys(struct kc_key **keys, unsigned bits)
{
    struct kt_primes primes;
    size_t made = 0;
    if (!kt_primes_make(&primes, PRIMES, bits))
        return false;
    for (size_t i = 0; i < PRIMES && made < KEYS; i++) {
        for (size_t j = i + 1; j < PRIMES && made < KEYS; j++) {
            keys[made] =
                made % 2 ? kt_rsa_key(&primes, i, j, 65537) : kt_rsa_key(&primes, j, i, 65537);
            if (!keys[made])
                i = j = PRIMES;
            else
                made++;
        }
    }
    kt_primes_free(&primes);
    return made == KEYS;
}

static bool make_keys(struct kc_key **keys, const struct bench_row *row)
{
    enum kw_curve curve = kw_alg_info(row->alg)->curve;
    if (curve == KW_CURVE_NONE)
        return rsa_keys(keys, row->bits);
    for (size_t i = 0; i < KEYS; i++) {
        if (kc_key_generate(&keys[i], KW_KTY_EC, 0, curve, 0) != KW_OK)
            return false;
    }
    return true;
}

/* Makes what the way back of the row's operation takes: signatures or ciphertexts. */
static bool turn_around(struct bench_row *row)
{
    struct bench_batch *batch = &row->batch;
    struct kc_scratch *scratch = kc_scratch_create();
    enum kc_shape shape;
    bool ok = scratch && kc_lanes_shape(&batch->ops[0], &shape) == KW_OK;
    if (ok)
        kc_lanes_run(batch->list, batch->count, shape, scratch);
    for (size_t i = 0; ok && i < batch->count; i++) {
        struct kc_lane_op *op = &batch->ops[i];
        ok = op->status == KW_OK;
        struct kw_span *to = row->kind == KW_KIND_VERIFY ? &op->sig : &op->in;
        memcpy((uint8_t *)(uintptr_t)to->data, op->out.data, op->out.len);
        to->len = op->out.len;
        op->kind = row->kind;
    }
    kc_scratch_destroy(scratch);
    return ok;
}

static bool make_batch(struct bench_row *row)
{
    struct bench_batch *batch = &row->batch;
    if (!bench_batch_open(batch, LANES, ROOM) || !make_keys(batch->keys, row))
        return false;
    for (size_t i = 0; i < LANES; i++) {
        struct kc_lane_op *op = &batch->ops[i];
        op->key = batch->keys[i % KEYS];
        op->alg = row->alg;
        op->in.len = row->len;
        op->kind = row->kind == KW_KIND_VERIFY   ? KW_KIND_SIGN
                   : row->kind == KW_KIND_UNWRAP ? KW_KIND_WRAP
                                                 : row->kind;
    }
    if (row->kind != KW_KIND_SIGN && !turn_around(row))
        return false;
    return kc_lanes_shape(&batch->ops[0], &batch->shape) == KW_OK;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct bench_row *row)
{
    switch (kw_alg_info(row->alg)->family) {
    case KW_FAMILY_RSA_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1;
    case KW_FAMILY_RSA_OAEP:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1;
    default:
        return true;
    }
}

bool bench_pkey_setup(struct bench_row *row)
{
    if (!make_batch(row))
        return false;
    EVP_PKEY_CTX *ctx = row->ctx =
        EVP_PKEY_CTX_new_from_pkey(NULL, row->batch.ops[0].key->pkey, NULL);
    if (!ctx)
        return false;
    int started = row->kind == KW_KIND_SIGN     ? EVP_PKEY_sign_init(ctx)
                  : row->kind == KW_KIND_VERIFY ? EVP_PKEY_verify_init(ctx)
                                                : EVP_PKEY_decrypt_init(ctx);
    return started == 1 && set_padding(ctx, row);
}

bool bench_pkey_theirs(struct bench_row *row)
{
    const struct kc_lane_op *op = &row->batch.ops[0];
    uint8_t out[ROOM];
    size_t len = sizeof out;
    switch (row->kind) {
    case KW_KIND_SIGN:
        return EVP_PKEY_sign(row->ctx, out, &len, op->in.data, op->in.len) == 1;
    case KW_KIND_VERIFY:
        return EVP_PKEY_verify(row->ctx, op->sig.data, op->sig.len, op->in.data, op->in.len) == 1;
    default:
        return EVP_PKEY_decrypt(row->ctx, out, &len, op->in.data, op->in.len) == 1;
    }
}

void bench_pkey_cleanup(struct bench_row *row)
{
    EVP_PKEY_CTX_free(row->ctx);
    bench_batch_close(&row->batch);
}

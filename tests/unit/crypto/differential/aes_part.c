/* AES against OpenSSL: key wrap, GCM and CBC, both ways, right and wrong inputs, all key sizes
 * mixed in one call. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "crypto/keys/key_internal.h"
#include "tests/unit/crypto/differential/common.h"

#define KEYS 48
#define ROOM 4200

enum mode { WRAP, WRAP_PAD, GCM, CBC, MODES };

static struct kc_key *keys[KEYS];
static EVP_CIPHER_CTX *contexts[KEYS][MODES][2]; /* [1]: forward */
static uint8_t input[DF_BATCH][ROOM], output[DF_BATCH][ROOM], want[ROOM], extra[DF_BATCH][ROOM];

static EVP_CIPHER_CTX *context(const struct kc_key *key, enum mode mode, int forward)
{
    static const char *const names[] = {"WRAP", "WRAP-PAD", "GCM", "CBC"};
    char name[32];
    snprintf(name, sizeof(name), "AES-%u-%s", key->pub.bits, names[mode]);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx) {
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    }
    if (!ctx || !cipher || EVP_CipherInit_ex2(ctx, cipher, key->oct, NULL, forward, NULL) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    EVP_CIPHER_free(cipher);
    return ctx;
}

bool df_aes_open(struct df_state *state)
{
    for (size_t i = 0; i < KEYS; i++) {
        uint8_t k[32];
        kt_draw_bytes(&state->draw, k, sizeof(k));
        if (i < 3) {
            memset(k, i == 1 ? 0xff : 0, sizeof(k)); /* edge keys */
        }
        if (kc_oct_make(&keys[i], kw_span_of(k, 16 + 8 * (i % 3))) != KW_OK) {
            return false;
        }
        for (enum mode mode = WRAP; mode < MODES; mode++) {
            for (int forward = 0; forward < 2; forward++) {
                if (!(contexts[i][mode][forward] = context(keys[i], mode, forward))) {
                    return false;
                }
            }
        }
    }
    return true;
}

void df_aes_close(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        for (enum mode mode = WRAP; mode < MODES; mode++) {
            EVP_CIPHER_CTX_free(contexts[i][mode][0]);
            EVP_CIPHER_CTX_free(contexts[i][mode][1]);
        }
        kc_key_unref(keys[i]);
        keys[i] = NULL;
    }
}

/* Mostly short, sometimes beyond every block of the kernels. */
static size_t draw_len(struct df_state *state)
{
    switch (kt_draw_below(&state->draw, 10)) {
    case 0:
        return kt_draw_below(&state->draw, 4001);
    case 1:
    case 2:
        return kt_draw_below(&state->draw, 700);
    default:
        return kt_draw_below(&state->draw, 130);
    }
}

struct one {
    size_t key;
    enum mode mode;
    bool forward, pad;
};

/* OpenSSL's answer in `want`; -1 when it refuses. For GCM forward the tag goes to `tag`, backward
 * it is read from there. */
static int reference(const struct one *one, const struct kc_lane_op *op, uint8_t *tag)
{
    EVP_CIPHER_CTX *ctx = contexts[one->key][one->mode][one->forward];
    int len = 0, last = 0;
    const uint8_t *iv = one->mode >= GCM ? op->iv.data : NULL;
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, iv, one->forward, NULL) != 1) {
        return -1;
    }
    EVP_CIPHER_CTX_set_padding(ctx, one->pad);
    if (one->mode == GCM) {
        if (op->aad.len != 0 &&
            EVP_CipherUpdate(ctx, NULL, &len, op->aad.data, (int)op->aad.len) != 1) {
            return -1;
        }
        if (!one->forward && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) != 1) {
            return -1;
        }
    }
    len = 0;
    if (op->in.len != 0 && EVP_CipherUpdate(ctx, want, &len, op->in.data, (int)op->in.len) != 1) {
        return -1;
    }
    if (one->mode >= GCM && EVP_CipherFinal_ex(ctx, want + len, &last) != 1) {
        return -1;
    }
    if (one->mode == GCM && one->forward &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1) {
        return -1;
    }
    return len + last;
}

/* A forward operation with random content. */
static void start(struct df_state *state, struct one *one, struct kc_lane_op *op, size_t i,
                  enum mode mode, size_t len)
{
    kt_draw_bytes(&state->draw, input[i], len);
    kt_draw_bytes(&state->draw, extra[i], 128);
    *one = (struct one){.key = kt_draw_below(&state->draw, KEYS), .mode = mode, .forward = true};
    *op = (struct kc_lane_op){
        .key = keys[one->key],
        .kind = mode <= WRAP_PAD ? KW_KIND_WRAP : KW_KIND_ENCRYPT,
        .in = kw_span_of(input[i], len),
        .out = {output[i], 0, ROOM},
        .iv = kw_span_of(extra[i], mode == GCM   ? 12
                                   : mode == CBC ? 16
                                                 : 0),
        .aad = kw_span_of(extra[i] + 16, mode == GCM ? kt_draw_below(&state->draw, 100) : 0),
    };
}

/* Makes the way back of it: OpenSSL's output is the input, in one case of four changed. */
static bool turn_around(struct df_state *state, struct one *one, struct kc_lane_op *op, size_t i)
{
    int len = reference(one, op, op->tag);
    if (len < 0) {
        return false;
    }
    memcpy(input[i], want, (size_t)len);
    op->in = kw_span_of(input[i], (size_t)len);
    op->kind = one->mode <= WRAP_PAD ? KW_KIND_UNWRAP : KW_KIND_DECRYPT;
    one->forward = false;
    size_t change = kt_draw_below(&state->draw, 8);
    if (change == 0 && len > 0) {
        input[i][kt_draw_below(&state->draw, (size_t)len)] ^=
            (uint8_t)(1u << kt_draw_below(&state->draw, 8));
    } else if (change == 1 && one->mode == GCM) {
        op->tag[kt_draw_below(&state->draw, 16)] ^= 0x80;
    }
    return true;
}

static bool right(const struct one *one, const struct kc_lane_op *op, const uint8_t *given_tag)
{
    uint8_t tag[KW_GCM_TAG_LEN];
    memcpy(tag, given_tag, sizeof(tag));
    int len = reference(one, op, tag);
    if (len < 0) {
        return op->status == KW_E_CRYPTO && op->out.len == 0;
    }
    return op->status == KW_OK && op->out.len == (size_t)len &&
           memcmp(want, op->out.data, (size_t)len) == 0 &&
           (one->mode != GCM || memcmp(tag, op->tag, sizeof(tag)) == 0);
}

static size_t run(struct df_state *state, struct kc_lane_op *ops, const struct one *ones, size_t n,
                  enum kc_shape shape, const char *what)
{
    struct kc_lane_op *list[DF_BATCH];
    uint8_t tags[DF_BATCH][KW_GCM_TAG_LEN];
    for (size_t i = 0; i < n; i++) {
        list[i] = &ops[i];
        memcpy(tags[i], ops[i].tag, sizeof(tags[i]));
    }
    kc_lanes_run(list, n, shape, state->scratch);
    for (size_t i = 0; i < n; i++) {
        if (!right(&ones[i], &ops[i], tags[i])) {
            df_fail(state, what, ops[i].key, ops[i].in);
        }
    }
    return n;
}

size_t df_aes_wrap(struct df_state *state)
{
    struct kc_lane_op ops[DF_BATCH];
    struct one ones[DF_BATCH];
    size_t n = 1 + kt_draw_below(&state->draw, DF_BATCH);
    for (size_t i = 0; i < n; i++) {
        enum mode mode = kt_draw_below(&state->draw, 2) ? WRAP : WRAP_PAD;
        size_t len = draw_len(state);
        len = mode == WRAP ? 16 + len / 8 * 8 : len + 1;
        start(state, &ones[i], &ops[i], i, mode, len);
        ops[i].alg = mode == WRAP ? KW_ALG_AES_KW : KW_ALG_AES_KWP;
        if (kt_draw_below(&state->draw, 2) && !turn_around(state, &ones[i], &ops[i], i)) {
            df_fail(state, "OpenSSL's wrap", ops[i].key, ops[i].in);
        }
    }
    return run(state, ops, ones, n, KC_SHAPE_AES_KW, "key wrap");
}

size_t df_aes_gcm(struct df_state *state)
{
    struct kc_lane_op ops[DF_BATCH];
    struct one ones[DF_BATCH];
    size_t n = 1 + kt_draw_below(&state->draw, DF_BATCH);
    bool whole = kt_draw_below(&state->draw, 4) == 0; /* of whole groups, without tails */
    for (size_t i = 0; i < n; i++) {
        size_t len = whole ? 512 * (1 + kt_draw_below(&state->draw, 5)) : draw_len(state);
        start(state, &ones[i], &ops[i], i, GCM, len);
        ops[i].alg = (enum kw_alg)(KW_ALG_A128GCM + ones[i].key % 3);
        if (kt_draw_below(&state->draw, 2) && !turn_around(state, &ones[i], &ops[i], i)) {
            df_fail(state, "OpenSSL's GCM", ops[i].key, ops[i].in);
        }
    }
    return run(state, ops, ones, n, KC_SHAPE_AES_GCM, "GCM");
}

size_t df_aes_cbc(struct df_state *state)
{
    struct kc_lane_op ops[DF_BATCH];
    struct one ones[DF_BATCH];
    size_t n = 1 + kt_draw_below(&state->draw, DF_BATCH);
    for (size_t i = 0; i < n; i++) {
        bool pad = kt_draw_below(&state->draw, 2);
        size_t len = draw_len(state);
        start(state, &ones[i], &ops[i], i, CBC, pad ? len : len / 16 * 16);
        ones[i].pad = pad;
        ops[i].alg = (enum kw_alg)((pad ? KW_ALG_A128CBCPAD : KW_ALG_A128CBC) + ones[i].key % 3);
        if (kt_draw_below(&state->draw, 2) && !turn_around(state, &ones[i], &ops[i], i)) {
            df_fail(state, "OpenSSL's CBC", ops[i].key, ops[i].in);
        }
    }
    return run(state, ops, ones, n, KC_SHAPE_AES_CBC, "CBC");
}

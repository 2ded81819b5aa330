/* ECDSA: signatures are random, so OpenSSL verifies what the lanes sign, and the other way round.
 */
#include <string.h>

#include "crypto/keys/key_internal.h"
#include "crypto/lanes/ecdsa_der.h"
#include "tests/unit/crypto/differential/common.h"

#define CURVES 4
#define KEYS   12

static struct kc_key *keys[CURVES][KEYS];
static uint8_t digest[DF_BATCH][64], signature[DF_BATCH][132];

bool df_ec_open(struct df_state *state)
{
    (void)state;
    for (size_t curve = 0; curve < CURVES; curve++) {
        for (size_t i = 0; i < KEYS; i++) {
            if (kc_key_generate(&keys[curve][i], KW_KTY_EC, 0,
                                (enum kw_curve)(KW_CURVE_P256 + curve), 0) != KW_OK) {
                return false;
            }
        }
    }
    return true;
}

void df_ec_close(void)
{
    for (size_t curve = 0; curve < CURVES; curve++) {
        for (size_t i = 0; i < KEYS; i++) {
            kc_key_unref(keys[curve][i]);
            keys[curve][i] = NULL;
        }
    }
}

static bool verifies(const struct kc_lane_op *op, struct kw_span sig)
{
    uint8_t der[KC_ECDSA_DER_MAX];
    size_t len = kc_ecdsa_to_der(der, sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
              EVP_PKEY_verify(ctx, der, len, op->in.data, op->in.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* Edge digests too: 0, all ones (above the group's order). */
static void draw_digest(struct df_state *state, uint8_t *out, size_t len)
{
    kt_draw_bytes(&state->draw, out, len);
    size_t edge = kt_draw_below(&state->draw, 8);
    if (edge < 2) {
        memset(out, edge ? 0xff : 0, len);
    }
}

size_t df_ec_sign(struct df_state *state)
{
    struct kc_lane_op ops[DF_BATCH] = {{0}}, *list[DF_BATCH];
    size_t curve = kt_draw_below(&state->draw, CURVES), n = 1 + kt_draw_below(&state->draw, 18);
    for (size_t i = 0; i < n; i++) {
        enum kw_alg alg = (enum kw_alg)(KW_ALG_ES256 + curve);
        size_t len = kw_alg_info(alg)->digest_len;
        draw_digest(state, digest[i], len);
        ops[i] = (struct kc_lane_op){.key = keys[curve][kt_draw_below(&state->draw, KEYS)],
                                     .kind = KW_KIND_SIGN,
                                     .alg = alg,
                                     .in = kw_span_of(digest[i], len),
                                     .out = {signature[i], 0, sizeof(signature[i])}};
        list[i] = &ops[i];
    }
    kc_lanes_run(list, n, (enum kc_shape)(KC_SHAPE_P256_SIGN + curve), state->scratch);
    for (size_t i = 0; i < n; i++) {
        if (ops[i].status != KW_OK || ops[i].out.len != 2 * ops[i].key->pub.coord_len ||
            !verifies(&ops[i], kw_buf_span(&ops[i].out))) {
            df_fail(state, "ecdsa sign", ops[i].key, ops[i].in);
        }
        ops[i].kind = KW_KIND_VERIFY;
        ops[i].sig = kw_span_of(signature[i], ops[i].out.len);
        if (kt_draw_below(&state->draw, 3) == 0) {
            signature[i][kt_draw_below(&state->draw, ops[i].out.len)] ^= 1;
        }
    }
    kc_lanes_run(list, n, (enum kc_shape)(KC_SHAPE_P256_VERIFY + curve), state->scratch);
    for (size_t i = 0; i < n; i++) {
        if (ops[i].status != KW_OK || ops[i].valid != verifies(&ops[i], ops[i].sig)) {
            df_fail(state, "ecdsa verify", ops[i].key, ops[i].in);
        }
    }
    return 2 * n;
}

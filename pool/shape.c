#include "pool/shape.h"

#include "pool/key.h"

#define RSA_V15_OVERHEAD 11 /* RFC 8017 section 7.2.1: 3 bytes and at least 8 of padding */

static const enum kc_shape rsa_private[] = {KC_SHAPE_RSA2048_PRIVATE, KC_SHAPE_RSA3072_PRIVATE,
                                            KC_SHAPE_RSA4096_PRIVATE};

static kw_status rsa_shape(const struct kw_alg_info *info, const struct kc_lane_op *lane,
                           unsigned bits, enum kc_shape *shape)
{
    if (bits != 2048 && bits != 3072 && bits != 4096) {
        return KW_E_UNSUPPORTED;
    }
    *shape = rsa_private[bits / 1024 - 2];
    size_t bytes = bits / 8;
    switch (lane->kind) {
    case KW_KIND_SIGN:
        if (info->digest_len == 0 && lane->in.len > bytes - RSA_V15_OVERHEAD) {
            return KW_E_INPUT;
        }
        return KW_OK;
    default: /* DECRYPT, UNWRAP: a ciphertext is as long as the modulus (RFC 8017 section 7) */
        return lane->in.len == bytes ? KW_OK : KW_E_INPUT;
    }
}

static kw_status ec_shape(const struct kw_alg_info *info, enum kc_shape *shape)
{
    switch (info->curve) {
    case KW_CURVE_P256:
        *shape = KC_SHAPE_P256_SIGN;
        return KW_OK;
    case KW_CURVE_P384:
        *shape = KC_SHAPE_P384_SIGN;
        return KW_OK;
    case KW_CURVE_P521:
        *shape = KC_SHAPE_P521_SIGN;
        return KW_OK;
    case KW_CURVE_P256K:
        *shape = KC_SHAPE_P256K_SIGN;
        return KW_OK;
    default:
        return KW_E_UNSUPPORTED;
    }
}

static kw_status oct_shape(const struct kw_alg_info *info, const struct kc_lane_op *lane,
                           enum kc_shape *shape)
{
    size_t len = lane->in.len;
    bool forward = lane->kind == KW_KIND_ENCRYPT || lane->kind == KW_KIND_WRAP;
    switch (info->family) {
    case KW_FAMILY_AES_KW: /* RFC 3394: two or more 64-bit blocks, one more when wrapped */
        *shape = KC_SHAPE_AES_KW;
        return len % 8 == 0 && len >= (forward ? 16u : 24u) ? KW_OK : KW_E_INPUT;
    case KW_FAMILY_AES_KWP: /* RFC 5649 */
        *shape = KC_SHAPE_AES_KW;
        return forward ? (len >= 1 ? KW_OK : KW_E_INPUT)
                       : (len % 8 == 0 && len >= 16 ? KW_OK : KW_E_INPUT);
    case KW_FAMILY_AES_GCM:
        *shape = KC_SHAPE_AES_GCM;
        return lane->iv.len == KW_GCM_IV_LEN ? KW_OK : KW_E_INPUT;
    case KW_FAMILY_AES_CBC:
    case KW_FAMILY_AES_CBCPAD:
        *shape = KC_SHAPE_AES_CBC;
        if (lane->iv.len != KW_AES_BLOCK_LEN) {
            return KW_E_INPUT;
        }
        if (info->family == KW_FAMILY_AES_CBC) {
            return len % KW_AES_BLOCK_LEN == 0 ? KW_OK : KW_E_INPUT;
        }
        return forward || (len > 0 && len % KW_AES_BLOCK_LEN == 0) ? KW_OK : KW_E_INPUT;
    case KW_FAMILY_HMAC:
        *shape = KC_SHAPE_HMAC;
        return KW_OK;
    default:
        return KW_E_UNSUPPORTED;
    }
}

/* The rules of kc_lanes_shape for a private-half operation of a key that only members hold. */
static kw_status member_shape(const struct pool_op *op, const struct kw_alg_info *info,
                              enum kc_shape *shape)
{
    const struct kc_lane_op *lane = &op->lane;
    const struct kc_public *pub = pool_key_public(op->key);
    if (!kw_alg_fits(lane->alg, lane->kind, pub->kty, pub->bits, pub->curve)) {
        return KW_E_UNSUPPORTED;
    }
    if (info->digest_len != 0 && lane->in.len != info->digest_len) {
        return KW_E_INPUT;
    }
    if (lane->kind != KW_KIND_VERIFY &&
        lane->out.cap < kw_alg_out_max(lane->alg, lane->kind, pub->bits, lane->in.len)) {
        return KW_E_INPUT;
    }
    switch (info->kty) {
    case KW_KTY_RSA:
        return rsa_shape(info, lane, pub->bits, shape);
    case KW_KTY_EC:
        return ec_shape(info, shape);
    default:
        return oct_shape(info, lane, shape);
    }
}

static kw_status generate_shape(const struct pool_op *op)
{
    if (op->generate.out == NULL) {
        return KW_E_INPUT;
    }
    unsigned bits = op->generate.bits;
    switch (op->generate.kty) {
    case KW_KTY_RSA:
        if (op->generate.exponent != 65537 && op->generate.exponent != 3) {
            return KW_E_UNSUPPORTED;
        }
        return bits == 2048 || bits == 3072 || bits == 4096 ? KW_OK : KW_E_UNSUPPORTED;
    case KW_KTY_EC:
        return kw_curve_bits(op->generate.curve) != 0 ? KW_OK : KW_E_UNSUPPORTED;
    case KW_KTY_OCT:
        return bits == 128 || bits == 192 || bits == 256 ? KW_OK : KW_E_UNSUPPORTED;
    }
    return KW_E_UNSUPPORTED;
}

static bool is_public(enum kw_kind kind, const struct kw_alg_info *info)
{
    return info->kty != KW_KTY_OCT &&
           (kind == KW_KIND_VERIFY || kind == KW_KIND_ENCRYPT || kind == KW_KIND_WRAP);
}

kw_status pool_op_shape(struct pool_op *op, bool *public_op)
{
    *public_op = false;
    op->shape = KC_SHAPE_COUNT;
    if (op->lane.kind == KW_KIND_GENERATE) {
        return generate_shape(op);
    }
    if (op->lane.kind == KW_KIND_RANDOM) {
        return op->lane.out.data != NULL && op->lane.out.cap > 0 ? KW_OK : KW_E_INPUT;
    }
    if (op->key == NULL || (unsigned)op->lane.kind >= KW_KIND_COUNT) {
        return KW_E_INPUT;
    }
    const struct kw_alg_info *info = kw_alg_info(op->lane.alg);
    op->lane.key = pool_key_core(op->key);
    *public_op = is_public(op->lane.kind, info);
    if (op->lane.key != NULL && (*public_op || kc_key_has_private(op->lane.key))) {
        return kc_lanes_shape(&op->lane, &op->shape);
    }
    return member_shape(op, info, &op->shape);
}

uint32_t pool_op_cost_ns(const struct pool_op *op)
{
    if (op->shape != KC_SHAPE_COUNT) {
        return kc_lanes_cost_ns(op->shape);
    }
    if (op->lane.kind == KW_KIND_RANDOM || op->generate.kty == KW_KTY_OCT) {
        return 10000;
    }
    if (op->generate.kty == KW_KTY_EC) {
        return 200000;
    }
    switch (op->generate.bits) { /* a prime search: means of many */
    case 2048:
        return 150000000;
    case 3072:
        return 600000000;
    default:
        return 2000000000;
    }
}

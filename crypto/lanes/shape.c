#include "crypto/keys/key_internal.h"
#include "crypto/lanes/lanes.h"

#define KC_SYMMETRIC_MAX ((size_t)1 << 30) /* lengths are int below */

static enum kc_shape rsa_shape(unsigned bits, bool private)
{
    enum kc_shape base = private ? KC_SHAPE_RSA2048_PRIVATE : KC_SHAPE_RSA2048_PUBLIC;
    return (enum kc_shape)(base + bits / 1024 - 2);
}

static enum kc_shape ec_shape(enum kw_curve curve, bool sign)
{
    enum kc_shape base = sign ? KC_SHAPE_P256_SIGN : KC_SHAPE_P256_VERIFY;
    return (enum kc_shape)(base + curve - KW_CURVE_P256);
}

static bool needs_private(enum kw_kind kind)
{
    return kind == KW_KIND_SIGN || kind == KW_KIND_DECRYPT || kind == KW_KIND_UNWRAP;
}

/* Most bytes that one RSA block can carry. */
static size_t rsa_capacity(const struct kw_alg_info *info, size_t k)
{
    if (info->family == KW_FAMILY_RSA_OAEP) {
        return k - 2 * kw_hash_len(info->hash) - 2;
    }
    return k - 11; /* RSNULL and RSA1_5 */
}

static bool rsa_length_ok(const struct kc_lane_op *op, const struct kw_alg_info *info, size_t k)
{
    switch (op->kind) {
    case KW_KIND_SIGN:
    case KW_KIND_VERIFY:
        return info->digest_len != 0 ? op->in.len == info->digest_len
                                     : op->in.len <= rsa_capacity(info, k);
    case KW_KIND_ENCRYPT:
    case KW_KIND_WRAP:
        return op->in.len <= rsa_capacity(info, k);
    default:
        return op->in.len == k;
    }
}

static bool aes_length_ok(const struct kc_lane_op *op, const struct kw_alg_info *info)
{
    size_t len = op->in.len;
    bool forward = op->kind == KW_KIND_ENCRYPT || op->kind == KW_KIND_WRAP;
    if (len > KC_SYMMETRIC_MAX || op->aad.len > KC_SYMMETRIC_MAX) {
        return false;
    }
    switch (info->family) {
    case KW_FAMILY_AES_KW:
        return len % 8 == 0 && len >= (forward ? 16u : 24u);
    case KW_FAMILY_AES_KWP:
        return forward ? len >= 1 : len % 8 == 0 && len >= 16;
    case KW_FAMILY_AES_GCM:
        return op->iv.len == KW_GCM_IV_LEN;
    case KW_FAMILY_AES_CBC:
        return op->iv.len == KW_AES_BLOCK_LEN && len % KW_AES_BLOCK_LEN == 0;
    case KW_FAMILY_AES_CBCPAD:
        return op->iv.len == KW_AES_BLOCK_LEN &&
               (forward || (len % KW_AES_BLOCK_LEN == 0 && len >= KW_AES_BLOCK_LEN));
    default:
        return true; /* HMAC takes any length */
    }
}

kw_status kc_lanes_shape(const struct kc_lane_op *op, enum kc_shape *shape)
{
    const struct kc_key *key = op->key;
    if (!key) {
        return KW_E_INPUT;
    }
    const struct kc_public *pub = &key->pub;
    if (!kw_alg_fits(op->alg, op->kind, pub->kty, pub->bits, pub->curve)) {
        return KW_E_UNSUPPORTED;
    }
    if (needs_private(op->kind) && !key->has_private) {
        return KW_E_FORBIDDEN;
    }
    const struct kw_alg_info *info = kw_alg_info(op->alg);
    bool length_ok;
    switch (pub->kty) {
    case KW_KTY_RSA:
        length_ok = rsa_length_ok(op, info, pub->bits / 8);
        *shape = rsa_shape(pub->bits, needs_private(op->kind));
        break;
    case KW_KTY_EC:
        length_ok = op->in.len == info->digest_len;
        *shape = ec_shape(pub->curve, op->kind == KW_KIND_SIGN);
        break;
    default:
        length_ok = aes_length_ok(op, info);
        *shape = info->family == KW_FAMILY_HMAC                              ? KC_SHAPE_HMAC
                 : info->family == KW_FAMILY_AES_GCM                         ? KC_SHAPE_AES_GCM
                 : info->key_bits == 0 || (info->kinds & 1u << KW_KIND_WRAP) ? KC_SHAPE_AES_KW
                                                                             : KC_SHAPE_AES_CBC;
        break;
    }
    if (!length_ok || op->out.cap < kw_alg_out_max(op->alg, op->kind, pub->bits, op->in.len)) {
        return KW_E_INPUT;
    }
    return KW_OK;
}

#include "crypto/base/alg.h"

#define BIT(kind)    (1u << (kind))
#define SIGN_VERIFY  (BIT(KW_KIND_SIGN) | BIT(KW_KIND_VERIFY))
#define ENC_DEC      (BIT(KW_KIND_ENCRYPT) | BIT(KW_KIND_DECRYPT))
#define WRAP_UNWRAP  (BIT(KW_KIND_WRAP) | BIT(KW_KIND_UNWRAP))
#define ENC_AND_WRAP (ENC_DEC | WRAP_UNWRAP)

#define RSA_SIG(fam, h, len)                                                                       \
    {                                                                                              \
        .family = (fam), .kty = KW_KTY_RSA, .hash = (h), .digest_len = (len), .kinds = SIGN_VERIFY \
    }
#define ECDSA(crv, h, len)                                                                         \
    {                                                                                              \
        .family = KW_FAMILY_ECDSA, .kty = KW_KTY_EC, .hash = (h), .curve = (crv),                  \
        .digest_len = (len), .kinds = SIGN_VERIFY                                                  \
    }
#define HMAC(h)                                                                                    \
    {                                                                                              \
        .family = KW_FAMILY_HMAC, .kty = KW_KTY_OCT, .hash = (h), .kinds = SIGN_VERIFY             \
    }
#define RSA_ENC(fam, h)                                                                            \
    {                                                                                              \
        .family = (fam), .kty = KW_KTY_RSA, .hash = (h), .kinds = ENC_AND_WRAP                     \
    }
#define AES(fam, bits, k)                                                                          \
    {                                                                                              \
        .family = (fam), .kty = KW_KTY_OCT, .key_bits = (bits), .kinds = (k)                       \
    }

const struct kw_alg_info kw_alg_table[KW_ALG_COUNT] = {
    [KW_ALG_NONE] = {.family = KW_FAMILY_NONE},
    [KW_ALG_RS256] = RSA_SIG(KW_FAMILY_RSA_PKCS1, KW_HASH_SHA256, 32),
    [KW_ALG_RS384] = RSA_SIG(KW_FAMILY_RSA_PKCS1, KW_HASH_SHA384, 48),
    [KW_ALG_RS512] = RSA_SIG(KW_FAMILY_RSA_PKCS1, KW_HASH_SHA512, 64),
    [KW_ALG_PS256] = RSA_SIG(KW_FAMILY_RSA_PSS, KW_HASH_SHA256, 32),
    [KW_ALG_PS384] = RSA_SIG(KW_FAMILY_RSA_PSS, KW_HASH_SHA384, 48),
    [KW_ALG_PS512] = RSA_SIG(KW_FAMILY_RSA_PSS, KW_HASH_SHA512, 64),
    [KW_ALG_RSNULL] = RSA_SIG(KW_FAMILY_RSA_PKCS1, KW_HASH_NONE, 0),
    [KW_ALG_ES256] = ECDSA(KW_CURVE_P256, KW_HASH_SHA256, 32),
    [KW_ALG_ES384] = ECDSA(KW_CURVE_P384, KW_HASH_SHA384, 48),
    [KW_ALG_ES512] = ECDSA(KW_CURVE_P521, KW_HASH_SHA512, 64),
    [KW_ALG_ES256K] = ECDSA(KW_CURVE_P256K, KW_HASH_SHA256, 32),
    [KW_ALG_HS256] = HMAC(KW_HASH_SHA256),
    [KW_ALG_HS384] = HMAC(KW_HASH_SHA384),
    [KW_ALG_HS512] = HMAC(KW_HASH_SHA512),
    [KW_ALG_RSA1_5] = RSA_ENC(KW_FAMILY_RSA_V15, KW_HASH_NONE),
    [KW_ALG_RSA_OAEP] = RSA_ENC(KW_FAMILY_RSA_OAEP, KW_HASH_SHA1),
    [KW_ALG_RSA_OAEP_256] = RSA_ENC(KW_FAMILY_RSA_OAEP, KW_HASH_SHA256),
    [KW_ALG_A128KW] = AES(KW_FAMILY_AES_KW, 128, WRAP_UNWRAP),
    [KW_ALG_A192KW] = AES(KW_FAMILY_AES_KW, 192, WRAP_UNWRAP),
    [KW_ALG_A256KW] = AES(KW_FAMILY_AES_KW, 256, WRAP_UNWRAP),
    [KW_ALG_AES_KW] = AES(KW_FAMILY_AES_KW, 0, WRAP_UNWRAP),
    [KW_ALG_AES_KWP] = AES(KW_FAMILY_AES_KWP, 0, WRAP_UNWRAP),
    [KW_ALG_A128GCM] = AES(KW_FAMILY_AES_GCM, 128, ENC_DEC),
    [KW_ALG_A192GCM] = AES(KW_FAMILY_AES_GCM, 192, ENC_DEC),
    [KW_ALG_A256GCM] = AES(KW_FAMILY_AES_GCM, 256, ENC_DEC),
    [KW_ALG_A128CBC] = AES(KW_FAMILY_AES_CBC, 128, ENC_DEC),
    [KW_ALG_A192CBC] = AES(KW_FAMILY_AES_CBC, 192, ENC_DEC),
    [KW_ALG_A256CBC] = AES(KW_FAMILY_AES_CBC, 256, ENC_DEC),
    [KW_ALG_A128CBCPAD] = AES(KW_FAMILY_AES_CBCPAD, 128, ENC_DEC),
    [KW_ALG_A192CBCPAD] = AES(KW_FAMILY_AES_CBCPAD, 192, ENC_DEC),
    [KW_ALG_A256CBCPAD] = AES(KW_FAMILY_AES_CBCPAD, 256, ENC_DEC),
};

bool kw_alg_fits(enum kw_alg alg, enum kw_kind kind, enum kw_kty kty, unsigned bits,
                 enum kw_curve curve)
{
    const struct kw_alg_info *info = kw_alg_info(alg);
    if ((unsigned)kind >= KW_KIND_COUNT || (info->kinds & BIT(kind)) == 0 || info->kty != kty) {
        return false;
    }
    switch (kty) {
    case KW_KTY_RSA:
        return bits == 2048 || bits == 3072 || bits == 4096;
    case KW_KTY_EC:
        return info->curve == curve;
    case KW_KTY_OCT:
        return (bits == 128 || bits == 192 || bits == 256) &&
               (info->key_bits == 0 || info->key_bits == bits);
    }
    return false;
}

size_t kw_alg_out_max(enum kw_alg alg, enum kw_kind kind, unsigned bits, size_t in_len)
{
    const struct kw_alg_info *info = kw_alg_info(alg);
    if ((unsigned)kind >= KW_KIND_COUNT || (info->kinds & BIT(kind)) == 0 ||
        kind == KW_KIND_VERIFY) {
        return 0;
    }
    bool forward = kind == KW_KIND_ENCRYPT || kind == KW_KIND_WRAP;
    if (in_len > SIZE_MAX - 2 * KW_AES_BLOCK_LEN) {
        return SIZE_MAX;
    }
    switch (info->family) {
    case KW_FAMILY_RSA_PKCS1:
    case KW_FAMILY_RSA_PSS:
    case KW_FAMILY_RSA_V15:
    case KW_FAMILY_RSA_OAEP:
        /* also for decryption: the decoder always writes the whole block, in constant time */
        return bits / 8;
    case KW_FAMILY_ECDSA:
        return 2 * kw_curve_bytes(info->curve);
    case KW_FAMILY_HMAC:
        return kw_hash_len(info->hash);
    case KW_FAMILY_AES_KW:
        return forward ? in_len + 8 : (in_len > 8 ? in_len - 8 : 0);
    case KW_FAMILY_AES_KWP:
        return forward ? ((in_len + 7) & ~(size_t)7) + 8 : (in_len > 8 ? in_len - 8 : 0);
    case KW_FAMILY_AES_GCM:
    case KW_FAMILY_AES_CBC:
        return in_len;
    case KW_FAMILY_AES_CBCPAD:
        return forward ? (in_len / KW_AES_BLOCK_LEN + 1) * KW_AES_BLOCK_LEN : in_len;
    case KW_FAMILY_NONE:
        break;
    }
    return 0;
}

unsigned kw_curve_bits(enum kw_curve curve)
{
    switch (curve) {
    case KW_CURVE_P256:
    case KW_CURVE_P256K:
        return 256;
    case KW_CURVE_P384:
        return 384;
    case KW_CURVE_P521:
        return 521;
    case KW_CURVE_NONE:
        break;
    }
    return 0;
}

size_t kw_curve_bytes(enum kw_curve curve)
{
    return (kw_curve_bits(curve) + 7) / 8;
}

size_t kw_hash_len(enum kw_hash hash)
{
    switch (hash) {
    case KW_HASH_SHA1:
        return 20;
    case KW_HASH_SHA256:
        return 32;
    case KW_HASH_SHA384:
        return 48;
    case KW_HASH_SHA512:
        return 64;
    case KW_HASH_NONE:
        break;
    }
    return 0;
}

const char *kw_kind_name(enum kw_kind kind)
{
    static const char *const names[KW_KIND_COUNT] = {
        [KW_KIND_SIGN] = "sign",         [KW_KIND_VERIFY] = "verify", [KW_KIND_ENCRYPT] = "encrypt",
        [KW_KIND_DECRYPT] = "decrypt",   [KW_KIND_WRAP] = "wrap",     [KW_KIND_UNWRAP] = "unwrap",
        [KW_KIND_GENERATE] = "generate", [KW_KIND_RANDOM] = "random",
    };
    return (unsigned)kind < KW_KIND_COUNT ? names[kind] : "unknown";
}

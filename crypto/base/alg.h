#pragma once
/* What can be done, with which algorithm, on which key. The vocabulary of all three layers.
 * Names for humans (JOSE names) are in gateway/api; facts about the algorithms are here. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kw_kind {
    KW_KIND_SIGN,
    KW_KIND_VERIFY,
    KW_KIND_ENCRYPT,
    KW_KIND_DECRYPT,
    KW_KIND_WRAP,
    KW_KIND_UNWRAP,
    KW_KIND_GENERATE, /* make a key inside a member; has a side effect: never retried blindly */
    KW_KIND_RANDOM,   /* bytes from a member's generator */
    KW_KIND_COUNT
};

enum kw_kty { KW_KTY_RSA, KW_KTY_EC, KW_KTY_OCT };

enum kw_curve { KW_CURVE_NONE, KW_CURVE_P256, KW_CURVE_P384, KW_CURVE_P521, KW_CURVE_P256K };

enum kw_alg {
    KW_ALG_NONE,
    /* sign, verify; input is the digest (RFC 7518 section 3; RSNULL: raw PKCS#1 v1.5 type 1) */
    KW_ALG_RS256,
    KW_ALG_RS384,
    KW_ALG_RS512,
    KW_ALG_PS256,
    KW_ALG_PS384,
    KW_ALG_PS512,
    KW_ALG_RSNULL,
    KW_ALG_ES256,
    KW_ALG_ES384,
    KW_ALG_ES512,
    KW_ALG_ES256K,
    KW_ALG_HS256, /* input is the bytes to authenticate */
    KW_ALG_HS384,
    KW_ALG_HS512,
    /* encrypt, decrypt, wrap, unwrap */
    KW_ALG_RSA1_5,
    KW_ALG_RSA_OAEP,     /* SHA-1, MGF1-SHA-1, no label */
    KW_ALG_RSA_OAEP_256, /* SHA-256, MGF1-SHA-256, no label */
    /* wrap, unwrap: RFC 3394 with the default IV; the size of the key must match the name */
    KW_ALG_A128KW,
    KW_ALG_A192KW,
    KW_ALG_A256KW,
    KW_ALG_AES_KW,  /* RFC 3394, any key size */
    KW_ALG_AES_KWP, /* RFC 5649, any key size */
    /* encrypt, decrypt */
    KW_ALG_A128GCM,
    KW_ALG_A192GCM,
    KW_ALG_A256GCM,
    KW_ALG_A128CBC, /* no padding: whole blocks */
    KW_ALG_A192CBC,
    KW_ALG_A256CBC,
    KW_ALG_A128CBCPAD, /* PKCS#7 */
    KW_ALG_A192CBCPAD,
    KW_ALG_A256CBCPAD,
    KW_ALG_COUNT
};

/** The sort of work an algorithm is; one row of a switch instead of thirty. */
enum kw_family {
    KW_FAMILY_NONE,
    KW_FAMILY_RSA_PKCS1, /* RS*, RSNULL */
    KW_FAMILY_RSA_PSS,
    KW_FAMILY_ECDSA,
    KW_FAMILY_HMAC,
    KW_FAMILY_RSA_V15, /* RSA1_5 encryption */
    KW_FAMILY_RSA_OAEP,
    KW_FAMILY_AES_KW,
    KW_FAMILY_AES_KWP,
    KW_FAMILY_AES_GCM,
    KW_FAMILY_AES_CBC,
    KW_FAMILY_AES_CBCPAD
};

enum kw_hash { KW_HASH_NONE, KW_HASH_SHA1, KW_HASH_SHA256, KW_HASH_SHA384, KW_HASH_SHA512 };

struct kw_alg_info {
    enum kw_family family;
    enum kw_kty kty;
    enum kw_hash hash;   /* of the digest, MGF1 or HMAC; NONE where there is none */
    enum kw_curve curve; /* ECDSA only */
    uint16_t key_bits;   /* AES: required key size, 0 = any; else 0 */
    uint16_t digest_len; /* exact length of sign/verify input in bytes, 0 = not fixed */
    uint16_t kinds;      /* bit (1 << enum kw_kind) for each kind it serves */
};

/** One row for each algorithm; read through kw_alg_info. */
extern const struct kw_alg_info kw_alg_table[KW_ALG_COUNT];

/** Facts of `alg`; for an unknown value the row of KW_ALG_NONE. Static storage; any thread. Inline:
 *  it is asked several times for each operation of 60 ns. */
static inline const struct kw_alg_info *kw_alg_info(enum kw_alg alg)
{
    return &kw_alg_table[(unsigned)alg < KW_ALG_COUNT ? (unsigned)alg : KW_ALG_NONE];
}

/** True when `alg` serves `kind` on a key of this type, size in bits and curve. */
bool kw_alg_fits(enum kw_alg alg, enum kw_kind kind, enum kw_kty kty, unsigned bits,
                 enum kw_curve curve);

/** Upper bound of the output in bytes for an input of `in_len`, on a key of `bits`. */
size_t kw_alg_out_max(enum kw_alg alg, enum kw_kind kind, unsigned bits, size_t in_len);

/** Size in bits of a curve's field: 256, 384, 521, 256; 0 for NONE. */
unsigned kw_curve_bits(enum kw_curve curve);

/** Bytes of one coordinate (or of r, or s) of a curve: 32, 48, 66, 32; 0 for NONE. */
size_t kw_curve_bytes(enum kw_curve curve);

/** Bytes of a hash's output, 0 for NONE. */
size_t kw_hash_len(enum kw_hash hash);

const char *kw_kind_name(enum kw_kind kind); /* "sign", ...: metrics labels */

#define KW_KEY_ID_LEN    16
#define KW_RSA_MAX_BYTES 512
#define KW_GCM_IV_LEN    12
#define KW_GCM_TAG_LEN   16
#define KW_AES_BLOCK_LEN 16
#define KW_RNG_MAX       128

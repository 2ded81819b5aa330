#pragma once
/* A key as the core sees it: parsed once, then immutable and shared by every thread that uses it.
 * A public half is always there for RSA and EC; a private half only where the core may hold it. */

#include "crypto/base/alg.h"
#include "crypto/base/secret.h"

struct kc_key;

/** Public description of a key, big-endian, minimal length for n and e, field width for x and y. */
struct kc_public {
    enum kw_kty kty;
    enum kw_curve curve;
    unsigned bits; /* modulus bits, field bits, or bits of an AES key */
    uint8_t n[KW_RSA_MAX_BYTES];
    size_t n_len;
    uint8_t e[8];
    size_t e_len;
    uint8_t x[66], y[66];
    size_t coord_len;
};

/** Private parts given to an import, big-endian; lengths are in the spans. Unused ones are empty.
 */
struct kc_private_parts {
    struct kw_span n, e, d, p, q, dp, dq, qi; /* RSA: p..qi may be empty, then they are recovered */
    struct kw_span x, y, ec_d;                /* EC */
    struct kw_span k;                         /* oct */
};

/** Makes a public-only key (RSA or EC) and checks it: sizes 2048/3072/4096 bits, odd e with
 *  3 <= e < 2^64, point on curve. KW_E_INPUT when it is not one. The caller owns `out`
 * (kc_key_unref). */
KW_MUST_CHECK kw_status kc_key_from_public(struct kc_key **out, const struct kc_public *pub);

/** Generates a key. RSA: bits 2048/3072/4096, exponent 65537 or 3; EC: curve; oct: bits
 * 128/192/256. Blocks for up to seconds (RSA-4096): never call it on an event loop. */
KW_MUST_CHECK kw_status kc_key_generate(struct kc_key **out, enum kw_kty kty, unsigned bits,
                                        enum kw_curve curve, uint32_t exponent);

/** Makes a key from JWK members and checks that the parts belong together (RFC 7517, FIPS 186-5
 *  key-pair consistency). KW_E_INPUT when they do not; KW_E_UNSUPPORTED for sizes not offered. */
KW_MUST_CHECK kw_status kc_key_import(struct kc_key **out, enum kw_kty kty, enum kw_curve curve,
                                      const struct kc_private_parts *parts);

/** Private key from PKCS#8 DER (RSA, EC) or raw bytes (oct); trailing zero bytes after the DER are
 *  tolerated (some tokens pad a wrapped key). */
KW_MUST_CHECK kw_status kc_key_from_private(struct kc_key **out, enum kw_kty kty,
                                            enum kw_curve curve, struct kw_span bytes);

/** PKCS#8 DER (RSA, EC) or raw bytes (oct) of the private half, as a new secret.
 *  KW_E_FORBIDDEN when there is none. */
KW_MUST_CHECK kw_status kc_key_to_private(struct kw_secret *out, const struct kc_key *key);

struct kc_key *kc_key_ref(struct kc_key *key);
/** Drops a reference; the last one wipes and frees. NULL is allowed. Any thread. */
void kc_key_unref(struct kc_key *key);

/** Borrowed until the key is freed. For oct only kty and bits are set. */
const struct kc_public *kc_key_public(const struct kc_key *key);
bool kc_key_has_private(const struct kc_key *key);

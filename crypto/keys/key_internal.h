#pragma once
/* The inside of a key, for crypto/keys and the kernels of crypto/lanes, crypto/rsa and crypto/aes
 * only. Everything here is written while the key is made and read-only after. */

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#include "crypto/keys/key.h"

/** Private half of an RSA key, in secret memory. Big-endian, left-padded: n and d to bits / 8
 * bytes, p, q, dp, dq, qi to bits / 16 bytes, each from the start of its array. p may be smaller
 * than q. qi = q^-1 mod p. Where p and q do not both have exactly bits / 2 bits, these five are all
 * zero: such a key has no lanes, OpenSSL's contexts serve it. */
struct kc_rsa_private {
    uint8_t n[KW_RSA_MAX_BYTES], d[KW_RSA_MAX_BYTES];
    uint8_t p[KW_RSA_MAX_BYTES / 2], q[KW_RSA_MAX_BYTES / 2];
    uint8_t dp[KW_RSA_MAX_BYTES / 2], dq[KW_RSA_MAX_BYTES / 2], qi[KW_RSA_MAX_BYTES / 2];
};

/** OpenSSL contexts of an oct key, keyed once. Never used themselves: copied into a scratch. */
struct kc_oct_contexts {
    EVP_CIPHER_CTX *ecb_enc, *ecb_dec, *cbc_enc, *cbc_dec, *gcm;
    /* HMAC (FIPS 198-1): hash states after the inner and the outer pad; SHA-256, 384, 512 */
    EVP_MD_CTX *inner[3], *outer[3];
};

/** Places where a kernel hangs what it prepares per key (digits, k0, R^2, key schedules). */
enum kc_key_slot { KC_KEY_SLOT_RSA, KC_KEY_SLOT_AES, KC_KEY_SLOT_EC, KC_KEY_SLOT_COUNT };

/** How a slot is filled: `build` runs at the end of making each key, before anyone else sees it. It
 *  leaves *out NULL for keys that do not concern it; an error fails the key. `destroy` wipes. */
struct kc_key_extension {
    kw_status (*build)(void **out, const struct kc_key *key);
    void (*destroy)(void *prepared);
};

/** Registers (or with NULL removes) an extension. Before threads start. Keys that exist already
 * have an empty slot: a kernel that meets one falls back to the OpenSSL path. */
void kc_key_extend(enum kc_key_slot slot, const struct kc_key_extension *extension);

struct kc_key {
    _Atomic unsigned refs;
    uint64_t serial; /* unique in the process: a cache key that is never reused */
    bool has_private;
    struct kc_public pub;

    /* secret memory; NULL where there is none */
    struct kc_rsa_private *rsa;
    uint8_t *ec_d; /* field width, big-endian */
    uint8_t *oct;  /* bits / 8 bytes */

    /* OpenSSL's view. The contexts are initialised once and duplicated per operation, which takes
     * no lock and no fetch; the originals are never used themselves. */
    EVP_PKEY *pkey;
    EVP_PKEY_CTX *public_ctx;  /* RSA: raw encrypt; EC: verify */
    EVP_PKEY_CTX *private_ctx; /* RSA: raw decrypt, CRT, blinded; EC: sign */
    struct kc_oct_contexts contexts;

    struct {
        void *prepared;
        void (*destroy)(void *prepared);
    } slots[KC_KEY_SLOT_COUNT];
};

/* --- making keys; shared by the files of crypto/keys --- */

/** How far the parts of a private key are looked at. */
enum kc_key_care {
    KC_KEY_STORED,  /* from a sealed blob or a generator: arithmetic relations only */
    KC_KEY_FOREIGN, /* from a caller: primality and a trial operation too */
};

/** RSA numbers while a key is made; NULL where unknown. Owned; kc_rsa_numbers_clear wipes. */
struct kc_rsa_numbers {
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qi;
};
void kc_rsa_numbers_clear(struct kc_rsa_numbers *numbers);

/** Fresh key with one reference, or NULL. */
struct kc_key *kc_key_alloc(enum kw_kty kty, unsigned bits, enum kw_curve curve);
/** Last step of every maker: fills the slots. On failure drops the key and leaves *out NULL. */
kw_status kc_key_finish(struct kc_key **out, struct kc_key *key);

kw_status kc_rsa_public_make(struct kc_key **out, const struct kc_public *pub);
/** Completes, checks and builds. Fills missing parts in `numbers`. */
kw_status kc_rsa_private_make(struct kc_key **out, struct kc_rsa_numbers *numbers,
                              enum kc_key_care care);
/** Finds p and q of n from e and d (SP 800-56B rev. 2 appendix C.1). KW_E_INPUT when they do not
 *  belong together. */
kw_status kc_rsa_recover_primes(struct kc_rsa_numbers *numbers);
/** An EVP_PKEY without CRT parts, for the second path of a faulty result. NULL on failure. */
EVP_PKEY *kc_rsa_plain_pkey(const struct kc_key *key);

kw_status kc_ec_public_make(struct kc_key **out, const struct kc_public *pub);
/** x, y and d in any length; they are padded or stripped of leading zeros. */
kw_status kc_ec_private_make(struct kc_key **out, enum kw_curve curve, struct kw_span x,
                             struct kw_span y, struct kw_span d);
const char *kc_ec_group_name(enum kw_curve curve);

kw_status kc_oct_make(struct kc_key **out, struct kw_span k);
void kc_oct_contexts_clear(struct kc_oct_contexts *contexts);

#pragma once
/* The security domain: one 256-bit key from which every other key derives (HKDF-SHA-256, RFC 5869,
 * one label per purpose). What it seals: records of the store, private halves of software keys,
 * and, as the member wrapping key, private halves of HSM keys on their way between members. */

#include "crypto/keys/key.h"

#define KC_DOMAIN_KEY_LEN   32
#define KC_DOMAIN_CHECK_LEN 8

struct kc_domain;

/** A new domain with a random key. The caller owns `out`. */
KW_MUST_CHECK kw_status kc_domain_create(struct kc_domain **out);

/** A domain from its 32-byte key; KW_E_INPUT for another length. */
KW_MUST_CHECK kw_status kc_domain_open(struct kc_domain **out, struct kw_span key);

/** The domain key itself, as a new secret: for the key file and the shares, nothing else. */
KW_MUST_CHECK kw_status kc_domain_key(const struct kc_domain *domain, struct kw_secret *out);

/** Wipes and frees. NULL is allowed. No other thread may still use it. */
void kc_domain_destroy(struct kc_domain *domain);

/** Public check value: equal in two places exactly when the domain is. 16 hex characters. */
void kc_domain_check(const struct kc_domain *domain, char out[2 * KC_DOMAIN_CHECK_LEN + 1]);

/** The AES-256 member wrapping key, as a new secret: goes into each member at start. */
KW_MUST_CHECK kw_status kc_domain_member_key(const struct kc_domain *domain, struct kw_secret *out);

/** Bytes that sealing adds to a record. */
#define KC_SEAL_OVERHEAD 44

/** Seals a record: AES-256-GCM under a key derived from the store key and a random 16-byte salt;
 *  `aad` binds it to its place (vault, name, version). `out->cap` must be at least
 *  plain.len + KC_SEAL_OVERHEAD. Any thread. */
KW_MUST_CHECK kw_status kc_seal(const struct kc_domain *domain, struct kw_span aad,
                                struct kw_span plain, struct kw_buf *out);

/** Opens what kc_seal made: KW_E_INTEGRITY when one byte of it, of the aad, or the domain differs.
 *  `out->cap` must be at least sealed.len - KC_SEAL_OVERHEAD. */
KW_MUST_CHECK kw_status kc_open(const struct kc_domain *domain, struct kw_span aad,
                                struct kw_span sealed, struct kw_buf *out);

/* Key blobs: a private half wrapped under the domain.
 *   byte 0      format, 1
 *   byte 1      enum kc_blob_kind
 *   byte 2      enum kw_kty      byte 3  enum kw_curve
 *   bytes 4..   SOFTWARE: kc_seal of PKCS#8 or raw bytes, aad = the key id
 *               MEMBER_KWP: PKCS#8 zero-padded to a multiple of 8, wrapped under the member
 * wrapping key per RFC 5649 (CKM_AES_KEY_WRAP_PAD) MEMBER_KW: raw bytes of an AES key wrapped per
 * RFC 3394 (CKM_AES_KEY_WRAP) */
enum kc_blob_kind { KC_BLOB_SOFTWARE = 1, KC_BLOB_MEMBER_KWP = 2, KC_BLOB_MEMBER_KW = 3 };

#define KC_BLOB_HEADER 4
#define KC_BLOB_MAX    4096

/** Wraps the private half of `key` into a blob of the kind its use asks for: SOFTWARE when
 *  `for_member` is false, else the MEMBER kind of its type (import into a group). */
KW_MUST_CHECK kw_status kc_blob_wrap(const struct kc_domain *domain,
                                     const uint8_t key_id[KW_KEY_ID_LEN], const struct kc_key *key,
                                     bool for_member, struct kw_buf *out);

/** Opens a blob to a key that the core can use. `allow_member` must be true for a MEMBER blob to be
 *  opened (KW_E_FORBIDDEN otherwise): the core holds an HSM key only where the config says so. */
KW_MUST_CHECK kw_status kc_blob_open(const struct kc_domain *domain,
                                     const uint8_t key_id[KW_KEY_ID_LEN], struct kw_span blob,
                                     bool allow_member, struct kc_key **out);

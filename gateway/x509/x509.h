#pragma once
/* Certificates and certificate requests: built, taken apart, carried in PEM and PKCS#12 (RFC 5280,
 * RFC 2986, RFC 7468, RFC 7292). OpenSSL does the encoding; signatures come from outside, because
 * the key may live in an HSM: a draft gives the digest to sign, and takes the signature.
 *
 * Any thread. Nothing is left in the thread's OpenSSL error queue. */

#include "crypto/base/alg.h"
#include "crypto/keys/key.h"
#include "gateway/base/arena.h"

/* --- what a certificate is to say --- */

enum gw_x509_san_kind {
    GW_X509_SAN_EMAIL,
    GW_X509_SAN_DNS,
    GW_X509_SAN_UPN, /* otherName 1.3.6.1.4.1.311.20.2.3, a UTF8String */
    GW_X509_SAN_URI,
    GW_X509_SAN_IP /* "192.0.2.1" or "2001:db8::1" */
};

struct gw_x509_san {
    enum gw_x509_san_kind kind;
    const char *text;
};

#define GW_X509_SANS_MAX   256
#define GW_X509_EKUS_MAX   32
#define GW_X509_USAGES     9    /* bits of KeyUsage: 0 digitalSignature .. 8 decipherOnly */
#define GW_X509_TEXT_MAX   1024 /* bytes of one name */
#define GW_X509_MONTHS_MAX 1200

/** Borrowed strings. */
struct gw_x509_profile {
    const char
        *subject; /* as RFC 4514 writes it; NULL or "": none, then a name must be in `sans` */
    const struct gw_x509_san *sans;
    size_t san_count;
    const char *const *ekus; /* dotted object identifiers */
    size_t eku_count;
    uint16_t usage; /* bit (1 << n) for bit n of KeyUsage; 0: no extension */
    bool ca;
    int path_len; /* of a CA; -1: no limit */
};

/** KW_E_INPUT with a sentence in `why` (static) for what cannot be put into a certificate. */
KW_MUST_CHECK kw_status gw_x509_profile_check(const struct gw_x509_profile *profile,
                                              const char **why);

/* --- drafts: encoded, not yet signed --- */

struct gw_x509_draft {
    enum kw_alg alg; /* how to sign `digest` */
    uint8_t digest[64];
    size_t digest_len;
    uint8_t *tbs; /* malloc'd */
    size_t tbs_len;
};

/** A PKCS#10 request (RFC 2986) for the key `pub`, with the profile's extensions. */
KW_MUST_CHECK kw_status gw_x509_draft_request(struct gw_x509_draft *out,
                                              const struct gw_x509_profile *profile,
                                              const struct kc_public *pub);

/** A certificate for `pub` that is its own issuer, valid from and to these wall seconds, with a
 *  random serial number. */
KW_MUST_CHECK kw_status gw_x509_draft_self_signed(struct gw_x509_draft *out,
                                                  const struct gw_x509_profile *profile,
                                                  const struct kc_public *pub, int64_t not_before,
                                                  int64_t not_after);

/** Puts draft and signature together; `signature` as the pool gives it (ECDSA: r then s). `*der` is
 *  malloc'd. */
KW_MUST_CHECK kw_status gw_x509_draft_finish(const struct gw_x509_draft *draft,
                                             struct kw_span signature, uint8_t **der, size_t *len);
void gw_x509_draft_clear(struct gw_x509_draft *draft);

/** The algorithm a key signs its certificate with: SHA-256 for RSA, P-256 and P-256K; SHA-384 for
 *  P-384; SHA-512 for P-521. KW_ALG_NONE for oct. */
enum kw_alg gw_x509_alg(const struct kc_public *pub);

/** `months` later by the calendar (UTC); a day that the month does not have becomes its last. */
int64_t gw_x509_add_months(int64_t wall_s, unsigned months);

/* --- what a certificate says --- */

struct gw_x509_info {
    int64_t not_before, not_after; /* wall seconds */
    struct kc_public pub;
};

#define GW_X509_CERT_MAX   32768 /* bytes of one certificate */
#define GW_X509_THUMBPRINT 20

/** One DER certificate and nothing behind it. KW_E_INPUT: none, or larger than GW_X509_CERT_MAX;
 *  KW_E_UNSUPPORTED: its key is of a kind or size that is not offered. */
KW_MUST_CHECK kw_status gw_x509_read(struct gw_x509_info *out, struct kw_span der);

/** The profile that a certificate was made from; strings in the arena. */
KW_MUST_CHECK kw_status gw_x509_describe(struct gw_x509_profile *out, struct gw_arena *arena,
                                         struct kw_span der);

/** The subject as text into `out`, cut at its room; "" when there is none. */
void gw_x509_subject(char *out, size_t room, struct kw_span der);

/** SHA-1 of the encoding: what x5t is. */
KW_MUST_CHECK kw_status gw_x509_thumbprint(uint8_t out[GW_X509_THUMBPRINT], struct kw_span der);

/** Public halves are the same key. */
bool gw_x509_same_key(const struct kc_public *a, const struct kc_public *b);

/* --- a certificate with its key and its chain --- */

#define GW_X509_CHAIN_MAX 16

struct gw_x509_bytes {
    uint8_t *data; /* malloc'd */
    size_t len;
};

struct gw_x509_bundle {
    struct kc_key *key;                            /* one reference; NULL: no private half */
    struct gw_x509_bytes certs[GW_X509_CHAIN_MAX]; /* the leaf first */
    size_t count;
};

void gw_x509_bundle_clear(struct gw_x509_bundle *bundle);

/** Reads a private key and certificates from PEM: PKCS#8 (plain or encrypted), PKCS#1 and SEC 1
 *  keys. The leaf is the certificate of the key; the others follow as issuers of each other, or
 * with `keep_order` as they stand. KW_E_INPUT, KW_E_UNSUPPORTED with a sentence in `why` (static).
 * Takes up to seconds (key derivation, primality): not on an event loop. */
KW_MUST_CHECK kw_status gw_x509_from_pem(struct gw_x509_bundle *out, struct kw_span text,
                                         const char *password, bool keep_order, const char **why);
/** The same from PKCS#12 DER. Key derivations of more than 2 million rounds in all are refused. */
KW_MUST_CHECK kw_status gw_x509_from_pkcs12(struct gw_x509_bundle *out, struct kw_span der,
                                            const char *password, bool keep_order,
                                            const char **why);

/** PEM: the key (PKCS#8; left out when NULL), then the certificates. */
KW_MUST_CHECK kw_status gw_x509_to_pem(struct kw_secret *out, const struct kc_key *key,
                                       const struct gw_x509_bytes *certs, size_t count);
/** PEM of what gw_x509_to_pkcs12 made: its key where it has one, then its certificates in their
 *  order. KW_E_INPUT for what it did not make. Derives keys: not on an event loop. */
KW_MUST_CHECK kw_status gw_x509_pkcs12_to_pem(struct kw_secret *out, struct kw_span der);
/** PKCS#12 DER under the empty password (AES-256-CBC, PBKDF2 and MAC with SHA-256). */
KW_MUST_CHECK kw_status gw_x509_to_pkcs12(struct kw_secret *out, const struct kc_key *key,
                                          const struct gw_x509_bytes *certs, size_t count);

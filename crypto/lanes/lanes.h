#pragma once
/* The lane interface: many operations in, results and statuses out. The pool's core member, the
 * result check, the benchmarks and the tests all come through here.
 *
 * No threads, no I/O, no globals but the dispatch table; after kc_lanes_init nothing here changes
 * shared state. Operations of different keys and different requests share a batch, one per lane;
 * only the shape must match for a multi-buffer kernel to take them together. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"
#include "crypto/keys/key.h"

/** Which kernel an operation needs. Operations of one shape can share a batch. */
enum kc_shape {
    KC_SHAPE_RSA2048_PRIVATE,
    KC_SHAPE_RSA3072_PRIVATE,
    KC_SHAPE_RSA4096_PRIVATE,
    KC_SHAPE_RSA2048_PUBLIC,
    KC_SHAPE_RSA3072_PUBLIC,
    KC_SHAPE_RSA4096_PUBLIC,
    KC_SHAPE_P256_SIGN,
    KC_SHAPE_P384_SIGN,
    KC_SHAPE_P521_SIGN,
    KC_SHAPE_P256K_SIGN,
    KC_SHAPE_P256_VERIFY,
    KC_SHAPE_P384_VERIFY,
    KC_SHAPE_P521_VERIFY,
    KC_SHAPE_P256K_VERIFY,
    KC_SHAPE_AES_KW, /* wrap and unwrap, RFC 3394 and 5649 */
    KC_SHAPE_AES_GCM,
    KC_SHAPE_AES_CBC,
    KC_SHAPE_HMAC,
    KC_SHAPE_COUNT
};

/** One operation. The caller owns every buffer and keeps it alive until kc_lanes_run returns.
 *
 *  kind      in                 sig        out                 iv / aad / tag
 *  SIGN      digest or bytes    -          signature           -
 *  VERIFY    digest or bytes    signature  - (see `valid`)     -
 *  ENCRYPT   plaintext          -          ciphertext          iv in; aad in; `tag` written (GCM)
 *  DECRYPT   ciphertext         -          plaintext           iv, aad, tag in
 *  WRAP      key bytes          -          wrapped             -
 *  UNWRAP    wrapped            -          key bytes           -
 *
 *  ECDSA signatures are r then s, fixed width, big-endian (RFC 7518 section 3.4).
 *  GCM: iv 12 bytes, tag 16 bytes (NIST SP 800-38D). The caller makes the iv. */
struct kc_lane_op {
    const struct kc_key *key; /* borrowed */
    enum kw_kind kind;
    enum kw_alg alg;
    struct kw_span in;
    struct kw_span sig;
    struct kw_span iv;
    struct kw_span aad;
    uint8_t tag[KW_GCM_TAG_LEN]; /* read on decrypt, written on encrypt */
    struct kw_buf out;           /* room of at least kw_alg_out_max; `len` is set on success */
    bool valid; /* VERIFY: the verdict; KW_OK with valid=false is a wrong signature */
    kw_status status;
};

/** Reads the CPU once and picks kernels; KEYWARD_CPU=openssl|avx2|avx512 in the environment forces
 *  a lower path. Call once before threads start. KW_E_INTERNAL when a self-test fails. */
KW_MUST_CHECK kw_status kc_lanes_init(void);

/** Name of the kernel that serves a shape now, e.g. "rsa2048-private avx512ifma x8", "openssl". */
const char *kc_lanes_kernel(enum kc_shape shape);

/** Checks algorithm, key and lengths; the shape on success.
 *  KW_E_INPUT: bad length. KW_E_UNSUPPORTED: algorithm and key do not fit. KW_E_FORBIDDEN: the
 *  private half is needed and absent. Cheap; any thread. */
KW_MUST_CHECK kw_status kc_lanes_shape(const struct kc_lane_op *op, enum kc_shape *shape);

/** How many operations of a shape one kernel call takes at full speed (1 on the OpenSSL path). */
unsigned kc_lanes_width(enum kc_shape shape);

/** Expected time of one operation of a shape in nanoseconds when lanes are full: a table measured
 *  once; the pool refines it by what it sees. */
uint32_t kc_lanes_cost_ns(enum kc_shape shape);

/** True for shapes so cheap that waking a thread costs more: AES, HMAC, public-key RSA and, in
 *  lanes, verification with P-256. They run on the caller's thread; everything else belongs on a
 * worker. */
bool kc_lanes_cheap(enum kc_shape shape);

/** Working room of one thread; holds half-results and tables, wiped after each batch. Made after
 *  kc_lanes_init, which decides how much the kernels need. NULL when memory is short. */
struct kc_scratch;
struct kc_scratch *kc_scratch_create(void);
void kc_scratch_destroy(struct kc_scratch *scratch);

/** Runs `n` operations of ONE shape, any mix of keys. Sets status (and out, tag, valid) of each;
 * one operation's failure never touches another's. RSA private results are checked with the public
 *  exponent on the bytes that leave, against the caller's input, before status becomes KW_OK; a
 *  result that fails is recomputed on another path or fails alone with KW_E_INTERNAL and counts in
 *  kc_lanes_alarms(). Failed decryptions are KW_E_CRYPTO with no trace of the reason, in equal
 * time. Thread-safe as long as each thread brings its own scratch. */
void kc_lanes_run(struct kc_lane_op *const *ops, size_t n, enum kc_shape shape,
                  struct kc_scratch *scratch);

/** Wrong results caught before they left, since start. Any thread. */
uint64_t kc_lanes_alarms(void);

#pragma once
/* The dispatch table: which kernel serves a shape. Filled by kc_lanes_init, read-only after. */

#include <openssl/evp.h>

#include "crypto/lanes/cpu.h"
#include "crypto/lanes/lanes.h"

/** One raw modular exponentiation: `in` and `out` are modulus-length big-endian blocks, in < n.
 *  `in` is never written. The kernel sets status: KW_OK, or why there is no result. */
struct kc_rsa_job {
    const struct kc_key *key;
    const uint8_t *in;
    uint8_t *out;
    kw_status status;
};

/** All jobs have one modulus size; keys differ. n is at most KC_RSA_BATCH. */
typedef void kc_modexp_fn(struct kc_rsa_job *jobs, size_t n, struct kc_scratch *scratch);
/** Operations were checked by kc_lanes_shape. Sets status, out, tag, valid of each. */
typedef void kc_run_fn(struct kc_lane_op *const *ops, size_t n, struct kc_scratch *scratch);

struct kc_kernel {
    const char *name;
    unsigned width;       /* operations that fill one call */
    uint32_t cost_ns;     /* of one operation at full width, checks included */
    bool cheap;           /* see kc_lanes_cheap */
    kc_run_fn *run;       /* whole operations; for RSA shapes kc_rsa_run_* with the padding */
    kc_modexp_fn *modexp; /* RSA shapes only */
    size_t scratch_len;   /* bytes of kc_scratch.kernel it needs */
};

#define KC_RSA_BATCH 16 /* jobs that one modexp call may bring */

/** The kernel of a shape; `kernel` must outlive its use. Before threads start. */
void kc_dispatch_set(enum kc_shape shape, const struct kc_kernel *kernel);
const struct kc_kernel *kc_dispatch_get(enum kc_shape shape);

/** The path by which a private result that failed its check is computed once more. */
void kc_dispatch_set_second(kc_modexp_fn *modexp);
kc_modexp_fn *kc_dispatch_second(void);

/** Fills the table for a CPU: OpenSSL rows first; multi-buffer kernels then replace rows by
 *  kc_dispatch_set according to its flags. */
void kc_dispatch_fill(const struct kc_cpu *cpu);

/** Largest scratch_len in the table. */
size_t kc_dispatch_scratch_len(void);

/** Known answers through the table as it stands (selftest.c). */
KW_MUST_CHECK kw_status kc_selftest(void);

/* --- OpenSSL kernels --- */
kc_modexp_fn kc_openssl_rsa_private, kc_openssl_rsa_private_plain, kc_openssl_rsa_public;
kc_run_fn kc_openssl_ecdsa, kc_openssl_kw, kc_openssl_gcm, kc_openssl_cbc, kc_openssl_hmac;

/* --- RSA operations around any modexp kernel (rsa_run.c, check.c) --- */
kc_run_fn kc_rsa_run_private, kc_rsa_run_public;

/** True when `recovered`, the public operation on an answer, belongs to the caller's input of `op`:
 *  for a signature its encoding, for a decryption the ciphertext. */
bool kc_rsa_answers(const struct kc_lane_op *op, const uint8_t *recovered, EVP_MD_CTX *md);

void kc_alarm_raise(void);

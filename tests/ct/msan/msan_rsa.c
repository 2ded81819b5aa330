/* The eight-lane RSA private operation with a secret key: primes, exponents and all that is derived
 * from them are poisoned, whole limbs. Key set-up by OpenSSL's numbers comes before. */
#include <string.h>

#include "crypto/rsa/rsa_x8.h"
#include "tests/ct/msan/rsa_key.h"
#include "tests/ct/msan/taint.h"

#define KEYS 2

static struct ct_rsa keys[KEYS];
static uint8_t out[KC_RSA_LANES][KW_RSA_MAX_BYTES];

static void run(unsigned bits, unsigned count, void *scratch)
{
    struct kc_rsa_private_lane lanes[KC_RSA_LANES];
    for (unsigned i = 0; i < count; i++) {
        lanes[i] = (struct kc_rsa_private_lane){&keys[i % KEYS].key, keys[i % KEYS].in, out[i]};
    }
    for (unsigned i = 0; i < KEYS; i++) {
        struct kc_rsa_private_ctx *key = &keys[i].key;
        ct_secret(&key->p, sizeof(key->p));
        ct_secret(&key->q, sizeof(key->q));
        ct_secret(key->qinv, sizeof(key->qinv));
    }
    unsigned passed = kc_rsa_x8_private(lanes, count, scratch);
    ct_expect(passed == (1u << count) - 1);
    for (unsigned i = 0; i < count; i++) {
        ct_expect_secret(out[i], bits / 8);
        ct_public(out[i], bits / 8);
        ct_expect(memcmp(out[i], keys[i % KEYS].want, bits / 8) == 0);
    }
}

int main(void)
{
    ct_need_avx512();
    void *scratch = aligned_alloc(64, KC_RSA_SCRATCH_BYTES);
    ct_expect(scratch != NULL);
    memset(scratch, 0, KC_RSA_SCRATCH_BYTES);
    for (unsigned bits = 2048; bits <= 4096; bits += 1024) {
        for (unsigned i = 0; i < KEYS; i++) {
            /* OpenSSL is not instrumented: what it hands to the C library looks uninitialised */
            __msan_scoped_disable_interceptor_checks();
            ct_rsa_make(&keys[i], bits);
            __msan_scoped_enable_interceptor_checks();
            ct_public(&keys[i], sizeof(keys[i]));
            ct_expect(keys[i].made);
        }
        run(bits, 1, scratch);
        run(bits, KC_RSA_LANES, scratch);
        printf("rsa %u: no secret reached a branch or an address\n", bits);
    }
    free(scratch);
    return 0;
}

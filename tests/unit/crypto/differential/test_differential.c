/* Random lane operations against OpenSSL, bit for bit: random fill, mixed keys, edge values.
 *
 *   test_differential [OPERATIONS [SEED]]
 *
 * Without arguments as many operations as a minute holds on any path. The share of each part is
 * printed: AES is cheap, so most of a count is AES. */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/secret.h"
#include "crypto/keys/key_internal.h"
#include "tests/unit/crypto/differential/common.h"

#ifndef OPERATIONS
#define OPERATIONS 40000
#endif
#define FAIL_SHOWN 10

struct part {
    const char *name;
    size_t (*run)(struct df_state *state);
    unsigned permille; /* of all operations */
    size_t done;
};

static struct part parts[] = {
    {"rsa private, raw", df_rsa_private_raw, 30, 0},
    {"rsa private, sign and decrypt", df_rsa_private_ops, 30, 0},
    {"rsa public, raw", df_rsa_public_raw, 100, 0},
    {"rsa public, verify (one in nine a sign)", df_rsa_public_ops, 100, 0},
    {"ecdsa sign and verify", df_ec_sign, 10, 0},
    {"aes key wrap", df_aes_wrap, 250, 0},
    {"aes gcm", df_aes_gcm, 280, 0},
    {"aes cbc", df_aes_cbc, 200, 0},
};

void df_fail(struct df_state *state, const char *what, const struct kc_key *key, struct kw_span in)
{
    if (state->failures++ >= FAIL_SHOWN) {
        return;
    }
    fprintf(stderr, "differs: %s, key of %u bits", what, key->pub.bits);
    if (key->rsa) {
        fputs(" p = ", stderr);
        for (size_t i = 0; i < key->pub.bits / 16; i++) {
            fprintf(stderr, "%02x", key->rsa->p[i]);
        }
        fputs(" q = ", stderr);
        for (size_t i = 0; i < key->pub.bits / 16; i++) {
            fprintf(stderr, "%02x", key->rsa->q[i]);
        }
    }
    fprintf(stderr, " input of %zu bytes = ", in.len);
    for (size_t i = 0; i < in.len && i < 64; i++) {
        fprintf(stderr, "%02x", in.data[i]);
    }
    fputc('\n', stderr);
}

/* A prime of less than three eighths of the modulus is not taken by any path: the import says so.
 */
static bool short_primes_are_refused(void)
{
    struct kc_key *key = NULL;
    struct kc_rsa_numbers num = {.n = BN_new(), .e = BN_new(), .p = BN_new(), .q = BN_new()};
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *phi = BN_new(), *q1 = BN_new();
    bool refused = BN_generate_prime_ex(num.p, 1281, 0, NULL, NULL, NULL) == 1 &&
                   BN_generate_prime_ex(num.q, 767, 0, NULL, NULL, NULL) == 1 &&
                   BN_mul(num.n, num.p, num.q, ctx) == 1 && BN_set_word(num.e, 65537) == 1 &&
                   BN_sub(phi, num.p, BN_value_one()) && BN_sub(q1, num.q, BN_value_one()) &&
                   BN_mul(phi, phi, q1, ctx) &&
                   (num.d = BN_mod_inverse(NULL, num.e, phi, ctx)) != NULL &&
                   BN_num_bits(num.n) == 2048 &&
                   kc_rsa_private_make(&key, &num, KC_KEY_STORED) == KW_E_INPUT && key == NULL;
    BN_clear_free(phi);
    BN_clear_free(q1);
    BN_CTX_free(ctx);
    kc_rsa_numbers_clear(&num);
    return refused;
}

static void run_all(struct df_state *state, size_t operations)
{
    const size_t count = sizeof(parts) / sizeof(parts[0]);
    while (state->operations < operations) {
        /* the part that is furthest behind its share */
        struct part *next = &parts[0];
        for (size_t i = 1; i < count; i++) {
            if (parts[i].done * next->permille < next->done * parts[i].permille) {
                next = &parts[i];
            }
        }
        size_t done = next->run(state);
        next->done += done;
        state->operations += done;
    }
}

int main(int argc, char **argv)
{
    struct df_state state = {.draw = {1}};
    size_t operations = argc > 1 ? strtoul(argv[1], NULL, 10) : OPERATIONS;
    if (kw_random(&state.draw.state, sizeof(state.draw.state)) != KW_OK ||
        kc_lanes_init() != KW_OK) {
        return 1;
    }
    if (argc > 2) {
        state.draw.state = strtoull(argv[2], NULL, 0);
    }
    printf("seed 0x%llx\n", (unsigned long long)state.draw.state);
    fflush(stdout);
    state.scratch = kc_scratch_create();
    if (!state.scratch || !df_rsa_open(&state) || !df_aes_open(&state) || !df_ec_open(&state)) {
        fputs("the keys cannot be made\n", stderr);
        return 1;
    }
    if (!short_primes_are_refused()) {
        fputs("a short prime was taken\n", stderr);
        state.failures++;
    }
    run_all(&state, operations);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        printf("%8zu  %s\n", parts[i].done, parts[i].name);
    }
    printf("%8zu  operations, %zu different; kernels: %s, %s, %s\n", state.operations,
           state.failures, kc_lanes_kernel(KC_SHAPE_RSA2048_PRIVATE),
           kc_lanes_kernel(KC_SHAPE_AES_KW), kc_lanes_kernel(KC_SHAPE_P256_SIGN));
    if (kc_lanes_alarms() != 0) {
        printf("%llu wrong results were caught before they left\n",
               (unsigned long long)kc_lanes_alarms());
        state.failures++;
    }
    df_rsa_close();
    df_aes_close();
    df_ec_close();
    kc_scratch_destroy(state.scratch);
    ERR_clear_error();
    return state.failures ? 1 : 0;
}

#include "tests/support/rsa_maker.h"

#include <stdlib.h>

#include "crypto/keys/key_internal.h"

static int by_size(const void *a, const void *b)
{
    return BN_cmp(*(BIGNUM *const *)a, *(BIGNUM *const *)b);
}

bool kt_primes_make(struct kt_primes *out, size_t count, unsigned bits)
{
    *out = (struct kt_primes){.bits = bits};
    BIGNUM *three = BN_new(), *two = BN_new();
    bool ok = three && two && BN_set_word(three, 3) && BN_set_word(two, 2);
    while (ok && out->count < count && count <= KT_PRIMES_MAX) {
        BIGNUM *prime = BN_new();
        ok = prime && BN_generate_prime_ex(prime, (int)bits / 2, 0, three, two, NULL);
        /* a product of two has its full length only when both have the top two bits */
        if (!ok || !BN_is_bit_set(prime, (int)bits / 2 - 2) || BN_mod_word(prime, 65537) == 1) {
            BN_free(prime);
            continue;
        }
        out->prime[out->count++] = prime;
    }
    BN_free(three);
    BN_free(two);
    qsort(out->prime, out->count, sizeof(out->prime[0]), by_size);
    if (!ok || out->count != count) {
        kt_primes_free(out);
        return false;
    }
    return true;
}

void kt_primes_free(struct kt_primes *primes)
{
    for (size_t i = 0; i < primes->count; i++) {
        BN_clear_free(primes->prime[i]);
    }
    *primes = (struct kt_primes){0};
}

/* d = e^-1 modulo (p - 1)(q - 1), or NULL. */
static BIGNUM *private_exponent(const BIGNUM *p, const BIGNUM *q, const BIGNUM *e, BN_CTX *ctx)
{
    BIGNUM *d = NULL;
    BN_CTX_start(ctx);
    BIGNUM *p1 = BN_CTX_get(ctx), *q1 = BN_CTX_get(ctx), *phi = BN_CTX_get(ctx);
    if (phi && BN_sub(p1, p, BN_value_one()) && BN_sub(q1, q, BN_value_one()) &&
        BN_mul(phi, p1, q1, ctx)) {
        d = BN_mod_inverse(NULL, e, phi, ctx);
    }
    BN_CTX_end(ctx);
    return d;
}

struct kc_key *kt_rsa_key(const struct kt_primes *primes, size_t i, size_t j, uint64_t e)
{
    struct kc_key *key = NULL;
    BN_CTX *ctx = BN_CTX_new();
    struct kc_rsa_numbers num = {
        .n = BN_new(),
        .e = BN_new(),
        .p = BN_dup(primes->prime[i]),
        .q = BN_dup(primes->prime[j]),
    };
    if (ctx && num.n && num.e && num.p && num.q && BN_set_word(num.e, e) &&
        BN_mul(num.n, num.p, num.q, ctx) &&
        (num.d = private_exponent(num.p, num.q, num.e, ctx)) != NULL &&
        kc_rsa_private_make(&key, &num, KC_KEY_STORED) != KW_OK) {
        key = NULL;
    }
    kc_rsa_numbers_clear(&num);
    BN_CTX_free(ctx);
    return key;
}

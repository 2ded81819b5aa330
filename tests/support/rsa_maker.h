#pragma once
/* Many different RSA keys at the price of a few primes: every pair of primes is a key. For
 * benchmarks and tests alone: keys that share primes are worth nothing. */

#include <openssl/bn.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/keys/key.h"

#define KT_PRIMES_MAX 16

struct kt_primes {
    BIGNUM *prime[KT_PRIMES_MAX]; /* ascending */
    size_t count;
    unsigned bits; /* of the moduli they make */
};

/** `count` primes of bits / 2 bits, the top two set, congruent 2 modulo 3 (so that 3 serves as a
 *  public exponent) and not 1 modulo 65537. False when the generator fails. */
bool kt_primes_make(struct kt_primes *out, size_t count, unsigned bits);
void kt_primes_free(struct kt_primes *primes);

/** The key of primes i and j as p and q in this order, i != j, with public exponent e. NULL when e
 *  shares a factor with p - 1 or q - 1. The caller owns it. */
struct kc_key *kt_rsa_key(const struct kt_primes *primes, size_t i, size_t j, uint64_t e);

#pragma once
/* What the tests of crypto/ec share: numbers from text, OpenSSL's view of lanes, keys. */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/ec/ec_key.h"
#include "crypto/lanes/cpu.h"

#define CURVES 3

static const int ec_nids[CURVES] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};

/* Exit code 77 makes the whole program a skip where the kernels cannot or may not run. */
static inline void ec_need_cpu(void)
{
    struct kc_cpu cpu;
    if (kc_cpu_read(&cpu, getenv("KEYWARD_CPU")) != KW_OK || cpu.path < KC_CPU_AVX512 ||
        !cpu.avx512_ifma)
        exit(77);
}

static inline const struct kc_ec_curve *ec_curve(unsigned at)
{
    const struct kc_ec_curve *curve = kc_ec_curve_get((enum kw_curve)(KW_CURVE_P256 + at));
    assert_non_null(curve);
    return curve;
}

/* Repeatable: a failure can be run again. */
static inline uint64_t ec_rnd(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static inline void ec_bytes(uint8_t *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(ec_rnd() >> 24);
}

/* The number in a lane, to be freed. */
static inline BIGNUM *ec_lane(const __m512i *v, unsigned nd, unsigned lane)
{
    const uint64_t(*rows)[KC_EC_LANES] = (const void *)v;
    BIGNUM *n = BN_new(), *digit = BN_new();
    BN_zero(n);
    for (unsigned i = nd; i-- > 0;) {
        BN_lshift(n, n, KC_EC_DIGIT);
        BN_set_word(digit, rows[i][lane]);
        BN_add(n, n, digit);
    }
    BN_free(digit);
    return n;
}

static inline void ec_set_lane(__m512i *v, unsigned nd, unsigned lane, const BIGNUM *n)
{
    uint8_t bytes[128];
    assert_int_equal(BN_bn2binpad(n, bytes, sizeof bytes), sizeof bytes);
    kc_ec_digits_in(kc_ec_rows(v), nd, lane, bytes, sizeof bytes);
}

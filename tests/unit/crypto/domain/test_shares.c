/* Shamir shares in the packing of the security-domain file, and its key derivation. */
#include "crypto/domain/shares.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "crypto/domain/sp108.h"

#define LEN 32

static uint8_t secret[LEN], shares[10 * KC_SHARE_LEN(LEN)];

static struct kw_span share(unsigned i)
{
    return kw_span_of(shares + i * KC_SHARE_LEN(LEN), KC_SHARE_LEN(LEN));
}

static void make(unsigned count, unsigned required)
{
    assert_int_equal(kw_random(secret, LEN), KW_OK);
    secret[0] = 0;
    secret[1] = 255;
    assert_int_equal(kc_shares_make(shares, kw_span_of(secret, LEN), count, required), KW_OK);
}

/* Every subset of every size: from the quorum on it gives the secret, below it another value. */
static void every_subset(void **state)
{
    (void)state;
    for (unsigned count = 2; count <= 7; count++) {
        for (unsigned required = 2; required <= count; required++) {
            make(count, required);
            for (unsigned set = 1; set < 1u << count; set++) {
                struct kw_span some[7];
                uint8_t out[LEN];
                unsigned n = 0;
                for (unsigned i = 0; i < count; i++) {
                    if (set & 1u << i)
                        some[n++] = share(i);
                }
                if (n < 2)
                    continue;
                kw_status status = kc_shares_join(out, some, n);
                if (n >= required) {
                    assert_int_equal(status, KW_OK);
                    assert_memory_equal(out, secret, LEN);
                } else {
                    assert_true(status != KW_OK || memcmp(out, secret, LEN) != 0);
                }
            }
        }
    }
}

static void packing(void **state)
{
    (void)state;
    make(10, 10);
    for (unsigned x = 1; x <= 10; x++) {
        for (size_t i = 0; i < LEN; i++) {
            unsigned word = share(x - 1).data[2 * i] | share(x - 1).data[2 * i + 1] << 8;
            assert_int_equal(word / 512, x);
            assert_true(word % 512 <= 256);
        }
    }
}

/* x = 1, 2, 3 of f = 5 + 7x + 256x^2 mod 257, computed by hand: 11, 15, 17. */
static void known_answer(void **state)
{
    (void)state;
    const uint8_t word[3][2] = {{11, 2}, {15, 4}, {17, 6}};
    struct kw_span all[3] = {kw_span_of(word[0], 2), kw_span_of(word[1], 2),
                             kw_span_of(word[2], 2)};
    uint8_t out;
    assert_int_equal(kc_shares_join(&out, all, 3), KW_OK);
    assert_int_equal(out, 5);
}

static void changed_share(void **state)
{
    (void)state;
    make(3, 2);
    struct kw_span two[2] = {share(0), share(2)};
    for (size_t i = 0; i < KC_SHARE_LEN(LEN); i++) {
        uint8_t out[LEN];
        shares[i] ^= 1;
        kw_status status = kc_shares_join(out, two, 2);
        assert_true(status == KW_E_INPUT || memcmp(out, secret, LEN) != 0);
        shares[i] ^= 1;
    }
}

static void refused(void **state)
{
    (void)state;
    uint8_t out[KC_SHARES_SECRET];
    struct kw_span plain = kw_span_of(secret, LEN);
    assert_int_equal(kc_shares_make(shares, plain, 3, 1), KW_E_INPUT);
    assert_int_equal(kc_shares_make(shares, plain, 3, 4), KW_E_INPUT);
    assert_int_equal(kc_shares_make(shares, plain, 12, 11), KW_E_INPUT);
    assert_int_equal(kc_shares_make(shares, kw_span_of(secret, 0), 3, 2), KW_E_INPUT);
    make(3, 2);
    struct kw_span twice[2] = {share(1), share(1)}, uneven[2] = {share(0), share(1)};
    assert_int_equal(kc_shares_join(out, twice, 2), KW_E_INPUT);
    assert_int_equal(kc_shares_join(out, uneven, 1), KW_E_INPUT);
    uneven[1].len -= 2;
    assert_int_equal(kc_shares_join(out, uneven, 2), KW_E_INPUT);
    const uint8_t zero[2] = {5, 0}, large[2] = {1, 2 << 1 | 1}, one[2] = {11, 2};
    struct kw_span bad[2] = {kw_span_of(one, 2), kw_span_of(zero, 2)};
    assert_int_equal(kc_shares_join(out, bad, 2), KW_E_INPUT); /* number 0 */
    bad[1] = kw_span_of(large, 2);
    assert_int_equal(kc_shares_join(out, bad, 2), KW_E_INPUT); /* value 257 */
}

/* Coefficients are spread: with a quorum of 2 a share's value of a fixed secret is uniform. */
static void spread(void **state)
{
    (void)state;
    unsigned count[257] = {0};
    uint8_t zeros[KC_SHARES_SECRET] = {0}, out[2 * KC_SHARE_LEN(KC_SHARES_SECRET)];
    for (int round = 0; round < 400; round++) {
        assert_int_equal(kc_shares_make(out, kw_span_of(zeros, sizeof zeros), 2, 2), KW_OK);
        for (size_t i = 0; i < sizeof zeros; i++)
            count[out[2 * i] | (out[2 * i + 1] & 1) << 8]++;
    }
    double chi = 0, mean = 400.0 * KC_SHARES_SECRET / 257;
    for (int i = 0; i < 257; i++)
        chi += (count[i] - mean) * (count[i] - mean) / mean;
    assert_true(chi < 400); /* 256 degrees of freedom: mean 256, deviation 23 */
}

static void derivation(void **state)
{
    (void)state;
    static const uint8_t expected[32] = {0xf0, 0xca, 0x51, 0xf6, 0x30, 0x87, 0x91, 0x40,
                                         0x4b, 0xf6, 0x8b, 0x56, 0x02, 0x4e, 0xe7, 0xc6,
                                         0x4d, 0x6c, 0x73, 0x77, 0x16, 0xf8, 0x1d, 0x47,
                                         0xe1, 0xe6, 0x8b, 0x5c, 0x4e, 0x39, 0x95, 0x75};
    uint8_t key[32], out[32];
    memset(key, 0x41, sizeof key);
    assert_int_equal(
        kc_sp108(out, 32, kw_span_of(key, 32), kw_span_str("label"), kw_span_str("context")),
        KW_OK);
    assert_memory_equal(out, expected, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_subset),  cmocka_unit_test(packing), cmocka_unit_test(known_answer),
        cmocka_unit_test(changed_share), cmocka_unit_test(refused), cmocka_unit_test(spread),
        cmocka_unit_test(derivation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the wrap functions refuse by themselves; answers are in tests/vectors. */
#include "crypto/wrap/keywrap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

static EVP_CIPHER_CTX *enc, *dec;

static int start(void **state)
{
    (void)state;
    static const uint8_t key[32] = {5};
    enc = kc_kw_context(kw_span_of(key, 32), 1);
    dec = kc_kw_context(kw_span_of(key, 32), 0);
    return enc && dec ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    EVP_CIPHER_CTX_free(enc);
    EVP_CIPHER_CTX_free(dec);
    return 0;
}

static void lengths(void **state)
{
    (void)state;
    uint8_t in[64] = {1}, out[80];
    size_t len;
    for (size_t n = 0; n <= 64; n++) {
        struct kw_span span = kw_span_of(in, n);
        assert_int_equal(kc_kw_wrap(out, enc, span), n >= 16 && n % 8 == 0 ? KW_OK : KW_E_INPUT);
        assert_int_equal(kc_kw_unwrap(out, dec, span),
                         n >= 24 && n % 8 == 0 ? KW_E_CRYPTO : KW_E_INPUT);
        assert_int_equal(kc_kwp_wrap(out, &len, enc, span), n > 0 ? KW_OK : KW_E_INPUT);
        assert_int_equal(kc_kwp_unwrap(out, &len, dec, span),
                         n >= 16 && n % 8 == 0 ? KW_E_CRYPTO : KW_E_INPUT);
    }
    assert_null(kc_kw_context(kw_span_of(in, 20), 1));
}

/* One semiblock is a single AES block, so every header can be forged: only true lengths pass. */
static void forged_lengths(void **state)
{
    (void)state;
    for (int claimed = 0; claimed <= 16; claimed++) {
        for (int dirty = 0; dirty < 8; dirty++) {
            uint8_t block[16] = {0xa6, 0x59, 0x59, 0xa6, 0, 0, 0, (uint8_t)claimed}, out[8];
            size_t len = 99;
            block[8 + dirty] = 1;
            assert_int_equal(EVP_Cipher(enc, block, block, 16), 16);
            bool good = claimed >= 1 && claimed <= 8 && dirty < claimed;
            assert_int_equal(kc_kwp_unwrap(out, &len, dec, kw_span_of(block, 16)),
                             good ? KW_OK : KW_E_CRYPTO);
            assert_int_equal(len, good ? claimed : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),
        cmocka_unit_test(forged_lengths),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

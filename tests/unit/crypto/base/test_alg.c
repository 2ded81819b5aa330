#include "crypto/base/alg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void every_row_is_whole(void **state)
{
    (void)state;
    for (enum kw_alg alg = KW_ALG_NONE + 1; alg < KW_ALG_COUNT; alg++) {
        const struct kw_alg_info *info = kw_alg_info(alg);
        assert_int_not_equal(info->family, KW_FAMILY_NONE);
        assert_int_not_equal(info->kinds, 0);
        if (info->digest_len != 0) {
            assert_int_equal(info->digest_len, kw_hash_len(info->hash));
        }
        assert_int_equal(info->curve != KW_CURVE_NONE, info->kty == KW_KTY_EC);
    }
    assert_ptr_equal(kw_alg_info((enum kw_alg)999), kw_alg_info(KW_ALG_NONE));
    assert_int_equal(kw_alg_info(KW_ALG_NONE)->kinds, 0);
}

static void fits(void **state)
{
    (void)state;
    assert_true(kw_alg_fits(KW_ALG_RS256, KW_KIND_SIGN, KW_KTY_RSA, 3072, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_RS256, KW_KIND_SIGN, KW_KTY_RSA, 1024, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_RS256, KW_KIND_WRAP, KW_KTY_RSA, 2048, KW_CURVE_NONE));
    assert_true(kw_alg_fits(KW_ALG_ES256K, KW_KIND_VERIFY, KW_KTY_EC, 256, KW_CURVE_P256K));
    assert_false(kw_alg_fits(KW_ALG_ES256K, KW_KIND_VERIFY, KW_KTY_EC, 256, KW_CURVE_P256));
    assert_true(kw_alg_fits(KW_ALG_A192KW, KW_KIND_WRAP, KW_KTY_OCT, 192, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_A192KW, KW_KIND_WRAP, KW_KTY_OCT, 256, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_A192KW, KW_KIND_ENCRYPT, KW_KTY_OCT, 192, KW_CURVE_NONE));
    assert_true(kw_alg_fits(KW_ALG_AES_KWP, KW_KIND_UNWRAP, KW_KTY_OCT, 128, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_AES_KWP, KW_KIND_UNWRAP, KW_KTY_RSA, 2048, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_NONE, KW_KIND_SIGN, KW_KTY_RSA, 2048, KW_CURVE_NONE));
    assert_false(kw_alg_fits(KW_ALG_RS256, (enum kw_kind)40, KW_KTY_RSA, 2048, KW_CURVE_NONE));
}

static void output_bounds(void **state)
{
    (void)state;
    assert_int_equal(kw_alg_out_max(KW_ALG_PS256, KW_KIND_SIGN, 4096, 32), 512);
    assert_int_equal(kw_alg_out_max(KW_ALG_PS256, KW_KIND_VERIFY, 4096, 32), 0);
    assert_int_equal(kw_alg_out_max(KW_ALG_ES512, KW_KIND_SIGN, 521, 64), 132);
    assert_int_equal(kw_alg_out_max(KW_ALG_HS384, KW_KIND_SIGN, 256, 9), 48);
    assert_int_equal(kw_alg_out_max(KW_ALG_A128KW, KW_KIND_WRAP, 128, 32), 40);
    assert_int_equal(kw_alg_out_max(KW_ALG_A128KW, KW_KIND_UNWRAP, 128, 40), 32);
    assert_int_equal(kw_alg_out_max(KW_ALG_A128KW, KW_KIND_UNWRAP, 128, 3), 0);
    assert_int_equal(kw_alg_out_max(KW_ALG_AES_KWP, KW_KIND_WRAP, 128, 9), 24);
    assert_int_equal(kw_alg_out_max(KW_ALG_A128CBCPAD, KW_KIND_ENCRYPT, 128, 16), 32);
    assert_int_equal(kw_alg_out_max(KW_ALG_A128CBCPAD, KW_KIND_DECRYPT, 128, 32), 32);
    assert_int_equal(kw_alg_out_max(KW_ALG_A128CBCPAD, KW_KIND_ENCRYPT, 128, SIZE_MAX), SIZE_MAX);
    assert_int_equal(kw_alg_out_max(KW_ALG_RS256, KW_KIND_ENCRYPT, 2048, 1), 0);
}

static void sizes_and_names(void **state)
{
    (void)state;
    assert_int_equal(kw_curve_bytes(KW_CURVE_P521), 66);
    assert_int_equal(kw_curve_bits(KW_CURVE_P256K), 256);
    assert_int_equal(kw_curve_bytes(KW_CURVE_NONE), 0);
    assert_int_equal(kw_hash_len(KW_HASH_SHA1), 20);
    for (int kind = 0; kind < KW_KIND_COUNT; kind++) {
        assert_true(strlen(kw_kind_name((enum kw_kind)kind)) > 3);
    }
    assert_string_equal(kw_kind_name(KW_KIND_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(fits),
        cmocka_unit_test(output_bounds),
        cmocka_unit_test(sizes_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

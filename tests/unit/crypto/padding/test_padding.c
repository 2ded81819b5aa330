/* The decoders against every malformed block, and the encoders' limits. */
#include "crypto/padding/padding.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "crypto/padding/ct.h"

#define K 256

static EVP_MD_CTX *md;

static int start(void **state)
{
    (void)state;
    md = EVP_MD_CTX_new();
    return md ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    EVP_MD_CTX_free(md);
    return 0;
}

static void masks(void **state)
{
    (void)state;
    static const size_t values[] = {0, 1, 2, 255, 256, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(ct_is_zero(values[i]), values[i] == 0 ? SIZE_MAX : 0);
        for (size_t j = 0; j < 8; j++) {
            assert_int_equal(ct_lt(values[i], values[j]), values[i] < values[j] ? SIZE_MAX : 0);
            assert_int_equal(ct_eq(values[i], values[j]), i == j ? SIZE_MAX : 0);
        }
    }
    for (size_t shift = 0; shift <= 37; shift++) {
        uint8_t buf[37];
        for (size_t i = 0; i < 37; i++) {
            buf[i] = (uint8_t)(i + 1);
        }
        ct_shift_left(buf, 37, shift);
        for (size_t i = 0; i < 37; i++) {
            assert_int_equal(buf[i], i + shift < 37 ? i + shift + 1 : 0);
        }
    }
}

static size_t decode_v15(const uint8_t *block, uint8_t *out, size_t *len)
{
    uint8_t em[K];
    memcpy(em, block, K);
    return kc_pkcs1_encrypt_decode(out, len, em, K);
}

static void v15_every_length(void **state)
{
    (void)state;
    uint8_t em[K], out[K], plain[K];
    memset(plain, 0x77, sizeof(plain));
    for (size_t n = 0; n <= K - 11; n++) {
        size_t len;
        assert_int_equal(kc_pkcs1_encrypt_encode(em, K, kw_span_of(plain, n)), KW_OK);
        assert_int_equal(decode_v15(em, out, &len), SIZE_MAX);
        assert_int_equal(len, n);
        assert_memory_equal(out, plain, n);
    }
    assert_int_equal(kc_pkcs1_encrypt_encode(em, K, kw_span_of(plain, K - 10)), KW_E_INPUT);
}

static void v15_malformed(void **state)
{
    (void)state;
    static const uint8_t zeros[K];
    uint8_t good[K], em[K], out[K];
    size_t len;
    assert_int_equal(kc_pkcs1_encrypt_encode(good, K, kw_span_str("secret")), KW_OK);
    for (int fault = 0; fault < 13; fault++) {
        memcpy(em, good, K);
        if (fault == 0) {
            em[0] = 1;
        } else if (fault == 1) {
            em[1] = 1;
        } else if (fault < 10) {
            em[fault] = 0; /* one of the first eight bytes of padding */
        } else if (fault == 10) {
            memset(em + 2, 0xff, K - 2); /* no end */
        } else if (fault == 11) {
            em[1] = 0;
        } else {
            memset(em, 0, K);
        }
        assert_int_equal(decode_v15(em, out, &len), 0);
        assert_int_equal(len, 0);
        assert_memory_equal(out, zeros, K);
    }
    memcpy(em, good, K);
    em[10] = 0; /* exactly eight bytes of padding: allowed */
    assert_int_equal(decode_v15(em, out, &len), SIZE_MAX);
    assert_int_equal(len, K - 11);
}

static void signature_blocks(void **state)
{
    (void)state;
    uint8_t em[K], digest[64] = {9};
    for (int h = KW_HASH_SHA256; h <= KW_HASH_SHA512; h++) {
        enum kw_hash hash = (enum kw_hash)h;
        struct kw_span d = kw_span_of(digest, kw_hash_len(hash));
        assert_int_equal(kc_pkcs1_sign_encode(em, K, hash, d), KW_OK);
        assert_true(kc_pkcs1_sign_check(em, K, hash, d));
        for (size_t i = 0; i < K; i++) {
            em[i] ^= 1;
            assert_false(kc_pkcs1_sign_check(em, K, hash, d));
            em[i] ^= 1;
        }
        d.len--;
        assert_int_equal(kc_pkcs1_sign_encode(em, K, hash, d), KW_E_INPUT);
    }
    uint8_t raw[K] = {0};
    assert_int_equal(kc_pkcs1_sign_encode(em, K, KW_HASH_NONE, kw_span_of(raw, K - 11)), KW_OK);
    assert_int_equal(kc_pkcs1_sign_encode(em, K, KW_HASH_NONE, kw_span_of(raw, K - 10)),
                     KW_E_INPUT);
    assert_int_equal(kc_pkcs1_sign_encode(em, K, KW_HASH_NONE, kw_span_of(NULL, 0)), KW_OK);
    assert_int_equal(kc_pkcs1_sign_encode(em, K, KW_HASH_SHA1, kw_span_of(raw, 20)),
                     KW_E_UNSUPPORTED);
}

static void pss_blocks(void **state)
{
    (void)state;
    uint8_t em[K], digest[64] = {9};
    bool valid;
    for (int h = KW_HASH_SHA256; h <= KW_HASH_SHA512; h++) {
        enum kw_hash hash = (enum kw_hash)h;
        struct kw_span d = kw_span_of(digest, kw_hash_len(hash));
        assert_int_equal(kc_pss_encode(em, K, hash, d, md), KW_OK);
        assert_int_equal(em[0] & 0x80, 0);
        assert_int_equal(kc_pss_check(&valid, em, K, hash, d, md), KW_OK);
        assert_true(valid);
        for (size_t i = 0; i < K; i++) {
            em[i] ^= 0x80;
            assert_int_equal(kc_pss_check(&valid, em, K, hash, d, md), KW_OK);
            assert_false(valid);
            em[i] ^= 0x80;
        }
        digest[0] ^= 1;
        assert_int_equal(kc_pss_check(&valid, em, K, hash, d, md), KW_OK);
        assert_false(valid);
        d.len--;
        assert_int_equal(kc_pss_encode(em, K, hash, d, md), KW_E_INPUT);
    }
}

static void oaep_every_length_and_fault(void **state)
{
    (void)state;
    static const uint8_t zeros[K];
    for (int h = KW_HASH_SHA1; h <= KW_HASH_SHA256; h++) {
        enum kw_hash hash = (enum kw_hash)h;
        size_t most = K - 2 * kw_hash_len(hash) - 2, len, good;
        uint8_t em[K], used[K], out[K], plain[K];
        memset(plain, 0, sizeof(plain)); /* zeros and ones look like padding */
        plain[0] = 1;
        for (size_t n = 0; n <= most; n++) {
            assert_int_equal(kc_oaep_encode(em, K, hash, kw_span_of(plain, n), md), KW_OK);
            memcpy(used, em, K);
            assert_int_equal(kc_oaep_decode(out, &len, &good, used, K, hash, md), KW_OK);
            assert_int_equal(good, SIZE_MAX);
            assert_int_equal(len, n);
            assert_memory_equal(out, plain, n);
        }
        assert_int_equal(kc_oaep_encode(em, K, hash, kw_span_of(plain, most + 1), md), KW_E_INPUT);
        assert_int_equal(kc_oaep_encode(em, K, hash, kw_span_of(plain, 9), md), KW_OK);
        for (size_t i = 0; i < K - 9; i++) {
            memcpy(used, em, K);
            used[i] ^= 0x10;
            assert_int_equal(kc_oaep_decode(out, &len, &good, used, K, hash, md), KW_OK);
            assert_int_equal(good, 0);
            assert_int_equal(len, 0);
            assert_memory_equal(out, zeros, K);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks),         cmocka_unit_test(v15_every_length),
        cmocka_unit_test(v15_malformed), cmocka_unit_test(signature_blocks),
        cmocka_unit_test(pss_blocks),    cmocka_unit_test(oaep_every_length_and_fault),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

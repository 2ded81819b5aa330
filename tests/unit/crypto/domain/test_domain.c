/* Sealed records, key blobs and what the domain derives. */
#include "crypto/domain/domain.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct kc_domain *one, *two;

static int open_domains(void **state)
{
    (void)state;
    uint8_t key[32];
    memset(key, 7, sizeof(key));
    return kc_domain_open(&one, kw_span_of(key, 32)) != KW_OK || kc_domain_create(&two) != KW_OK;
}

static int close_domains(void **state)
{
    (void)state;
    kc_domain_destroy(one);
    kc_domain_destroy(two);
    kc_domain_destroy(NULL);
    return kw_secret_in_use() == 0 ? 0 : -1;
}

static void check_value_follows_the_key(void **state)
{
    (void)state;
    char a[17], b[17], c[17];
    struct kw_secret key;
    struct kc_domain *again;
    kc_domain_check(one, a);
    kc_domain_check(two, b);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), 16);
    assert_int_equal(kc_domain_key(two, &key), KW_OK);
    assert_int_equal(key.len, KC_DOMAIN_KEY_LEN);
    assert_int_equal(kc_domain_open(&again, kw_span_of(key.data, key.len)), KW_OK);
    kc_domain_check(again, c);
    assert_string_equal(b, c);
    kc_domain_destroy(again);
    assert_int_equal(kc_domain_open(&again, kw_span_of(key.data, 31)), KW_E_INPUT);
    assert_null(again);
    kw_secret_clear(&key);
}

/* Fixed for ever: what is stored today must open tomorrow. */
static void derivation_is_fixed(void **state)
{
    (void)state;
    char check[17];
    struct kw_secret member;
    kc_domain_check(one, check);
    assert_string_equal(check, "00e85e2c71467489");
    assert_int_equal(kc_domain_member_key(one, &member), KW_OK);
    assert_int_equal(member.len, 32);
    kw_secret_clear(&member);
}

static void sealed_records(void **state)
{
    (void)state;
    uint8_t plain[33], sealed[33 + KC_SEAL_OVERHEAD], twice[33 + KC_SEAL_OVERHEAD], out[33];
    struct kw_span aad = kw_span_str("vault/name/version");
    memset(plain, 0x5a, sizeof(plain));
    struct kw_buf to = {sealed, 0, sizeof(sealed)}, back = {out, 0, sizeof(out)};
    struct kw_buf again = {twice, 0, sizeof(twice)};
    assert_int_equal(kc_seal(one, aad, kw_span_of(plain, 33), &to), KW_OK);
    assert_int_equal(to.len, 33 + KC_SEAL_OVERHEAD);
    assert_int_equal(kc_seal(one, aad, kw_span_of(plain, 33), &again), KW_OK);
    assert_memory_not_equal(sealed, twice, 28);
    assert_int_equal(kc_open(one, aad, kw_buf_span(&to), &back), KW_OK);
    assert_int_equal(back.len, 33);
    assert_memory_equal(out, plain, 33);

    for (size_t i = 0; i < to.len; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            sealed[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(kc_open(one, aad, kw_buf_span(&to), &back), KW_E_INTEGRITY);
            assert_int_equal(back.len, 0);
            sealed[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t len = 0; len < to.len; len++) {
        assert_int_equal(kc_open(one, aad, kw_span_of(sealed, len), &back), KW_E_INTEGRITY);
    }
    struct kw_span other = kw_span_str("vault/name/versiom");
    assert_int_equal(kc_open(one, other, kw_buf_span(&to), &back), KW_E_INTEGRITY);
    assert_int_equal(kc_open(two, aad, kw_buf_span(&to), &back), KW_E_INTEGRITY);

    struct kw_buf small = {twice, 0, sizeof(twice) - 1};
    assert_int_equal(kc_seal(one, aad, kw_span_of(plain, 33), &small), KW_E_INPUT);
    back.cap = 32;
    assert_int_equal(kc_open(one, aad, kw_buf_span(&to), &back), KW_E_INPUT);
}

static void empty_record(void **state)
{
    (void)state;
    uint8_t sealed[KC_SEAL_OVERHEAD], out[1];
    struct kw_span none = {0};
    struct kw_buf to = {sealed, 0, sizeof(sealed)}, back = {out, 0, 0};
    assert_int_equal(kc_seal(one, none, none, &to), KW_OK);
    assert_int_equal(kc_open(one, none, kw_buf_span(&to), &back), KW_OK);
    assert_int_equal(back.len, 0);
}

static const uint8_t id[KW_KEY_ID_LEN] = "0123456789abcdef", other_id[KW_KEY_ID_LEN] = "x";

static void same_private(const struct kc_key *a, const struct kc_key *b)
{
    struct kw_secret pa, pb;
    assert_int_equal(kc_key_to_private(&pa, a), KW_OK);
    assert_int_equal(kc_key_to_private(&pb, b), KW_OK);
    assert_int_equal(pa.len, pb.len);
    assert_memory_equal(pa.data, pb.data, pa.len);
    kw_secret_clear(&pa);
    kw_secret_clear(&pb);
}

static void blob_of(enum kw_kty kty, unsigned bits, enum kw_curve curve, bool member)
{
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {bytes, 0, sizeof(bytes)};
    struct kc_key *key, *back;
    assert_int_equal(kc_key_generate(&key, kty, bits, curve, 65537), KW_OK);
    assert_int_equal(kc_blob_wrap(one, id, key, member, &blob), KW_OK);
    assert_int_equal(bytes[1], !member             ? KC_BLOB_SOFTWARE
                               : kty == KW_KTY_OCT ? KC_BLOB_MEMBER_KW
                                                   : KC_BLOB_MEMBER_KWP);
    assert_int_equal(kc_blob_open(one, id, kw_buf_span(&blob), true, &back), KW_OK);
    same_private(key, back);
    kc_key_unref(back);
    assert_int_equal(kc_blob_open(one, id, kw_buf_span(&blob), false, &back),
                     member ? KW_E_FORBIDDEN : KW_OK);
    kc_key_unref(back);
    assert_int_equal(kc_blob_open(two, id, kw_buf_span(&blob), true, &back), KW_E_INTEGRITY);
    if (!member) {
        assert_int_equal(kc_blob_open(one, other_id, kw_buf_span(&blob), true, &back),
                         KW_E_INTEGRITY);
    }
    for (size_t i = 0; i < blob.len; i++) {
        bytes[i] ^= 1;
        assert_int_equal(kc_blob_open(one, id, kw_buf_span(&blob), true, &back), KW_E_INTEGRITY);
        assert_null(back);
        bytes[i] ^= 1;
    }
    blob.cap = blob.len - 1;
    assert_int_equal(kc_blob_wrap(one, id, key, member, &blob), KW_E_TOO_LARGE);
    kc_key_unref(key);
}

static void blobs(void **state)
{
    (void)state;
    for (int member = 0; member < 2; member++) {
        blob_of(KW_KTY_RSA, 2048, KW_CURVE_NONE, member);
        for (int c = KW_CURVE_P256; c <= KW_CURVE_P256K; c++) {
            blob_of(KW_KTY_EC, 0, (enum kw_curve)c, member);
        }
        for (unsigned bits = 128; bits <= 256; bits += 64) {
            blob_of(KW_KTY_OCT, bits, KW_CURVE_NONE, member);
        }
    }
}

/* What a token makes with CKM_AES_KEY_WRAP_PAD, done here by OpenSSL's own cipher. */
static void member_blob_is_rfc5649_of_padded_pkcs8(void **state)
{
    (void)state;
    uint8_t bytes[KC_BLOB_MAX], plain[512];
    struct kw_buf blob = {bytes, 0, sizeof(bytes)};
    struct kc_key *key;
    struct kw_secret wrapping, der;
    int len = 0;
    assert_int_equal(kc_key_generate(&key, KW_KTY_EC, 0, KW_CURVE_P256, 0), KW_OK);
    assert_int_equal(kc_blob_wrap(one, id, key, true, &blob), KW_OK);
    assert_int_equal(kc_domain_member_key(one, &wrapping), KW_OK);
    assert_int_equal(kc_key_to_private(&der, key), KW_OK);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    assert_int_equal(EVP_DecryptInit_ex(ctx, EVP_aes_256_wrap_pad(), NULL, wrapping.data, NULL), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, plain, &len, bytes + 4, (int)blob.len - 4), 1);
    assert_int_equal((size_t)len, (der.len + 7) / 8 * 8);
    assert_memory_equal(plain, der.data, der.len);
    EVP_CIPHER_CTX_free(ctx);
    kw_secret_clear(&wrapping);
    kw_secret_clear(&der);
    kc_key_unref(key);
}

static void public_half_has_no_blob(void **state)
{
    (void)state;
    uint8_t bytes[KC_BLOB_MAX];
    struct kw_buf blob = {bytes, 0, sizeof(bytes)};
    struct kc_key *key, *half;
    assert_int_equal(kc_key_generate(&key, KW_KTY_EC, 0, KW_CURVE_P256, 0), KW_OK);
    assert_int_equal(kc_key_from_public(&half, kc_key_public(key)), KW_OK);
    assert_int_equal(kc_blob_wrap(one, id, half, false, &blob), KW_E_FORBIDDEN);
    kc_key_unref(half);
    kc_key_unref(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_value_follows_the_key),
        cmocka_unit_test(derivation_is_fixed),
        cmocka_unit_test(sealed_records),
        cmocka_unit_test(empty_record),
        cmocka_unit_test(blobs),
        cmocka_unit_test(member_blob_is_rfc5649_of_padded_pkcs8),
        cmocka_unit_test(public_half_has_no_blob),
    };
    return cmocka_run_group_tests(tests, open_domains, close_domains);
}

/* The lanes against OpenSSL's own high-level operations, both ways, for every algorithm and size.
 */
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "crypto/keys/key_internal.h"
#include "crypto/lanes/ecdsa_der.h"
#include "crypto/lanes/lanes.h"

static struct kc_scratch *scratch;
static uint8_t data[512];

static int start(void **state)
{
    (void)state;
    /* first: the kernels that it picks say how much room a scratch needs */
    if (kc_lanes_init() != KW_OK)
        return -1;
    scratch = kc_scratch_create();
    return !scratch || kw_random(data, sizeof(data)) != KW_OK;
}

static int stop(void **state)
{
    (void)state;
    kc_scratch_destroy(scratch);
    return ERR_peek_error() == 0 ? 0 : -1;
}

static struct kw_span run(struct kc_lane_op *op, uint8_t *out, size_t cap)
{
    enum kc_shape shape;
    op->out = (struct kw_buf){out, 0, cap};
    assert_int_equal(kc_lanes_shape(op, &shape), KW_OK);
    kc_lanes_run(&op, 1, shape, scratch);
    assert_int_equal(op->status, KW_OK);
    return kw_buf_span(&op->out);
}

static const EVP_MD *md_of(enum kw_alg alg)
{
    static const EVP_MD *(*const mds[])(void) = {NULL, EVP_sha1, EVP_sha256, EVP_sha384,
                                                 EVP_sha512};
    enum kw_hash hash = kw_alg_info(alg)->hash;
    return hash ? mds[hash]() : NULL;
}

static void set_padding(EVP_PKEY_CTX *ctx, enum kw_alg alg, bool signing)
{
    switch (kw_alg_info(alg)->family) {
    case KW_FAMILY_RSA_PSS:
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST), 1);
        break;
    case KW_FAMILY_RSA_OAEP:
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md_of(alg)), 1);
        break;
    case KW_FAMILY_ECDSA:
        break;
    default:
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
    }
    if (signing && md_of(alg)) {
        assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, md_of(alg)), 1);
    }
}

static void signatures(const struct kc_key *key, enum kw_alg alg)
{
    uint8_t ours[512], theirs[512], der[KC_ECDSA_DER_MAX];
    size_t digest_len = kw_alg_info(alg)->digest_len ? kw_alg_info(alg)->digest_len : 51;
    struct kw_span digest = kw_span_of(data, digest_len);
    struct kc_lane_op op = {.key = key, .kind = KW_KIND_SIGN, .alg = alg, .in = digest};
    struct kw_span sig = run(&op, ours, sizeof(ours));
    bool ec = kw_alg_info(alg)->family == KW_FAMILY_ECDSA;
    struct kw_span checked = ec ? kw_span_of(der, kc_ecdsa_to_der(der, sig)) : sig;

    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    set_padding(ctx, alg, true);
    assert_int_equal(EVP_PKEY_verify(ctx, checked.data, checked.len, digest.data, digest.len), 1);
    EVP_PKEY_CTX_free(ctx);

    size_t len = sizeof(theirs);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    set_padding(ctx, alg, true);
    assert_int_equal(EVP_PKEY_sign(ctx, theirs, &len, digest.data, digest.len), 1);
    EVP_PKEY_CTX_free(ctx);
    op.kind = KW_KIND_VERIFY;
    op.sig = kw_span_of(theirs, len);
    if (ec) {
        assert_int_equal(kc_ecdsa_from_der(ours, key->pub.coord_len, op.sig), KW_OK);
        op.sig = kw_span_of(ours, 2 * key->pub.coord_len);
    }
    run(&op, NULL, 0);
    assert_true(op.valid);
}

static void encryptions(const struct kc_key *key, enum kw_alg alg, size_t plain_len)
{
    uint8_t ours[512], theirs[512], plain[512];
    struct kc_lane_op op = {
        .key = key, .kind = KW_KIND_ENCRYPT, .alg = alg, .in = kw_span_of(data, plain_len)};
    struct kw_span cipher = run(&op, ours, sizeof(ours));
    size_t len = sizeof(plain);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    set_padding(ctx, alg, false);
    assert_int_equal(EVP_PKEY_decrypt(ctx, plain, &len, cipher.data, cipher.len), 1);
    EVP_PKEY_CTX_free(ctx);
    assert_int_equal(len, plain_len);
    assert_memory_equal(plain, data, plain_len);

    len = sizeof(theirs);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    assert_int_equal(EVP_PKEY_encrypt_init(ctx), 1);
    set_padding(ctx, alg, false);
    assert_int_equal(EVP_PKEY_encrypt(ctx, theirs, &len, data, plain_len), 1);
    EVP_PKEY_CTX_free(ctx);
    op.kind = KW_KIND_DECRYPT;
    op.in = kw_span_of(theirs, len);
    struct kw_span back = run(&op, plain, sizeof(plain));
    assert_int_equal(back.len, plain_len);
    assert_memory_equal(back.data, data, plain_len);
}

static void rsa(void **state)
{
    (void)state;
    for (unsigned bits = 2048; bits <= 4096; bits += 1024) {
        struct kc_key *key;
        assert_int_equal(kc_key_generate(&key, KW_KTY_RSA, bits, KW_CURVE_NONE, 65537), KW_OK);
        for (enum kw_alg alg = KW_ALG_RS256; alg <= KW_ALG_RSNULL; alg++) {
            signatures(key, alg);
        }
        for (enum kw_alg alg = KW_ALG_RSA1_5; alg <= KW_ALG_RSA_OAEP_256; alg++) {
            size_t most = bits / 8 - (alg == KW_ALG_RSA1_5 ? 11 : alg == KW_ALG_RSA_OAEP ? 42 : 66);
            encryptions(key, alg, 0);
            encryptions(key, alg, 1);
            encryptions(key, alg, most);
        }
        kc_key_unref(key);
    }
}

static void ecdsa(void **state)
{
    (void)state;
    for (enum kw_alg alg = KW_ALG_ES256; alg <= KW_ALG_ES256K; alg++) {
        struct kc_key *key;
        assert_int_equal(kc_key_generate(&key, KW_KTY_EC, 0, kw_alg_info(alg)->curve, 0), KW_OK);
        for (int i = 0; i < 40; i++) {
            data[0] = (uint8_t)i;
            signatures(key, alg);
        }
        kc_key_unref(key);
    }
}

/* One EVP cipher, one direction. Returns the length, with the tag behind the bytes for GCM. */
static size_t evp(const char *name, bool encrypt, const uint8_t *key, const uint8_t *iv,
                  struct kw_span in, uint8_t *out, uint8_t *tag, bool pad)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0, last = 0;
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    assert_int_equal(EVP_CipherInit_ex2(ctx, cipher, key, iv, encrypt, NULL), 1);
    EVP_CIPHER_CTX_set_padding(ctx, pad);
    if (tag) {
        assert_int_equal(EVP_CipherUpdate(ctx, NULL, &len, data, 20), 1);
    }
    assert_int_equal(EVP_CipherUpdate(ctx, out, &len, in.data, (int)in.len), 1);
    if (tag && !encrypt) {
        assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag), 1);
    }
    assert_int_equal(EVP_CipherFinal_ex(ctx, out + len, &last), 1);
    if (tag && encrypt) {
        assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag), 1);
    }
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return (size_t)(len + last);
}

static void cipher_both_ways(const struct kc_key *key, enum kw_alg alg, const char *mode,
                             size_t len)
{
    enum kw_family family = kw_alg_info(alg)->family;
    bool wrap = family == KW_FAMILY_AES_KW || family == KW_FAMILY_AES_KWP;
    bool gcm = family == KW_FAMILY_AES_GCM, pad = family == KW_FAMILY_AES_CBCPAD;
    char name[40];
    uint8_t ours[600], theirs[600], tag[16];
    snprintf(name, sizeof(name), "AES-%u-%s", key->pub.bits, mode);
    const uint8_t *iv = wrap ? NULL : data + 100;
    struct kc_lane_op op = {.key = key,
                            .alg = alg,
                            .in = kw_span_of(data, len),
                            .kind = wrap ? KW_KIND_WRAP : KW_KIND_ENCRYPT,
                            .iv = kw_span_of(data + 100, gcm ? 12 : 16),
                            .aad = kw_span_of(data, gcm ? 20 : 0)};
    struct kw_span made = run(&op, ours, sizeof(ours));
    size_t other =
        evp(name, true, key->oct, iv, kw_span_of(data, len), theirs, gcm ? tag : NULL, pad);
    assert_int_equal(made.len, other);
    assert_memory_equal(ours, theirs, other);
    if (gcm) {
        assert_memory_equal(op.tag, tag, 16);
    }
    op.kind = wrap ? KW_KIND_UNWRAP : KW_KIND_DECRYPT;
    op.in = kw_span_of(theirs, other);
    struct kw_span back = run(&op, ours, sizeof(ours));
    assert_int_equal(back.len, len);
    assert_memory_equal(back.data, data, len);
}

static void aes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct kc_key *key;
        assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, 128 + 64 * (unsigned)i, 0, 0), KW_OK);
        for (size_t len = 1; len <= 272; len++) {
            if (len % 8 == 0 && len >= 16) {
                cipher_both_ways(key, (enum kw_alg)(KW_ALG_A128KW + i), "WRAP", len);
                cipher_both_ways(key, KW_ALG_AES_KW, "WRAP", len);
            }
            cipher_both_ways(key, KW_ALG_AES_KWP, "WRAP-PAD", len);
            cipher_both_ways(key, (enum kw_alg)(KW_ALG_A128GCM + i), "GCM", len);
            if (len % 16 == 0) {
                cipher_both_ways(key, (enum kw_alg)(KW_ALG_A128CBC + i), "CBC", len);
            }
            cipher_both_ways(key, (enum kw_alg)(KW_ALG_A128CBCPAD + i), "CBC", len);
        }
        kc_key_unref(key);
    }
}

static void hmac(void **state)
{
    (void)state;
    static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};
    for (unsigned bits = 128; bits <= 256; bits += 64) {
        struct kc_key *key;
        assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, bits, 0, 0), KW_OK);
        for (size_t len = 0; len <= 300; len += 7) {
            for (int i = 0; i < 3; i++) {
                uint8_t ours[64], theirs[64];
                size_t their_len = 0;
                struct kc_lane_op op = {.key = key,
                                        .kind = KW_KIND_SIGN,
                                        .alg = (enum kw_alg)(KW_ALG_HS256 + i),
                                        .in = kw_span_of(data, len)};
                struct kw_span tag = run(&op, ours, sizeof(ours));
                assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, digests[i], NULL, key->oct, bits / 8,
                                          data, len, theirs, sizeof(theirs), &their_len));
                assert_int_equal(tag.len, their_len);
                assert_memory_equal(ours, theirs, their_len);
            }
        }
        kc_key_unref(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa),
        cmocka_unit_test(ecdsa),
        cmocka_unit_test(aes),
        cmocka_unit_test(hmac),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

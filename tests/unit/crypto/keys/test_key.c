/* Making keys and refusing what is none. */
#include "crypto/keys/key.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "crypto/keys/key_internal.h"

static struct kc_key *rsa, *ec;

static int make_keys(void **state)
{
    (void)state;
    return kc_key_generate(&rsa, KW_KTY_RSA, 2048, KW_CURVE_NONE, 65537) != KW_OK ||
           kc_key_generate(&ec, KW_KTY_EC, 0, KW_CURVE_P521, 0) != KW_OK;
}

static int drop_keys(void **state)
{
    (void)state;
    kc_key_unref(rsa);
    kc_key_unref(ec);
    return kw_secret_in_use() == 0 && ERR_peek_error() == 0 ? 0 : -1;
}

/* Parts of the shared RSA key. */
static struct kc_private_parts rsa_parts(void)
{
    const struct kc_rsa_private *r = rsa->rsa;
    return (struct kc_private_parts){
        .n = kw_span_of(r->n, 256),
        .e = kw_span_of(rsa->pub.e, rsa->pub.e_len),
        .d = kw_span_of(r->d, 256),
        .p = kw_span_of(r->p, 128),
        .q = kw_span_of(r->q, 128),
        .dp = kw_span_of(r->dp, 128),
        .dq = kw_span_of(r->dq, 128),
        .qi = kw_span_of(r->qi, 128),
    };
}

static kw_status import(enum kw_kty kty, enum kw_curve curve, const struct kc_private_parts *parts)
{
    struct kc_key *key;
    kw_status status = kc_key_import(&key, kty, curve, parts);
    assert_true((status == KW_OK) == (key != NULL));
    kc_key_unref(key);
    return status;
}

static void rsa_import_checks_every_part(void **state)
{
    (void)state;
    struct kc_private_parts parts = rsa_parts();
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_OK);
    struct kw_span *const all[] = {&parts.n, &parts.e,  &parts.d,  &parts.p,
                                   &parts.q, &parts.dp, &parts.dq, &parts.qi};
    for (size_t i = 0; i < 8; i++) {
        uint8_t changed[256];
        struct kw_span keep = *all[i];
        memcpy(changed, keep.data, keep.len);
        changed[keep.len - 1] ^= 4;
        *all[i] = kw_span_of(changed, keep.len);
        assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_INPUT);
        *all[i] = keep;
    }
    parts.d.len = 0;
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_INPUT);
    parts = rsa_parts();
    parts.q.len = 0;
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_INPUT);
    parts = rsa_parts();
    parts.n = kw_span_of(rsa->rsa->n, 128); /* 1024 bits */
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_UNSUPPORTED);
}

static void rsa_primes_are_recovered(void **state)
{
    (void)state;
    struct kc_private_parts all = rsa_parts(), parts = {.n = all.n, .e = all.e, .d = all.d};
    struct kc_key *key;
    assert_int_equal(kc_key_import(&key, KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_OK);
    bool same = memcmp(key->rsa->p, rsa->rsa->p, 128) == 0;
    assert_memory_equal(same ? key->rsa->q : key->rsa->p, rsa->rsa->q, 128);
    kc_key_unref(key);
    uint8_t d[256];
    memcpy(d, rsa->rsa->d, sizeof(d));
    d[100] ^= 1;
    parts.d = kw_span_of(d, sizeof(d));
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_INPUT);
}

static void composite_primes_are_refused(void **state)
{
    (void)state;
    /* q^2 as "n" with p = q: equal factors; and p = a product has the wrong length */
    struct kc_private_parts parts = rsa_parts();
    parts.q = parts.p;
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_INPUT);
    parts = rsa_parts();
    static const uint8_t one[] = {1};
    parts.p = parts.n;
    parts.q = kw_span_of(one, 1);
    assert_int_equal(import(KW_KTY_RSA, KW_CURVE_NONE, &parts), KW_E_INPUT);
}

static void public_keys_are_checked(void **state)
{
    (void)state;
    struct kc_key *key;
    struct kc_public pub = *kc_key_public(rsa);
    assert_int_equal(kc_key_from_public(&key, &pub), KW_OK);
    assert_false(kc_key_has_private(key));
    assert_memory_equal(kc_key_public(key)->n, pub.n, pub.n_len);
    kc_key_unref(key);
    pub.n[255] ^= 1;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT); /* even modulus */
    pub = *kc_key_public(rsa);
    pub.n_len = 255;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT);
    static const uint64_t bad_e[] = {0, 1, 2, 65536};
    for (size_t i = 0; i < 4; i++) {
        pub = *kc_key_public(rsa);
        for (int b = 0; b < 8; b++) {
            pub.e[b] = (uint8_t)(bad_e[i] >> (56 - 8 * b));
        }
        pub.e_len = 8;
        assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT);
    }
    pub = *kc_key_public(rsa);
    memset(pub.e, 0xff, 8); /* the largest that is allowed */
    pub.e_len = 8;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_OK);
    kc_key_unref(key);

    pub = *kc_key_public(ec);
    assert_int_equal(kc_key_from_public(&key, &pub), KW_OK);
    kc_key_unref(key);
    pub.y[65] ^= 1;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT);
    pub = *kc_key_public(ec);
    pub.curve = KW_CURVE_P256;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT);
    pub.curve = KW_CURVE_NONE;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT);
    pub.kty = KW_KTY_OCT;
    assert_int_equal(kc_key_from_public(&key, &pub), KW_E_INPUT);
    assert_null(key);
}

static void ec_import_checks_every_part(void **state)
{
    (void)state;
    uint8_t d[67] = {0}, x[66];
    memcpy(d + 1, ec->ec_d, 66);
    memcpy(x, ec->pub.x, 66);
    struct kc_private_parts parts = {
        .x = kw_span_of(x, 66), .y = kw_span_of(ec->pub.y, 66), .ec_d = kw_span_of(d + 1, 66)};
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_OK);
    parts.ec_d = kw_span_of(d, 67); /* a leading zero too many */
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_OK);
    d[66] ^= 1;
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_E_INPUT);
    d[66] ^= 1;
    d[0] = 1;
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_E_INPUT);
    d[0] = 0;
    x[65] ^= 1;
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_E_INPUT);
    x[65] ^= 1;
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P384, &parts), KW_E_INPUT);
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_NONE, &parts), KW_E_UNSUPPORTED);
    static const uint8_t zero[66];
    parts.ec_d = kw_span_of(zero, 66);
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_E_INPUT);
    parts.ec_d.len = 0;
    assert_int_equal(import(KW_KTY_EC, KW_CURVE_P521, &parts), KW_E_INPUT);
}

/* A key whose coordinate begins with zeros: the short form is accepted and padded. */
static void unpadded_coordinates(void **state)
{
    (void)state;
    struct kc_key *key = NULL, *again;
    for (int i = 0; i < 5000 && (!key || key->pub.x[0] != 0); i++) {
        kc_key_unref(key);
        assert_int_equal(kc_key_generate(&key, KW_KTY_EC, 0, KW_CURVE_P256, 0), KW_OK);
    }
    assert_int_equal(key->pub.x[0], 0);
    struct kc_private_parts parts = {.x = kw_span_of(key->pub.x + 1, 31),
                                     .y = kw_span_of(key->pub.y, 32),
                                     .ec_d = kw_span_of(key->ec_d, 32)};
    assert_int_equal(kc_key_import(&again, KW_KTY_EC, KW_CURVE_P256, &parts), KW_OK);
    assert_memory_equal(again->pub.x, key->pub.x, 32);
    assert_int_equal(again->pub.coord_len, 32);
    kc_key_unref(again);
    kc_key_unref(key);
}

static void oct_sizes(void **state)
{
    (void)state;
    uint8_t bytes[64] = {1};
    for (size_t len = 0; len <= 64; len++) {
        struct kc_private_parts parts = {.k = kw_span_of(bytes, len)};
        kw_status want = len == 0                              ? KW_E_INPUT
                         : len == 16 || len == 24 || len == 32 ? KW_OK
                                                               : KW_E_UNSUPPORTED;
        assert_int_equal(import(KW_KTY_OCT, KW_CURVE_NONE, &parts), want);
    }
}

static void private_form_round_trip(const struct kc_key *key)
{
    struct kw_secret der, again;
    struct kc_key *back;
    uint8_t padded[4096] = {0};
    assert_int_equal(kc_key_to_private(&der, key), KW_OK);
    assert_true(der.len + 16 < sizeof(padded));
    memcpy(padded, der.data, der.len);
    for (size_t zeros = 0; zeros <= 16; zeros += 5) {
        assert_int_equal(kc_key_from_private(&back, key->pub.kty, key->pub.curve,
                                             kw_span_of(padded, der.len + zeros)),
                         KW_OK);
        assert_int_equal(kc_key_to_private(&again, back), KW_OK);
        assert_int_equal(again.len, der.len);
        assert_memory_equal(again.data, der.data, der.len);
        kw_secret_clear(&again);
        kc_key_unref(back);
    }
    padded[der.len + 3] = 1;
    assert_int_equal(
        kc_key_from_private(&back, key->pub.kty, key->pub.curve, kw_span_of(padded, der.len + 8)),
        KW_E_INPUT);
    for (size_t len = 0; len < der.len; len++) {
        assert_int_equal(
            kc_key_from_private(&back, key->pub.kty, key->pub.curve, kw_span_of(padded, len)),
            KW_E_INPUT);
    }
    enum kw_kty other = key->pub.kty == KW_KTY_RSA ? KW_KTY_EC : KW_KTY_RSA;
    assert_int_equal(
        kc_key_from_private(&back, other, KW_CURVE_P256, kw_span_of(der.data, der.len)),
        KW_E_INPUT);
    kw_secret_clear(&der);
}

static void private_forms(void **state)
{
    (void)state;
    private_form_round_trip(rsa);
    private_form_round_trip(ec);
    struct kc_key *half;
    struct kw_secret out;
    assert_int_equal(kc_key_from_public(&half, kc_key_public(ec)), KW_OK);
    assert_int_equal(kc_key_to_private(&out, half), KW_E_FORBIDDEN);
    kc_key_unref(half);
}

static void generator_refuses(void **state)
{
    (void)state;
    struct kc_key *key;
    assert_int_equal(kc_key_generate(&key, KW_KTY_RSA, 1024, 0, 65537), KW_E_UNSUPPORTED);
    assert_int_equal(kc_key_generate(&key, KW_KTY_RSA, 2048, 0, 17), KW_E_INPUT);
    assert_int_equal(kc_key_generate(&key, KW_KTY_EC, 0, KW_CURVE_NONE, 0), KW_E_UNSUPPORTED);
    assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, 129, 0, 0), KW_E_UNSUPPORTED);
    assert_null(key);
    assert_int_equal(kc_key_generate(&key, KW_KTY_RSA, 2048, 0, 3), KW_OK);
    assert_int_equal(kc_key_public(key)->e[0], 3);
    kc_key_unref(key);
}

/* Blinding multiplies by r^e and divides by r: with an e that does not belong to d the result turns
 * random, without blinding it would stay the same. */
static void private_operations_are_blinded(void **state)
{
    (void)state;
    struct kc_key crooked = *rsa;
    crooked.pub.e[0] = 3;
    crooked.pub.e_len = 1;
    uint8_t in[256] = {0, 1, 2, 3}, out[2][256];
    for (int i = 0; i < 2; i++) {
        size_t len = sizeof(out[i]);
        EVP_PKEY *pkey = kc_rsa_plain_pkey(&crooked);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
        assert_int_equal(EVP_PKEY_decrypt(ctx, out[i], &len, in, sizeof(in)), 1);
        EVP_PKEY_CTX_free(ctx);
        EVP_PKEY_free(pkey);
    }
    assert_memory_not_equal(out[0], out[1], 256);
}

static unsigned built, destroyed;
static bool refuse_build;

static kw_status build_extension(void **out, const struct kc_key *key)
{
    assert_true(key->pub.bits != 0);
    built++;
    *out = &built;
    return refuse_build ? KW_E_NOMEM : KW_OK;
}

static void destroy_extension(void *prepared)
{
    assert_ptr_equal(prepared, &built);
    destroyed++;
}

static void kernels_hang_their_own_on_keys(void **state)
{
    (void)state;
    static const struct kc_key_extension extension = {build_extension, destroy_extension};
    struct kc_key *key;
    kc_key_extend(KC_KEY_SLOT_AES, &extension);
    assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, 256, 0, 0), KW_OK);
    assert_ptr_equal(key->slots[KC_KEY_SLOT_AES].prepared, &built);
    assert_ptr_equal(kc_key_ref(key), key);
    kc_key_unref(key);
    assert_int_equal(destroyed, 0);
    kc_key_unref(key);
    assert_int_equal(built, 1);
    assert_int_equal(destroyed, 1);
    refuse_build = true;
    assert_int_equal(kc_key_generate(&key, KW_KTY_OCT, 256, 0, 0), KW_E_NOMEM);
    assert_null(key);
    kc_key_extend(KC_KEY_SLOT_AES, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_import_checks_every_part),
        cmocka_unit_test(rsa_primes_are_recovered),
        cmocka_unit_test(composite_primes_are_refused),
        cmocka_unit_test(public_keys_are_checked),
        cmocka_unit_test(ec_import_checks_every_part),
        cmocka_unit_test(unpadded_coordinates),
        cmocka_unit_test(oct_sizes),
        cmocka_unit_test(private_forms),
        cmocka_unit_test(generator_refuses),
        cmocka_unit_test(private_operations_are_blinded),
        cmocka_unit_test(kernels_hang_their_own_on_keys),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}

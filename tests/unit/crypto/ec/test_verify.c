/* Verification through the lane interface: what OpenSSL says decides, in every lane, for good
 * signatures, changed ones, numbers out of range and sums that meet exceptional additions. */
#include "tests/unit/crypto/ec/ec_support.h"

#include <openssl/evp.h>
#include <string.h>

#include "crypto/ec/table.h"
#include "crypto/ec/verify.h"
#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/ecdsa_der.h"
#include "crypto/lanes/scratch.h"

static struct kc_scratch *scratch;

static const enum kw_alg algs[CURVES] = {KW_ALG_ES256, KW_ALG_ES384, KW_ALG_ES512};

static struct kc_key *make_key(unsigned c)
{
    struct kc_key *key = NULL;
    enum kw_curve curve = (enum kw_curve)(KW_CURVE_P256 + c);
    assert_int_equal(kc_key_generate(&key, KW_KTY_EC, 0, curve, 0), KW_OK);
    return key;
}

/* A key with a chosen scalar. */
static struct kc_key *key_of_scalar(unsigned c, const BIGNUM *d)
{
    const unsigned len = ec_curve(c)->bytes;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(ec_nids[c]);
    EC_POINT *point = EC_POINT_new(group);
    BIGNUM *x = BN_new(), *y = BN_new();
    uint8_t bytes[3][66];
    EC_POINT_mul(group, point, d, NULL, NULL, NULL);
    EC_POINT_get_affine_coordinates(group, point, x, y, NULL);
    BN_bn2binpad(x, bytes[0], (int)len);
    BN_bn2binpad(y, bytes[1], (int)len);
    BN_bn2binpad(d, bytes[2], (int)len);
    struct kc_private_parts parts = {.x = kw_span_of(bytes[0], len),
                                     .y = kw_span_of(bytes[1], len),
                                     .ec_d = kw_span_of(bytes[2], len)};
    struct kc_key *key = NULL;
    assert_int_equal(kc_key_import(&key, KW_KTY_EC, (enum kw_curve)(KW_CURVE_P256 + c), &parts),
                     KW_OK);
    BN_free(x);
    BN_free(y);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return key;
}

static bool openssl_says(const struct kc_lane_op *op)
{
    uint8_t der[KC_ECDSA_DER_MAX];
    size_t len = kc_ecdsa_to_der(der, op->sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    int verdict = EVP_PKEY_verify(ctx, der, len, op->in.data, op->in.len);
    EVP_PKEY_CTX_free(ctx);
    return verdict == 1;
}

struct batch {
    struct kc_lane_op op[KC_EC_LANES], *ops[KC_EC_LANES];
    uint8_t digest[KC_EC_LANES][64], sig[KC_EC_LANES][132];
    size_t width;
};

/* Fresh random digests, signed. */
static void batch_sign(struct batch *b, unsigned c, struct kc_key *const *keys, unsigned count)
{
    const struct kw_alg_info *info = kw_alg_info(algs[c]);
    b->width = ec_curve(c)->bytes;
    for (unsigned i = 0; i < count; i++) {
        ec_bytes(b->digest[i], info->digest_len);
        b->op[i] = (struct kc_lane_op){.key = keys[i % 3],
                                       .kind = KW_KIND_SIGN,
                                       .alg = algs[c],
                                       .in = kw_span_of(b->digest[i], info->digest_len),
                                       .out = {b->sig[i], 0, sizeof b->sig[i]}};
        b->ops[i] = &b->op[i];
    }
    kc_lanes_run(b->ops, count, (enum kc_shape)(KC_SHAPE_P256_SIGN + c), scratch);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(b->op[i].status, KW_OK);
        assert_int_equal(b->op[i].out.len, 2 * b->width);
        b->op[i].kind = KW_KIND_VERIFY;
        b->op[i].sig = kw_span_of(b->sig[i], 2 * b->width);
    }
}

static void batch_verify(struct batch *b, unsigned c, unsigned count)
{
    kc_lanes_run(b->ops, count, (enum kc_shape)(KC_SHAPE_P256_VERIFY + c), scratch);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(b->op[i].status, KW_OK);
}

/* What is done to lane i: 0 and 1 nothing, else a bit of r, of s or of the digest, or r and s in
 * the other order, or 0, or n, or r + n where it fits. */
static bool spoil(struct batch *b, unsigned c, unsigned i, unsigned how)
{
    BIGNUM *order = ec_lane(ec_curve(c)->n.m, ec_curve(c)->nd, 0);
    uint8_t *r = b->sig[i], *s = r + b->width, swap[66];
    unsigned bit = (unsigned)(ec_rnd() % (8 * b->width));
    switch (how) {
    case 2:
        r[bit / 8] ^= (uint8_t)(1 << bit % 8);
        break;
    case 3:
        s[bit / 8] ^= (uint8_t)(1 << bit % 8);
        break;
    case 4:
        b->digest[i][bit / 8 % b->op[i].in.len] ^= (uint8_t)(1 << bit % 8);
        break;
    case 5:
        memcpy(swap, r, b->width);
        memcpy(r, s, b->width);
        memcpy(s, swap, b->width);
        break;
    case 6:
        memset(bit % 2 ? r : s, 0, b->width);
        break;
    case 7:
        BN_bn2binpad(order, bit % 2 ? r : s, (int)b->width);
        break;
    default:
        break;
    }
    BN_free(order);
    return how > 1;
}

/* Keys that are asked about often have tables of their own (crypto/ec/table.h). */
static void make_hot(unsigned c, struct kc_key *const *keys)
{
    struct batch b;
    for (unsigned i = 0; i < KC_EC_TABLE_AFTER; i++) {
        batch_sign(&b, c, keys, 3);
        batch_verify(&b, c, 3);
    }
    for (unsigned i = 0; i < 3 && c == 0; i++)
        assert_non_null(kc_ec_table_of(scratch->kept, keys[i]->slots[KC_KEY_SLOT_EC].prepared));
}

static void verdicts_of(bool hot)
{
    for (unsigned c = 0; c < CURVES; c++) {
        struct kc_key *keys[3] = {make_key(c), make_key(c), make_key(c)};
        struct batch b;
        if (hot)
            make_hot(c, keys);
        for (unsigned round = 0; round < (hot ? 64 : 16); round++) {
            const unsigned count = 1 + (round + 7) % KC_EC_LANES;
            batch_sign(&b, c, keys, count);
            bool spoiled[KC_EC_LANES];
            for (unsigned i = 0; i < count; i++)
                spoiled[i] = spoil(&b, c, i, (i + round) % 8);
            batch_verify(&b, c, count);
            for (unsigned i = 0; i < count; i++) {
                assert_int_equal(b.op[i].valid, !spoiled[i]);
                assert_int_equal(b.op[i].valid, openssl_says(&b.op[i]));
            }
        }
        for (unsigned i = 0; i < 3; i++)
            kc_key_unref(keys[i]);
    }
}

static void verdicts(void **state)
{
    (void)state;
    verdicts_of(false);
}

static void verdicts_of_hot_keys(void **state)
{
    (void)state;
    verdicts_of(true);
}

/* More hot keys than tables: they take each other's places, and every verdict stays right. */
static void more_keys_than_tables(void **state)
{
    enum { KEYS = 3 * KC_EC_TABLES };
    (void)state;
    struct kc_key *keys[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        keys[i] = make_key(0);
    for (unsigned round = 0; round < 40; round++)
        for (unsigned first = 0; first + 3 <= KEYS; first += 3) {
            struct batch b;
            batch_sign(&b, 0, keys + first, 6);
            b.sig[round % 6][5] ^= 1;
            batch_verify(&b, 0, 6);
            for (unsigned i = 0; i < 6; i++)
                assert_int_equal(b.op[i].valid, i != round % 6);
        }
    for (unsigned i = 0; i < KEYS; i++)
        kc_key_unref(keys[i]);
}

/* A signature of another key, and a length that is not the curve's, in company of good ones. */
static void other_key_and_length(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        struct kc_key *keys[3] = {make_key(c), make_key(c), make_key(c)};
        struct batch b;
        batch_sign(&b, c, keys, KC_EC_LANES);
        b.op[2].key = keys[0];
        b.op[5].sig.len--;
        batch_verify(&b, c, KC_EC_LANES);
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            assert_int_equal(b.op[i].valid, i != 2 && i != 5);
        for (unsigned i = 0; i < 3; i++)
            kc_key_unref(keys[i]);
    }
}

/* r, s and digest such that u1 G and u2 Q are what the case wants: with u2 = u (mod n) and Q = d G,
 * R = (u1 + u d) G; r = x(R) when it is a signature, s = r / u, e = u1 s. */
static void craft(struct batch *b, unsigned c, unsigned i, const BIGNUM *d, const BIGNUM *u1,
                  const BIGNUM *u2)
{
    BN_CTX *ctx = BN_CTX_new();
    EC_GROUP *group = EC_GROUP_new_by_curve_name(ec_nids[c]);
    const BIGNUM *n = EC_GROUP_get0_order(group);
    EC_POINT *point = EC_POINT_new(group);
    BIGNUM *k = BN_new(), *r = BN_new(), *s = BN_new();
    BN_mod_mul(k, u2, d, n, ctx);
    BN_mod_add(k, k, u1, n, ctx);
    if (BN_is_zero(k))
        BN_set_word(r, 5); /* infinity: no r is right */
    else if (EC_POINT_mul(group, point, k, NULL, NULL, ctx))
        EC_POINT_get_affine_coordinates(group, point, r, NULL, ctx);
    BN_nnmod(r, r, n, ctx);
    BN_mod_inverse(s, u2, n, ctx);
    BN_mod_mul(s, s, r, n, ctx);
    BN_bn2binpad(r, b->sig[i], (int)b->width);
    BN_bn2binpad(s, b->sig[i] + b->width, (int)b->width);
    BN_mod_mul(k, u1, s, n, ctx);
    /* P-521's digests have 512 bits: only e = 0 can be had there */
    assert_true(BN_bn2binpad(k, b->digest[i], (int)b->op[i].in.len) > 0);
    BN_free(k);
    BN_free(r);
    BN_free(s);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    BN_CTX_free(ctx);
}

static void exceptional_sums_of(bool hot)
{
    for (unsigned c = 0; c < CURVES; c++) {
        BIGNUM *d = BN_new(), *u1 = BN_new(), *u2 = BN_new();
        BIGNUM *n = ec_lane(ec_curve(c)->n.m, ec_curve(c)->nd, 0);
        BN_set_word(d, 7);
        struct kc_key *keys[3] = {key_of_scalar(c, d), key_of_scalar(c, d), make_key(c)};
        struct batch b;
        if (hot)
            make_hot(c, keys);
        batch_sign(&b, c, keys, KC_EC_LANES);
        for (unsigned i = 0; i < KC_EC_LANES; i++) {
            if (i % 3 == 2)
                continue; /* a good signature of another key beside them */
            BN_set_word(u2, 1000 + i);
            BN_set_word(u1, 7 * (1000 + i)); /* u1 G = u2 Q: a doubling */
            if (i % 3 == 1)
                BN_sub(u1, n, u1); /* u1 G = -u2 Q: infinity */
            if (c == 2 || i == 0)
                BN_zero(u1); /* u1 G = infinity */
            craft(&b, c, i, d, u1, u2);
        }
        batch_verify(&b, c, KC_EC_LANES);
        for (unsigned i = 0; i < KC_EC_LANES; i++) {
            bool infinite = i % 3 == 1 && c != 2;
            assert_int_equal(b.op[i].valid, !infinite);
            assert_int_equal(openssl_says(&b.op[i]), !infinite);
            b.op[i].valid = infinite; /* alone, shared out over the lanes */
            kc_lanes_run(&b.ops[i], 1, (enum kc_shape)(KC_SHAPE_P256_VERIFY + c), scratch);
            assert_int_equal(b.op[i].status, KW_OK);
            assert_int_equal(b.op[i].valid, !infinite);
        }
        for (unsigned i = 0; i < 3; i++)
            kc_key_unref(keys[i]);
        BN_free(d);
        BN_free(u1);
        BN_free(u2);
        BN_free(n);
    }
}

static void exceptional_sums(void **state)
{
    (void)state;
    exceptional_sums_of(false);
}

static void exceptional_sums_of_hot_keys(void **state)
{
    (void)state;
    exceptional_sums_of(true);
}

/* Keys from before the kernels carry nothing for them and are still served, beside others. */
static void unprepared_keys(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        kc_key_extend(KC_KEY_SLOT_EC, NULL);
        struct kc_key *keys[3] = {make_key(c), NULL, NULL};
        assert_int_equal(kc_lanes_init(), KW_OK); /* registers the extension again */
        keys[1] = make_key(c);
        keys[2] = make_key(c);
        assert_null(keys[0]->slots[KC_KEY_SLOT_EC].prepared);
        assert_non_null(keys[1]->slots[KC_KEY_SLOT_EC].prepared);
        struct batch b;
        batch_sign(&b, c, keys, KC_EC_LANES);
        b.sig[0][4] ^= 1;
        b.sig[1][4] ^= 1;
        batch_verify(&b, c, KC_EC_LANES);
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            assert_int_equal(b.op[i].valid, i > 1);
        for (unsigned i = 0; i < 3; i++)
            kc_key_unref(keys[i]);
    }
}

static int start(void **state)
{
    (void)state;
    assert_int_equal(kc_lanes_init(), KW_OK);
    scratch = kc_scratch_create();
    return scratch && strcmp(kc_lanes_kernel(KC_SHAPE_P256_VERIFY), "openssl") != 0 ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    kc_scratch_destroy(scratch);
    return kw_secret_in_use() == 0 && kc_lanes_alarms() == 0 ? 0 : -1;
}

int main(void)
{
    ec_need_cpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(other_key_and_length),
        cmocka_unit_test(exceptional_sums),
        cmocka_unit_test(verdicts_of_hot_keys),
        cmocka_unit_test(exceptional_sums_of_hot_keys),
        cmocka_unit_test(more_keys_than_tables),
        cmocka_unit_test(unprepared_keys),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

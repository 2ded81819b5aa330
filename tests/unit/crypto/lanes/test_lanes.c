/* Whole operations through the lane interface: every algorithm there and back, refusals, faults. */
#include "crypto/lanes/lanes.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "crypto/lanes/dispatch.h"

#define ROOM 1024

static struct kc_key *rsa[3], *ec[4], *oct[3];
static struct kc_scratch *scratch;

static int make_keys(void **state)
{
    (void)state;
    assert_int_equal(kc_lanes_init(), KW_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(kc_key_generate(&rsa[i], KW_KTY_RSA, 2048 + 1024 * i, 0, 65537), KW_OK);
        assert_int_equal(kc_key_generate(&oct[i], KW_KTY_OCT, 128 + 64 * i, 0, 0), KW_OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(
            kc_key_generate(&ec[i], KW_KTY_EC, 0, (enum kw_curve)(KW_CURVE_P256 + i), 0), KW_OK);
    }
    scratch = kc_scratch_create();
    return scratch ? 0 : -1;
}

static int drop_keys(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        kc_key_unref(rsa[i]);
        kc_key_unref(oct[i]);
    }
    for (int i = 0; i < 4; i++) {
        kc_key_unref(ec[i]);
    }
    kc_scratch_destroy(scratch);
    return kw_secret_in_use() == 0 ? 0 : -1;
}

static struct kc_key *key_for(enum kw_alg alg, unsigned size)
{
    const struct kw_alg_info *info = kw_alg_info(alg);
    switch (info->kty) {
    case KW_KTY_RSA:
        return rsa[size];
    case KW_KTY_EC:
        return ec[info->curve - KW_CURVE_P256];
    default:
        return info->key_bits ? oct[info->key_bits / 64 - 2] : oct[size];
    }
}

static size_t input_len(enum kw_alg alg)
{
    const struct kw_alg_info *info = kw_alg_info(alg);
    return info->digest_len ? info->digest_len : 32;
}

static kw_status run(struct kc_lane_op *op)
{
    enum kc_shape shape;
    kw_status status = kc_lanes_shape(op, &shape);
    if (status != KW_OK) {
        return status;
    }
    kc_lanes_run(&op, 1, shape, scratch);
    return op->status;
}

static bool serves(enum kw_alg alg, enum kw_kind kind)
{
    return kw_alg_info(alg)->kinds >> kind & 1;
}

static void there_and_back(enum kw_alg alg, unsigned size, enum kw_kind there, enum kw_kind back)
{
    uint8_t in[64], mid[ROOM], out[ROOM];
    static const uint8_t iv[16] = {7};
    assert_int_equal(kw_random(in, sizeof(in)), KW_OK);
    size_t iv_len = kw_alg_info(alg)->family == KW_FAMILY_AES_GCM ? 12 : 16;
    struct kc_lane_op op = {.key = key_for(alg, size),
                            .kind = there,
                            .alg = alg,
                            .in = kw_span_of(in, input_len(alg)),
                            .iv = kw_span_of(iv, iv_len),
                            .out = {mid, 0, sizeof(mid)}};
    assert_int_equal(run(&op), KW_OK);
    assert_true(op.out.len > 0);
    assert_true(op.out.len <= kw_alg_out_max(alg, there, kc_key_public(op.key)->bits, op.in.len));

    struct kw_span made = kw_buf_span(&op.out);
    op.kind = back;
    op.out = (struct kw_buf){out, 0, sizeof(out)};
    if (back == KW_KIND_VERIFY) {
        op.sig = made;
        assert_int_equal(run(&op), KW_OK);
        assert_true(op.valid);
        mid[made.len / 2] ^= 1;
        assert_int_equal(run(&op), KW_OK);
        assert_false(op.valid);
        mid[made.len / 2] ^= 1;
        op.sig.len--;
        assert_int_equal(run(&op), KW_OK);
        assert_false(op.valid);
    } else {
        op.in = made;
        assert_int_equal(run(&op), KW_OK);
        assert_int_equal(op.out.len, input_len(alg));
        assert_memory_equal(out, in, op.out.len);
    }
}

static void every_algorithm_there_and_back(void **state)
{
    (void)state;
    for (enum kw_alg alg = KW_ALG_NONE + 1; alg < KW_ALG_COUNT; alg++) {
        for (unsigned size = 0; size < 3; size++) {
            if (serves(alg, KW_KIND_SIGN)) {
                there_and_back(alg, size, KW_KIND_SIGN, KW_KIND_VERIFY);
            }
            if (serves(alg, KW_KIND_ENCRYPT)) {
                there_and_back(alg, size, KW_KIND_ENCRYPT, KW_KIND_DECRYPT);
            }
            if (serves(alg, KW_KIND_WRAP)) {
                there_and_back(alg, size, KW_KIND_WRAP, KW_KIND_UNWRAP);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_algorithm_there_and_back),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}

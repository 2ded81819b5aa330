/* Known answers through the dispatch table before anything is served: a kernel that computes
 * wrongly on this machine stops the start. */
#include "crypto/lanes/dispatch.h"

static const uint8_t kek[24] = {0x58, 0x40, 0xdf, 0x6e, 0x29, 0xb0, 0x2a, 0xf1,
                                0xab, 0x49, 0x3b, 0x70, 0x5b, 0xf1, 0x6e, 0xa1,
                                0xae, 0x83, 0x38, 0xf4, 0xdc, 0xc1, 0x76, 0xa8};

struct answer {
    enum kw_alg alg;
    enum kw_kind kind, back; /* back: the kind that undoes it */
    struct kw_span key, in, iv, aad, want, tag;
};

#define BYTES(...)                                                                                 \
    {                                                                                              \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})                     \
    }

static const uint8_t zeros[16];

static const struct answer answers[] = {
    /* RFC 5649 section 6, both examples */
    {.alg = KW_ALG_AES_KWP,
     .kind = KW_KIND_WRAP,
     .back = KW_KIND_UNWRAP,
     .key = {kek, sizeof(kek)},
     .in = BYTES(0xc3, 0x7b, 0x7e, 0x64, 0x92, 0x58, 0x43, 0x40, 0xbe, 0xd1, 0x22, 0x07, 0x80, 0x89,
                 0x41, 0x15, 0x50, 0x68, 0xf7, 0x38),
     .want = BYTES(0x13, 0x8b, 0xde, 0xaa, 0x9b, 0x8f, 0xa7, 0xfc, 0x61, 0xf9, 0x77, 0x42, 0xe7,
                   0x22, 0x48, 0xee, 0x5a, 0xe6, 0xae, 0x53, 0x60, 0xd1, 0xae, 0x6a, 0x5f, 0x54,
                   0xf3, 0x73, 0xfa, 0x54, 0x3b, 0x6a)},
    {.alg = KW_ALG_AES_KWP,
     .kind = KW_KIND_WRAP,
     .back = KW_KIND_UNWRAP,
     .key = {kek, sizeof(kek)},
     .in = BYTES(0x46, 0x6f, 0x72, 0x50, 0x61, 0x73, 0x69),
     .want = BYTES(0xaf, 0xbe, 0xb0, 0xf0, 0x7d, 0xfb, 0xf5, 0x41, 0x92, 0x00, 0xf2, 0xcc, 0xb5,
                   0x0b, 0xb2, 0x4f)},
    /* RFC 3394 section 4.1 */
    {.alg = KW_ALG_A128KW,
     .kind = KW_KIND_WRAP,
     .back = KW_KIND_UNWRAP,
     .key = BYTES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
     .in = BYTES(0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
                 0xee, 0xff),
     .want = BYTES(0x1f, 0xa6, 0x8b, 0x0a, 0x81, 0x12, 0xb4, 0x47, 0xae, 0xf3, 0x4b, 0xd8, 0xfb,
                   0x5a, 0x7b, 0x82, 0x9d, 0x3e, 0x86, 0x23, 0x71, 0xd2, 0xcf, 0xe5)},
    /* SP 800-38D, the GCM paper's test case 2 */
    {.alg = KW_ALG_A128GCM,
     .kind = KW_KIND_ENCRYPT,
     .back = KW_KIND_DECRYPT,
     .key = {zeros, 16},
     .in = {zeros, 16},
     .iv = {zeros, 12},
     .want = BYTES(0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92, 0xf3, 0x28, 0xc2, 0xb9, 0x71,
                   0xb2, 0xfe, 0x78),
     .tag = BYTES(0xab, 0x6e, 0x47, 0xd4, 0x2c, 0xec, 0x13, 0xbd, 0xf5, 0x3a, 0x67, 0xb2, 0x12,
                  0x57, 0xbd, 0xdf)},
    /* SP 800-38A section F.2.1, first block */
    {.alg = KW_ALG_A128CBC,
     .kind = KW_KIND_ENCRYPT,
     .back = KW_KIND_DECRYPT,
     .key = BYTES(0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09,
                  0xcf, 0x4f, 0x3c),
     .in = BYTES(0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93,
                 0x17, 0x2a),
     .iv = BYTES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
     .want = BYTES(0x76, 0x49, 0xab, 0xac, 0x81, 0x19, 0xb2, 0x46, 0xce, 0xe9, 0x8e, 0x9b, 0x12,
                   0xe9, 0x19, 0x7d)},
};

/* Runs one operation alone and says whether the output is `want`. */
static bool gives(struct kc_lane_op *op, struct kw_span want, struct kc_scratch *scratch)
{
    enum kc_shape shape;
    if (kc_lanes_shape(op, &shape) != KW_OK) {
        return false;
    }
    kc_lanes_run(&op, 1, shape, scratch);
    return op->status == KW_OK && op->out.len == want.len &&
           memcmp(op->out.data, want.data, want.len) == 0;
}

static bool check_answer(const struct answer *a, struct kc_scratch *scratch)
{
    struct kc_key *key = NULL;
    struct kc_private_parts parts = {.k = a->key};
    if (kc_key_import(&key, KW_KTY_OCT, KW_CURVE_NONE, &parts) != KW_OK) {
        return false;
    }
    uint8_t out[64];
    struct kc_lane_op op = {.key = key,
                            .kind = a->kind,
                            .alg = a->alg,
                            .in = a->in,
                            .iv = a->iv,
                            .aad = a->aad,
                            .out = {out, 0, sizeof(out)}};
    bool ok = gives(&op, a->want, scratch) &&
              (a->tag.len == 0 || memcmp(op.tag, a->tag.data, a->tag.len) == 0);
    op.kind = a->back;
    op.in = a->want;
    ok = ok && gives(&op, a->in, scratch);
    kc_key_unref(key);
    return ok;
}

kw_status kc_selftest(void)
{
    struct kc_scratch *scratch = kc_scratch_create();
    if (!scratch) {
        return KW_E_NOMEM;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(answers) / sizeof(answers[0]); i++) {
        ok = check_answer(&answers[i], scratch);
    }
    kc_scratch_destroy(scratch);
    return ok ? KW_OK : KW_E_INTERNAL;
}

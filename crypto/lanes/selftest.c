/* Known answers through the dispatch table before anything is served: a kernel that computes
 * wrongly on this machine stops the start. */
#include "crypto/keys/key_internal.h"
#include "crypto/lanes/dispatch.h"
#include "crypto/lanes/selftest_keys.h"

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

static bool runs(struct kc_lane_op *op, struct kc_scratch *scratch)
{
    enum kc_shape shape;
    if (kc_lanes_shape(op, &shape) != KW_OK) {
        return false;
    }
    kc_lanes_run(&op, 1, shape, scratch);
    return true;
}

/* Runs one operation alone and says whether the output is `want`. */
static bool gives(struct kc_lane_op *op, struct kw_span want, struct kc_scratch *scratch)
{
    return runs(op, scratch) && op->status == KW_OK && op->out.len == want.len &&
           memcmp(op->out.data, want.data, want.len) == 0;
}

/* The signature just made is accepted, and refused with one bit changed. */
static bool verdicts(struct kc_lane_op *op, struct kc_scratch *scratch)
{
    op->kind = KW_KIND_VERIFY;
    op->sig = kw_buf_span(&op->out);
    bool accepted = runs(op, scratch) && op->status == KW_OK && op->valid;
    op->out.data[op->sig.len / 2] ^= 1;
    return accepted && runs(op, scratch) && op->status == KW_OK && !op->valid;
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

/* HMAC-SHA-256 of 16 zero bytes under 00 01 ... 0f, made and checked; a changed one is refused. */
static bool check_hmac(struct kc_scratch *scratch)
{
    static const uint8_t k[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const uint8_t want[32] = {0xfe, 0x6e, 0x80, 0x16, 0xf7, 0xf2, 0x41, 0xc0,
                                     0x75, 0x65, 0xb4, 0x67, 0x68, 0x8e, 0x20, 0xc7,
                                     0x53, 0x6b, 0xde, 0x74, 0x85, 0x8b, 0x29, 0xa0,
                                     0xc0, 0xef, 0x86, 0x0e, 0x71, 0x7e, 0x88, 0x6a};
    struct kc_key *key = NULL;
    struct kc_private_parts parts = {.k = kw_span_of(k, sizeof(k))};
    if (kc_key_import(&key, KW_KTY_OCT, KW_CURVE_NONE, &parts) != KW_OK) {
        return false;
    }
    uint8_t out[32];
    struct kc_lane_op op = {.key = key,
                            .kind = KW_KIND_SIGN,
                            .alg = KW_ALG_HS256,
                            .in = kw_span_of(zeros, 16),
                            .out = {out, 0, sizeof(out)}};
    bool ok = gives(&op, kw_span_of(want, sizeof(want)), scratch) && verdicts(&op, scratch);
    kc_key_unref(key);
    return ok;
}

struct rsa_answer {
    struct kw_span n, d, p, q, signature;
};

#define RSA_ANSWER(bits)                                                                           \
    {                                                                                              \
        {rsa##bits##_n, sizeof(rsa##bits##_n)}, {rsa##bits##_d, sizeof(rsa##bits##_d)},            \
            {rsa##bits##_p, sizeof(rsa##bits##_p)}, {rsa##bits##_q, sizeof(rsa##bits##_q)},        \
        {                                                                                          \
            rsa##bits##_signature, sizeof(rsa##bits##_signature)                                   \
        }                                                                                          \
    }

static const struct rsa_answer rsa_answers[] = {RSA_ANSWER(2048), RSA_ANSWER(3072),
                                                RSA_ANSWER(4096)};

static struct kc_key *rsa_key(const struct rsa_answer *a)
{
    static const uint8_t e[] = {1, 0, 1};
    struct kc_rsa_numbers num = {
        .n = BN_bin2bn(a->n.data, (int)a->n.len, NULL),
        .e = BN_bin2bn(e, sizeof(e), NULL),
        .d = BN_bin2bn(a->d.data, (int)a->d.len, NULL),
        .p = BN_bin2bn(a->p.data, (int)a->p.len, NULL),
        .q = BN_bin2bn(a->q.data, (int)a->q.len, NULL),
    };
    struct kc_key *key = NULL;
    if (!num.n || !num.e || !num.d || !num.p || !num.q ||
        kc_rsa_private_make(&key, &num, KC_KEY_STORED) != KW_OK) {
        key = NULL;
    }
    kc_rsa_numbers_clear(&num);
    return key;
}

/* A known signature that must come from the first path: an alarm means that the kernel failed and
 * the second path stepped in. */
static bool check_rsa(const struct rsa_answer *a, struct kc_scratch *scratch)
{
    uint8_t digest[32], out[KW_RSA_MAX_BYTES];
    for (unsigned i = 0; i < sizeof(digest); i++) {
        digest[i] = (uint8_t)i;
    }
    struct kc_key *key = rsa_key(a);
    if (!key) {
        return false;
    }
    uint64_t alarms = kc_lanes_alarms();
    struct kc_lane_op op = {.key = key,
                            .kind = KW_KIND_SIGN,
                            .alg = KW_ALG_RS256,
                            .in = kw_span_of(digest, sizeof(digest)),
                            .out = {out, 0, sizeof(out)}};
    bool ok =
        gives(&op, a->signature, scratch) && verdicts(&op, scratch) && kc_lanes_alarms() == alarms;
    kc_key_unref(key);
    return ok;
}

/* ECDSA is random: a pairwise test on each curve (FIPS 140-3 IG 10.3.A). */
static bool check_ecdsa(enum kw_alg alg, struct kc_scratch *scratch)
{
    uint8_t digest[64] = {1}, out[132];
    struct kc_key *key = NULL;
    const struct kw_alg_info *info = kw_alg_info(alg);
    if (kc_key_generate(&key, KW_KTY_EC, 0, info->curve, 0) != KW_OK) {
        return false;
    }
    struct kc_lane_op op = {.key = key,
                            .kind = KW_KIND_SIGN,
                            .alg = alg,
                            .in = kw_span_of(digest, info->digest_len),
                            .out = {out, 0, sizeof(out)}};
    bool ok = runs(&op, scratch) && op.status == KW_OK && verdicts(&op, scratch);
    kc_key_unref(key);
    return ok;
}

kw_status kc_selftest(void)
{
    struct kc_scratch *scratch = kc_scratch_create();
    if (!scratch) {
        return KW_E_NOMEM;
    }
    bool ok = check_hmac(scratch);
    for (size_t i = 0; ok && i < sizeof(answers) / sizeof(answers[0]); i++) {
        ok = check_answer(&answers[i], scratch);
    }
    for (size_t i = 0; ok && i < sizeof(rsa_answers) / sizeof(rsa_answers[0]); i++) {
        ok = check_rsa(&rsa_answers[i], scratch);
    }
    for (enum kw_alg alg = KW_ALG_ES256; ok && alg <= KW_ALG_ES256K; alg++) {
        ok = check_ecdsa(alg, scratch);
    }
    kc_scratch_destroy(scratch);
    return ok ? KW_OK : KW_E_INTERNAL;
}

#include "crypto/base/clock.h"
#include "pool/port.h"

/* Members are asked one after the other, each for itself alone; first what uses the key forwards
 * (sign; for a secret key encrypt), then decryption. */

#define STEP_DEADLINE_NS KW_S(8)
#define SECRET_LEN       32

enum { STEP_FORWARD, STEP_BACKWARD, STEPS };

static void go_on(struct pool_agreement *agreement);

static bool shall(const struct pool_agreement *agreement, enum kw_kind kind)
{
    return (agreement->ops >> kind & 1) != 0;
}

static enum kw_alg cbc_of(unsigned bits)
{
    return bits == 128 ? KW_ALG_A128CBC : bits == 192 ? KW_ALG_A192CBC : KW_ALG_A256CBC;
}

static enum kw_alg signs_with(const struct kc_public *pub)
{
    static const enum kw_alg by_curve[] = {
        [KW_CURVE_P256] = KW_ALG_ES256,
        [KW_CURVE_P384] = KW_ALG_ES384,
        [KW_CURVE_P521] = KW_ALG_ES512,
        [KW_CURVE_P256K] = KW_ALG_ES256K,
    };
    return pub->kty == KW_KTY_EC ? by_curve[pub->curve] : KW_ALG_RS256;
}

/** What the member's turn is now: false when this step has nothing to show. */
static bool describe(struct pool_agreement *agreement, struct kc_lane_op *lane)
{
    static const uint8_t zero_iv[KW_AES_BLOCK_LEN];
    const struct kc_public *pub = pool_key_public(agreement->key);
    bool secret = pub->kty == KW_KTY_OCT;
    *lane = (struct kc_lane_op){.out = {agreement->out, 0, sizeof agreement->out}};
    if (secret) {
        lane->alg = cbc_of(pub->bits);
        lane->iv = kw_span_of(zero_iv, sizeof zero_iv);
    }
    if (agreement->step == STEP_FORWARD && secret) {
        lane->kind = KW_KIND_ENCRYPT;
        lane->in = kw_span_of(agreement->plain, KW_AES_BLOCK_LEN);
        return shall(agreement, KW_KIND_ENCRYPT);
    }
    if (agreement->step == STEP_FORWARD) {
        lane->kind = KW_KIND_SIGN;
        lane->alg = signs_with(pub);
        lane->in = kw_span_of(agreement->plain, kw_alg_info(lane->alg)->digest_len);
        return shall(agreement, KW_KIND_SIGN);
    }
    lane->kind = KW_KIND_DECRYPT;
    lane->in = kw_span_of(agreement->cipher, agreement->cipher_len);
    if (!secret) {
        lane->alg = KW_ALG_RSA_OAEP;
    }
    return shall(agreement, KW_KIND_DECRYPT) && pub->kty != KW_KTY_EC;
}

static bool same(const struct pool_agreement *agreement, const uint8_t *wanted, size_t len)
{
    return agreement->op.lane.out.len == len && memcmp(agreement->out, wanted, len) == 0;
}

/** Holds a good result against what it has to be. Signatures were verified on the way. */
static bool is_right(struct pool_agreement *agreement)
{
    const struct kc_lane_op *lane = &agreement->op.lane;
    if (lane->kind == KW_KIND_SIGN) {
        return true;
    }
    if (lane->kind == KW_KIND_DECRYPT) {
        if (agreement->plain_len > 0) {
            return same(agreement, agreement->plain, agreement->plain_len);
        }
        /* a secret key that only decrypts: all must make the same of the same block */
        memcpy(agreement->plain, agreement->out, KW_AES_BLOCK_LEN);
        agreement->plain_len = KW_AES_BLOCK_LEN;
        return lane->out.len == KW_AES_BLOCK_LEN;
    }
    if (!agreement->has_cipher) {
        agreement->has_cipher = true;
        memcpy(agreement->cipher, agreement->out, KW_AES_BLOCK_LEN);
        agreement->cipher_len = KW_AES_BLOCK_LEN;
        return lane->out.len == KW_AES_BLOCK_LEN;
    }
    return same(agreement, agreement->cipher, KW_AES_BLOCK_LEN);
}

static const struct pool_member *asked(const struct pool_agreement *agreement)
{
    return &agreement->port->pool->members[agreement->member];
}

static void conclude(struct pool_agreement *agreement, kw_status status)
{
    enum pool_agreement_result *result = &agreement->results[agreement->member];
    agreement->why[agreement->member] = status;
    if (status == KW_OK && is_right(agreement)) {
        return;
    }
    if (status == KW_OK || status == KW_E_INTEGRITY || status == KW_E_CRYPTO) {
        *result = POOL_AGREE_DIFFERS;
    } else if (pool_key_lacks(agreement->key, asked(agreement))) {
        *result = POOL_AGREE_LACKS;
    } else {
        *result = POOL_AGREE_CANNOT;
    }
    agreement->step = STEPS; /* the rest would say the same */
}

static kw_status submit(struct pool_agreement *agreement, uint64_t avoid, pool_done_fn *on_done)
{
    struct pool_op *op = &agreement->op;
    op->key = agreement->key;
    op->deadline_ns = kw_now_ns() + STEP_DEADLINE_NS;
    op->trial = true;
    op->avoid = avoid;
    op->on_done = on_done;
    op->owner = agreement;
    return pool_submit(agreement->port, op);
}

static bool is_asked(const struct pool_agreement *agreement, unsigned member)
{
    return member < agreement->port->pool->member_count && (agreement->members >> member & 1) != 0;
}

static void finish(struct pool_agreement *agreement)
{
    kw_wipe(agreement->out, sizeof agreement->out);
    agreement->on_done(agreement);
}

static void on_check(struct pool_op *op)
{
    struct pool_agreement *agreement = op->owner;
    uint8_t how = op->lane.kind == KW_KIND_ENCRYPT ? POOL_CHECK_BY_ENCRYPT : POOL_CHECK_BY_DECRYPT;
    if (op->lane.status == KW_OK && op->lane.out.len == KW_AES_BLOCK_LEN &&
        pool_check_value(agreement->check, how, agreement->out) == KW_OK) {
        agreement->check_len = sizeof agreement->check;
    }
    finish(agreement);
}

/** What tells a secret key from others later, made by the first member that agreed. */
static void make_check(struct pool_agreement *agreement)
{
    unsigned member = 0;
    while (member < 64 &&
           (!is_asked(agreement, member) || agreement->results[member] != POOL_AGREE_SAME)) {
        member++;
    }
    if (pool_key_public(agreement->key)->kty == KW_KTY_OCT && member < 64) {
        struct kc_lane_op lane;
        bool encrypts = shall(agreement, KW_KIND_ENCRYPT);
        agreement->step = encrypts ? STEP_FORWARD : STEP_BACKWARD;
        (void)describe(agreement, &lane);
        lane.in = kw_span_of(pool_check_block, KW_AES_BLOCK_LEN);
        agreement->op = (struct pool_op){.lane = lane};
        if (submit(agreement, ~((uint64_t)1 << member), on_check) == KW_OK) {
            return;
        }
    }
    finish(agreement);
}

static void on_answer(struct pool_op *op)
{
    struct pool_agreement *agreement = op->owner;
    conclude(agreement, op->lane.status);
    go_on(agreement);
}

/** The next step, of this member or the next; on_done when there is none. */
static void go_on(struct pool_agreement *agreement)
{
    for (;;) {
        if (++agreement->step >= STEPS) {
            agreement->step = 0;
            do {
                agreement->member++;
            } while (agreement->member < 64 && !is_asked(agreement, agreement->member));
        }
        if (agreement->member >= 64) {
            make_check(agreement);
            return;
        }
        struct kc_lane_op lane;
        if (!describe(agreement, &lane)) {
            continue;
        }
        agreement->op = (struct pool_op){.lane = lane};
        kw_status status = submit(agreement, ~((uint64_t)1 << agreement->member), on_answer);
        if (status == KW_OK) {
            return;
        }
        conclude(agreement, status);
    }
}

static void all_cannot(struct pool_agreement *agreement, kw_status status)
{
    for (unsigned i = 0; i < 64; i++) {
        agreement->results[i] = POOL_AGREE_CANNOT;
        agreement->why[i] = status;
    }
    agreement->on_done(agreement);
}

static void on_encrypted(struct pool_op *op)
{
    struct pool_agreement *agreement = op->owner;
    if (op->lane.status != KW_OK) {
        all_cannot(agreement, op->lane.status);
        return;
    }
    memcpy(agreement->cipher, agreement->out, op->lane.out.len);
    agreement->cipher_len = op->lane.out.len;
    go_on(agreement);
}

/** RSA: what the members shall decrypt is encrypted once, by the core with the public half. */
static kw_status encrypt_first(struct pool_agreement *agreement)
{
    agreement->op = (struct pool_op){.lane = {.kind = KW_KIND_ENCRYPT,
                                              .alg = KW_ALG_RSA_OAEP,
                                              .in = kw_span_of(agreement->plain, SECRET_LEN),
                                              .out = {agreement->out, 0, sizeof agreement->out}}};
    agreement->plain_len = SECRET_LEN;
    return submit(agreement, 0, on_encrypted);
}

void pool_agree(struct pool_port *port, struct pool_agreement *agreement)
{
    const struct kc_public *pub = pool_key_public(agreement->key);
    bool decrypts = shall(agreement, KW_KIND_DECRYPT);
    agreement->port = port;
    agreement->member = UINT32_MAX; /* go_on begins with the first */
    agreement->step = STEPS;
    agreement->has_cipher = false;
    agreement->plain_len = agreement->cipher_len = agreement->check_len = 0;
    memset(agreement->results, 0, sizeof agreement->results);
    memset(agreement->why, 0, sizeof agreement->why);
    kw_status status = kw_random(agreement->plain, sizeof agreement->plain);
    if (status == KW_OK && pub->kty == KW_KTY_OCT) {
        if (shall(agreement, KW_KIND_ENCRYPT)) {
            agreement->plain_len = KW_AES_BLOCK_LEN;
        } else { /* any block will do to decrypt */
            memcpy(agreement->cipher, agreement->plain, KW_AES_BLOCK_LEN);
            agreement->cipher_len = KW_AES_BLOCK_LEN;
        }
    } else if (status == KW_OK && pub->kty == KW_KTY_RSA && decrypts) {
        status = encrypt_first(agreement);
        if (status == KW_OK) {
            return;
        }
    }
    if (status != KW_OK) {
        all_cannot(agreement, status);
        return;
    }
    go_on(agreement);
}

/* RSA against OpenSSL: raw exponentiations with edge values, and whole operations.
 *
 * A private result s is compared by OpenSSL's public operation: s < n and s^e = m (mod n) has one
 * solution, so that is equality bit for bit, at a twentieth of the price; one result in sixteen is
 * compared with OpenSSL's own private operation besides. */
#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include "crypto/keys/key_internal.h"
#include "tests/support/rsa_maker.h"
#include "tests/unit/crypto/differential/common.h"

#define SIZES      3
#define PRIMES     5
#define KEYS       24
#define UNEQUAL    2 /* keys of a size with primes of different lengths */
#define EXPONENTS  4
#define WEIGHT_MAX 10

static struct kc_key *keys[SIZES][KEYS + UNEQUAL];
static size_t key_count[SIZES];
static uint8_t input[DF_BATCH][KW_RSA_MAX_BYTES], output[DF_BATCH][KW_RSA_MAX_BYTES];
static uint8_t third[DF_BATCH][KW_RSA_MAX_BYTES];

/* 3, 17, 65537 and one of 64 bits; all odd */
static const uint64_t exponents[EXPONENTS] = {3, 65537, 0xfffffffffffffff1ULL, 17};

/* Part `name` of a key, left-padded; false when it does not fit. */
static bool part(uint8_t *out, size_t len, const struct kc_key *key, const char *name)
{
    BIGNUM *v = NULL;
    bool ok = EVP_PKEY_get_bn_param(key->pkey, name, &v) == 1 &&
              BN_bn2binpad(v, out, (int)len) == (int)len;
    BN_clear_free(v);
    return ok;
}

/* The key as it comes back from its stored form; NULL when it does not. Drops `key`. */
static struct kc_key *there_and_back(struct kc_key *key)
{
    struct kc_key *again = NULL;
    struct kw_secret stored = {0};
    if (key && (kc_key_to_private(&stored, key) != KW_OK ||
                kc_key_from_private(&again, KW_KTY_RSA, KW_CURVE_NONE,
                                    kw_span_of(stored.data, stored.len)) != KW_OK)) {
        again = NULL;
    }
    kw_secret_clear(&stored);
    kc_key_unref(key);
    return again;
}

/* Two keys whose primes differ in length, the longer one first and last: they have no lanes, but
 * stand in batches beside keys that have. */
static bool open_unequal(size_t size)
{
    const unsigned bits = 2048 + 1024 * (unsigned)size, longer = bits / 2 + 76;
    struct kt_primes primes = {.count = 2, .bits = bits};
    BIGNUM *three = BN_new(), *two = BN_new();
    bool ok = three && two && BN_set_word(three, 3) && BN_set_word(two, 2);
    for (size_t i = 0; ok && i < 2; i++) {
        int length = (int)(i == 0 ? longer : bits - longer);
        BIGNUM *prime = BN_new();
        primes.prime[i] = prime;
        do { /* the top two bits set: or the product could be a bit short */
            ok = prime && BN_generate_prime_ex(prime, length, 0, three, two, NULL) == 1;
        } while (ok && (!BN_is_bit_set(prime, length - 2) || BN_mod_word(prime, 65537) == 1));
    }
    for (size_t i = 0; ok && i < 2; i++) {
        struct kc_key *key = there_and_back(kt_rsa_key(&primes, i, 1 - i, i == 0 ? 65537 : 3));
        ok = key && key->pub.bits == bits && !key->slots[KC_KEY_SLOT_RSA].prepared;
        if (key) {
            keys[size][key_count[size]++] = key;
        }
    }
    BN_free(three);
    BN_free(two);
    kt_primes_free(&primes);
    return ok;
}

/* Pairs of primes in both orders (p < q and p > q), under exponents in turn. */
static bool open_size(size_t size)
{
    struct kt_primes primes;
    if (!kt_primes_make(&primes, PRIMES, 2048 + 1024 * (unsigned)size)) {
        return false;
    }
    size_t turn = 0;
    for (size_t i = 0; i < PRIMES; i++) {
        for (size_t j = 0; j < PRIMES && key_count[size] < KEYS; j++) {
            struct kc_key *key =
                i == j ? NULL : kt_rsa_key(&primes, i, j, exponents[turn++ % EXPONENTS]);
            if (key) {
                keys[size][key_count[size]++] = key;
            }
        }
    }
    kt_primes_free(&primes);
    return key_count[size] >= 8 && open_unequal(size);
}

bool df_rsa_open(struct df_state *state)
{
    (void)state;
    return open_size(0) && open_size(1) && open_size(2);
}

void df_rsa_close(void)
{
    for (size_t size = 0; size < SIZES; size++) {
        for (size_t i = 0; i < key_count[size]; i++) {
            kc_key_unref(keys[size][i]);
        }
        key_count[size] = 0;
    }
}

/* Small keys more often: they are cheaper. */
static size_t draw_size(struct df_state *state)
{
    size_t at = kt_draw_below(&state->draw, WEIGHT_MAX);
    return at < 7 ? 0 : at < 9 ? 1 : 2;
}

static struct kc_key *draw_key(struct df_state *state, size_t size)
{
    return keys[size][kt_draw_below(&state->draw, key_count[size])];
}

/* A number below n: often an edge one. */
static void draw_number(struct df_state *state, uint8_t *out, const struct kc_key *key)
{
    size_t k = key->pub.bits / 8;
    memset(out, 0, k);
    switch (kt_draw_below(&state->draw, 12)) {
    case 0: /* 0 */
        return;
    case 1: /* 1 */
        out[k - 1] = 1;
        return;
    case 2: /* n - 1 */
        memcpy(out, key->pub.n, k);
        out[k - 1] -= 1;
        return;
    case 3: /* short: leading zeros */
        kt_draw_bytes(&state->draw, out + k - 1 - kt_draw_below(&state->draw, k / 2), 1);
        return;
    case 4: /* a prime factor: 0 modulo p */
        (void)part(out, k, key, OSSL_PKEY_PARAM_RSA_FACTOR1);
        return;
    case 5: /* q - 1: -1 modulo q */
        (void)part(out, k, key, OSSL_PKEY_PARAM_RSA_FACTOR2);
        out[k - 1] -= 1;
        return;
    case 6: /* all ones below the top byte */
        memset(out + 1, 0xff, k - 1);
        return;
    default:
        kt_draw_bytes(&state->draw, out, k);
        while (memcmp(out, key->pub.n, k) >= 0) {
            out[0] = (uint8_t)kt_draw64(&state->draw);
        }
    }
}

static bool raw(uint8_t *out, const struct kc_key *key, const uint8_t *in, bool private)
{
    size_t k = key->pub.bits / 8, len = k;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(private ? key->private_ctx : key->public_ctx);
    bool ok = ctx &&
              (private ? EVP_PKEY_decrypt(ctx, out, &len, in, k)
                       : EVP_PKEY_encrypt(ctx, out, &len, in, k)) == 1 &&
              len == k;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* Is `got` the private result of `in`? */
static bool private_right(struct df_state *state, const struct kc_key *key, const uint8_t *got,
                          const uint8_t *in)
{
    uint8_t back[KW_RSA_MAX_BYTES];
    size_t k = key->pub.bits / 8;
    if (memcmp(got, key->pub.n, k) >= 0 || !raw(back, key, got, false) ||
        memcmp(back, in, k) != 0) {
        return false;
    }
    return kt_draw_below(&state->draw, 16) != 0 ||
           (raw(back, key, in, true) && memcmp(back, got, k) == 0);
}

static size_t raw_jobs(struct df_state *state, bool private)
{
    struct kc_rsa_job jobs[KC_RSA_BATCH];
    size_t size = draw_size(state), n = 1 + kt_draw_below(&state->draw, KC_RSA_BATCH);
    enum kc_shape first = private ? KC_SHAPE_RSA2048_PRIVATE : KC_SHAPE_RSA2048_PUBLIC;
    for (size_t i = 0; i < n; i++) {
        jobs[i] = (struct kc_rsa_job){draw_key(state, size), input[i], output[i], KW_E_INTERNAL};
        draw_number(state, input[i], jobs[i].key);
    }
    kc_dispatch_get((enum kc_shape)(first + size))->modexp(jobs, n, state->scratch);
    for (size_t i = 0; i < n; i++) {
        uint8_t want[KW_RSA_MAX_BYTES];
        size_t k = jobs[i].key->pub.bits / 8;
        bool right = jobs[i].status == KW_OK;
        if (private) {
            right = right && private_right(state, jobs[i].key, output[i], input[i]);
        } else {
            right =
                right && raw(want, jobs[i].key, input[i], false) && memcmp(want, output[i], k) == 0;
        }
        if (!right) {
            df_fail(state, private ? "raw private" : "raw public", jobs[i].key,
                    kw_span_of(input[i], k));
        }
    }
    return n;
}

size_t df_rsa_private_raw(struct df_state *state)
{
    return raw_jobs(state, true);
}

size_t df_rsa_public_raw(struct df_state *state)
{
    return raw_jobs(state, false);
}

static bool set_padding(EVP_PKEY_CTX *ctx, enum kw_alg alg, bool signature)
{
    static const EVP_MD *(*const mds[])(void) = {NULL, EVP_sha1, EVP_sha256, EVP_sha384,
                                                 EVP_sha512};
    const struct kw_alg_info *info = kw_alg_info(alg);
    switch (info->family) {
    case KW_FAMILY_RSA_PSS:
        if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
            EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1) {
            return false;
        }
        break;
    case KW_FAMILY_RSA_OAEP:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_oaep_md(ctx, mds[info->hash]()) == 1;
    default:
        if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1) {
            return false;
        }
    }
    return !signature || info->hash == KW_HASH_NONE ||
           EVP_PKEY_CTX_set_signature_md(ctx, mds[info->hash]()) == 1;
}

static bool verifies_some(const struct kc_lane_op *op, struct kw_span sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 && set_padding(ctx, op->alg, true) &&
              EVP_PKEY_verify(ctx, sig.data, sig.len, op->in.data, op->in.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* OpenSSL signs an empty message but verifies none: the signature has one value. */
static bool is_signature_of_nothing(const struct kc_lane_op *op, struct kw_span sig)
{
    uint8_t want[KW_RSA_MAX_BYTES];
    size_t len = sizeof(want);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 && set_padding(ctx, op->alg, true) &&
              EVP_PKEY_sign(ctx, want, &len, op->in.data, 0) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok && sig.len == len && memcmp(sig.data, want, len) == 0;
}

static bool verifies(const struct kc_lane_op *op, struct kw_span sig)
{
    return op->in.len != 0 ? verifies_some(op, sig) : is_signature_of_nothing(op, sig);
}

static enum kw_alg draw_signature(struct df_state *state)
{
    return (enum kw_alg)(KW_ALG_RS256 +
                         kt_draw_below(&state->draw, KW_ALG_RSNULL - KW_ALG_RS256 + 1));
}

static void start_sign(struct df_state *state, struct kc_lane_op *op, size_t i)
{
    op->kind = KW_KIND_SIGN;
    op->alg = draw_signature(state);
    size_t len = kw_alg_info(op->alg)->digest_len;
    if (len == 0 && kt_draw_below(&state->draw, 6) != 0) { /* else empty: RSNULL takes any length */
        len = 1 + kt_draw_below(&state->draw, 200);
    }
    op->in = kw_span_of(input[i], len);
    kt_draw_bytes(&state->draw, input[i], sizeof(input[i]));
    op->out = (struct kw_buf){output[i], 0, sizeof(output[i])};
}

/* OpenSSL encrypts, the lanes decrypt; one in four ciphertexts is changed or any number. */
static bool start_decrypt(struct df_state *state, struct kc_lane_op *op, size_t i)
{
    size_t k = op->key->pub.bits / 8, len = k, change = kt_draw_below(&state->draw, 8);
    op->kind = KW_KIND_DECRYPT;
    op->alg = (enum kw_alg)(KW_ALG_RSA1_5 + kt_draw_below(&state->draw, 3));
    size_t plain_len = kt_draw_below(&state->draw, k - 66 + 1);
    kt_draw_bytes(&state->draw, third[i], plain_len);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
    bool ok = ctx && EVP_PKEY_encrypt_init(ctx) == 1 && set_padding(ctx, op->alg, false) &&
              EVP_PKEY_encrypt(ctx, input[i], &len, third[i], plain_len) == 1 && len == k;
    EVP_PKEY_CTX_free(ctx);
    if (change == 0) {
        input[i][k - 1 - kt_draw_below(&state->draw, k - 1)] ^= 4;
    } else if (change == 1) {
        draw_number(state, input[i], op->key);
    }
    op->in = kw_span_of(input[i], k);
    op->out = (struct kw_buf){output[i], 0, sizeof(output[i])};
    return ok;
}

/* RFC 8017 section 7.2.2 as it is written, on OpenSSL's raw result. -1: wrong padding. */
static int v15_reference(uint8_t *out, const struct kc_lane_op *op)
{
    uint8_t em[KW_RSA_MAX_BYTES];
    size_t k = op->in.len, at = 2;
    if (!raw(em, op->key, op->in.data, true) || em[0] != 0 || em[1] != 2) {
        return -1;
    }
    while (at < k && em[at] != 0) {
        at++;
    }
    if (at == k || at < 10) {
        return -1;
    }
    memcpy(out, em + at + 1, k - at - 1);
    return (int)(k - at - 1);
}

static bool decrypt_right(const struct kc_lane_op *op)
{
    uint8_t want[KW_RSA_MAX_BYTES];
    size_t len = sizeof(want);
    bool good;
    if (memcmp(op->in.data, op->key->pub.n, op->in.len) >= 0) {
        return op->status == KW_E_CRYPTO;
    }
    if (op->alg == KW_ALG_RSA1_5) {
        int found = v15_reference(want, op);
        good = found >= 0;
        len = (size_t)found;
    } else {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, op->key->pkey, NULL);
        good = ctx && EVP_PKEY_decrypt_init(ctx) == 1 && set_padding(ctx, op->alg, false) &&
               EVP_PKEY_decrypt(ctx, want, &len, op->in.data, op->in.len) == 1;
        EVP_PKEY_CTX_free(ctx);
    }
    return good ? op->status == KW_OK && op->out.len == len && memcmp(want, op->out.data, len) == 0
                : op->status == KW_E_CRYPTO && op->out.len == 0;
}

static bool sign_right(struct df_state *state, const struct kc_lane_op *op)
{
    uint8_t em[KW_RSA_MAX_BYTES];
    if (op->status != KW_OK || !verifies(op, kw_buf_span(&op->out))) {
        return false;
    }
    /* the encoding under the signature, as the number the private operation was given */
    return raw(em, op->key, op->out.data, false) && private_right(state, op->key, op->out.data, em);
}

size_t df_rsa_private_ops(struct df_state *state)
{
    struct kc_lane_op ops[DF_BATCH] = {{0}}, *list[DF_BATCH];
    size_t size = draw_size(state), n = 1 + kt_draw_below(&state->draw, 20);
    for (size_t i = 0; i < n; i++) {
        list[i] = &ops[i];
        ops[i].key = draw_key(state, size);
        if (kt_draw_below(&state->draw, 8) != 0) {
            start_sign(state, &ops[i], i);
        } else if (!start_decrypt(state, &ops[i], i)) {
            df_fail(state, "OpenSSL's encryption", ops[i].key, kw_span_of(NULL, 0));
        }
    }
    kc_lanes_run(list, n, (enum kc_shape)(KC_SHAPE_RSA2048_PRIVATE + size), state->scratch);
    for (size_t i = 0; i < n; i++) {
        bool sign = ops[i].kind == KW_KIND_SIGN;
        if (sign ? !sign_right(state, &ops[i]) : !decrypt_right(&ops[i])) {
            df_fail(state, sign ? "sign" : "decrypt", ops[i].key, ops[i].in);
        }
    }
    return n;
}

/* Verification of right and wrong signatures. The right ones come from a pool that the lanes
 * signed and OpenSSL verified. */
size_t df_rsa_public_ops(struct df_state *state)
{
    struct kc_lane_op ops[DF_BATCH] = {{0}}, *list[DF_BATCH];
    size_t size = draw_size(state), n = 1 + kt_draw_below(&state->draw, 20), count = 0;
    for (size_t i = 0; i < n; i++) {
        list[i] = &ops[i];
        ops[i].key = draw_key(state, size);
        start_sign(state, &ops[i], i);
    }
    kc_lanes_run(list, n, (enum kc_shape)(KC_SHAPE_RSA2048_PRIVATE + size), state->scratch);
    for (size_t turn = 0; turn < 8; turn++) {
        for (size_t i = 0; i < n; i++) {
            size_t k = ops[i].key->pub.bits / 8;
            ops[i].kind = KW_KIND_VERIFY;
            memcpy(third[i], output[i], k);
            if (kt_draw_below(&state->draw, 3) == 0) {
                third[i][kt_draw_below(&state->draw, k)] ^= (uint8_t)(1 << turn);
            }
            ops[i].sig = kw_span_of(third[i], k - (kt_draw_below(&state->draw, 50) == 0));
        }
        kc_lanes_run(list, n, (enum kc_shape)(KC_SHAPE_RSA2048_PUBLIC + size), state->scratch);
        for (size_t i = 0; i < n; i++, count++) {
            if (ops[i].status != KW_OK || ops[i].valid != verifies(&ops[i], ops[i].sig)) {
                df_fail(state, "verify", ops[i].key, ops[i].in);
            }
        }
    }
    return n + count;
}

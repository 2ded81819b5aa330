#include "crypto/keys/key_internal.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

void kc_rsa_numbers_clear(struct kc_rsa_numbers *numbers)
{
    BN_free(numbers->n);
    BN_free(numbers->e);
    BN_clear_free(numbers->d);
    BN_clear_free(numbers->p);
    BN_clear_free(numbers->q);
    BN_clear_free(numbers->dp);
    BN_clear_free(numbers->dq);
    BN_clear_free(numbers->qi);
    *numbers = (struct kc_rsa_numbers){0};
}

static kw_status check_public(const BIGNUM *n, const BIGNUM *e)
{
    int bits = BN_num_bits(n);
    if (bits != 2048 && bits != 3072 && bits != 4096) {
        return KW_E_UNSUPPORTED;
    }
    /* The upper bound is the room of kc_public.e and what every kernel and most tokens take. */
    if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 64) {
        return KW_E_INPUT;
    }
    return KW_OK;
}

/* An EVP_PKEY of the numbers that are there. */
static EVP_PKEY *make_pkey(const struct kc_rsa_numbers *num)
{
    const struct {
        const char *name;
        const BIGNUM *value;
    } fields[] = {
        {OSSL_PKEY_PARAM_RSA_N, num->n},          {OSSL_PKEY_PARAM_RSA_E, num->e},
        {OSSL_PKEY_PARAM_RSA_D, num->d},          {OSSL_PKEY_PARAM_RSA_FACTOR1, num->p},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, num->q},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, num->dp},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, num->dq}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, num->qi},
    };
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    bool ok = build && ctx;
    for (size_t i = 0; ok && i < sizeof(fields) / sizeof(fields[0]); i++) {
        ok = !fields[i].value || OSSL_PARAM_BLD_push_BN(build, fields[i].name, fields[i].value);
    }
    params = ok ? OSSL_PARAM_BLD_to_param(build) : NULL;
    int selection = num->d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1) {
        pkey = NULL;
    }
    for (OSSL_PARAM *at = params; at && at->key; at++) {
        kw_wipe(at->data, at->data_size);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* Raw modular exponentiation contexts: padding is ours, see crypto/padding. */
static kw_status make_contexts(struct kc_key *key)
{
    key->public_ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (!key->public_ctx || EVP_PKEY_encrypt_init(key->public_ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(key->public_ctx, RSA_NO_PADDING) != 1) {
        return KW_E_NOMEM;
    }
    if (!key->has_private) {
        return KW_OK;
    }
    key->private_ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (!key->private_ctx || EVP_PKEY_decrypt_init(key->private_ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(key->private_ctx, RSA_NO_PADDING) != 1) {
        return KW_E_NOMEM;
    }
    return KW_OK;
}

static bool primes_are_halves(const struct kc_rsa_numbers *num)
{
    int half = BN_num_bits(num->n) / 2;
    return BN_num_bits(num->p) == half && BN_num_bits(num->q) == half;
}

static bool put_halves(struct kc_rsa_private *rsa, const struct kc_rsa_numbers *num, int len)
{
    return BN_bn2binpad(num->p, rsa->p, len) == len && BN_bn2binpad(num->q, rsa->q, len) == len &&
           BN_bn2binpad(num->dp, rsa->dp, len) == len &&
           BN_bn2binpad(num->dq, rsa->dq, len) == len && BN_bn2binpad(num->qi, rsa->qi, len) == len;
}

static kw_status build(struct kc_key **out, const struct kc_rsa_numbers *num)
{
    struct kc_key *key = kc_key_alloc(KW_KTY_RSA, (unsigned)BN_num_bits(num->n), KW_CURVE_NONE);
    if (!key) {
        return KW_E_NOMEM;
    }
    int k = (int)key->pub.bits / 8;
    key->pub.n_len = (size_t)BN_bn2bin(num->n, key->pub.n);
    key->pub.e_len = (size_t)BN_bn2bin(num->e, key->pub.e);
    kw_status status = KW_OK;
    if (num->d) {
        key->has_private = true;
        key->rsa = kw_secret_alloc(sizeof(*key->rsa));
        if (!key->rsa) {
            kc_key_unref(key);
            return KW_E_NOMEM;
        }
        struct kc_rsa_private *rsa = key->rsa;
        if (BN_bn2binpad(num->n, rsa->n, k) != k || BN_bn2binpad(num->d, rsa->d, k) != k ||
            (primes_are_halves(num) && !put_halves(rsa, num, k / 2))) {
            status = KW_E_INTERNAL;
        }
    }
    if (status == KW_OK) {
        key->pkey = make_pkey(num);
        status = key->pkey ? make_contexts(key) : KW_E_NOMEM;
    }
    if (status != KW_OK) {
        kc_key_unref(key);
        return status;
    }
    return kc_key_finish(out, key);
}

kw_status kc_rsa_public_make(struct kc_key **out, const struct kc_public *pub)
{
    if (pub->n_len == 0 || pub->n_len > sizeof(pub->n) || pub->e_len == 0 ||
        pub->e_len > sizeof(pub->e)) {
        return KW_E_INPUT;
    }
    struct kc_rsa_numbers num = {
        .n = BN_bin2bn(pub->n, (int)pub->n_len, NULL),
        .e = BN_bin2bn(pub->e, (int)pub->e_len, NULL),
    };
    kw_status status = num.n && num.e ? check_public(num.n, num.e) : KW_E_NOMEM;
    if (status == KW_E_UNSUPPORTED) {
        status = KW_E_INPUT;
    }
    if (status == KW_OK) {
        status = build(out, &num);
    }
    kc_rsa_numbers_clear(&num);
    return status;
}

/* given == want, or fills a missing one. Takes over `want` when it is missing. */
static bool same_or_fill(BIGNUM **given, BIGNUM *want)
{
    if (!*given) {
        *given = BN_dup(want);
        return *given != NULL;
    }
    return BN_cmp(*given, want) == 0;
}

/* r = d mod (prime - 1); e * r = 1 mod (prime - 1). */
static bool exponent_of(BIGNUM *r, const BIGNUM *prime, const struct kc_rsa_numbers *num,
                        BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *less = BN_CTX_get(ctx);
    BIGNUM *one = BN_CTX_get(ctx);
    bool ok = one && BN_sub(less, prime, BN_value_one()) && BN_mod(r, num->d, less, ctx) &&
              BN_mod_mul(one, r, num->e, less, ctx) && BN_is_one(one);
    BN_CTX_end(ctx);
    return ok;
}

/* FIPS 186-5 wants primes of one length; other makers of keys did not always. The shorter one has
 * three eighths of the modulus' bits at the least, so that it is no easier to find than the modulus
 * is to factor. */
static bool primes_long_enough(const struct kc_rsa_numbers *num)
{
    int least = BN_num_bits(num->n) * 3 / 8;
    return BN_num_bits(num->p) >= least && BN_num_bits(num->q) >= least;
}

/* FIPS 186-5 key-pair consistency: n = p q, e d = 1 mod (p-1) and mod (q-1), CRT parts match. */
static kw_status check_private(struct kc_rsa_numbers *num, BN_CTX *ctx)
{
    if (!primes_long_enough(num) || !BN_is_odd(num->p) || !BN_is_odd(num->q) ||
        BN_cmp(num->p, num->q) == 0) {
        return KW_E_INPUT;
    }
    BN_CTX_start(ctx);
    BIGNUM *product = BN_CTX_get(ctx);
    BIGNUM *dp = BN_CTX_get(ctx);
    BIGNUM *dq = BN_CTX_get(ctx);
    BIGNUM *qi = BN_CTX_get(ctx);
    BN_set_flags(num->d, BN_FLG_CONSTTIME);
    BN_set_flags(num->p, BN_FLG_CONSTTIME);
    BN_set_flags(num->q, BN_FLG_CONSTTIME);
    bool ok = qi && BN_mul(product, num->p, num->q, ctx) && BN_cmp(product, num->n) == 0 &&
              !BN_is_zero(num->d) && BN_cmp(num->d, num->n) < 0 &&
              exponent_of(dp, num->p, num, ctx) && exponent_of(dq, num->q, num, ctx) &&
              BN_mod_inverse(qi, num->q, num->p, ctx) && same_or_fill(&num->dp, dp) &&
              same_or_fill(&num->dq, dq) && same_or_fill(&num->qi, qi);
    BN_clear(product);
    if (qi) {
        BN_clear(dp);
        BN_clear(dq);
        BN_clear(qi);
    }
    BN_CTX_end(ctx);
    return ok ? KW_OK : KW_E_INPUT;
}

/* One raw operation there and back on a random block. */
static kw_status trial(const struct kc_key *key)
{
    size_t k = key->pub.bits / 8;
    uint8_t block[KW_RSA_MAX_BYTES], once[KW_RSA_MAX_BYTES], back[KW_RSA_MAX_BYTES];
    KW_TRY(kw_random(block, k));
    block[0] = 0;
    size_t len = k, back_len = k;
    EVP_PKEY_CTX *priv = EVP_PKEY_CTX_dup(key->private_ctx);
    EVP_PKEY_CTX *pub = EVP_PKEY_CTX_dup(key->public_ctx);
    bool ok = priv && pub && EVP_PKEY_decrypt(priv, once, &len, block, k) == 1 &&
              EVP_PKEY_encrypt(pub, back, &back_len, once, len) == 1 && back_len == k &&
              kw_ct_equal(back, block, k);
    EVP_PKEY_CTX_free(priv);
    EVP_PKEY_CTX_free(pub);
    return ok ? KW_OK : KW_E_INPUT;
}

kw_status kc_rsa_private_make(struct kc_key **out, struct kc_rsa_numbers *num,
                              enum kc_key_care care)
{
    *out = NULL;
    if (!num->n || !num->e || !num->d) {
        return KW_E_INPUT;
    }
    KW_TRY(check_public(num->n, num->e));
    if (!num->p != !num->q) {
        return KW_E_INPUT;
    }
    if (!num->p) {
        KW_TRY(kc_rsa_recover_primes(num));
    }
    BN_CTX *ctx = BN_CTX_secure_new();
    if (!ctx) {
        return KW_E_NOMEM;
    }
    kw_status status = check_private(num, ctx);
    if (status == KW_OK && care == KC_KEY_FOREIGN &&
        (BN_check_prime(num->p, ctx, NULL) != 1 || BN_check_prime(num->q, ctx, NULL) != 1)) {
        status = KW_E_INPUT;
    }
    BN_CTX_free(ctx);
    if (status == KW_OK) {
        status = build(out, num);
    }
    if (status == KW_OK && care == KC_KEY_FOREIGN) {
        status = trial(*out);
        if (status != KW_OK) {
            kc_key_unref(*out);
            *out = NULL;
        }
    }
    return status;
}

EVP_PKEY *kc_rsa_plain_pkey(const struct kc_key *key)
{
    int k = (int)key->pub.bits / 8;
    struct kc_rsa_numbers num = {
        .n = BN_bin2bn(key->pub.n, (int)key->pub.n_len, NULL),
        .e = BN_bin2bn(key->pub.e, (int)key->pub.e_len, NULL),
        .d = BN_bin2bn(key->rsa->d, k, NULL),
    };
    EVP_PKEY *pkey = num.n && num.e && num.d ? make_pkey(&num) : NULL;
    kc_rsa_numbers_clear(&num);
    return pkey;
}

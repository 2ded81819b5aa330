#include "crypto/rsa/rsa_ctx.h"

#include <openssl/bn.h>

#include "crypto/base/secret.h"

#define DIGIT_BITS 52
#define DIGIT_MASK ((1ULL << DIGIT_BITS) - 1)
#define BLOCK_BITS 520 /* of the ten digits of a block */

/** Writes v in digits of `width` bits, least significant first; false when it does not fit. */
static bool digits_from_bn(uint64_t *out, size_t count, unsigned width, const BIGNUM *v)
{
    uint8_t bytes[KW_RSA_MAX_BYTES + 16] = {
        0}; /* little-endian; the last digits read past the end */
    bool fits = BN_num_bits(v) <= (int)(count * width) &&
                BN_bn2lebinpad(v, bytes, KW_RSA_MAX_BYTES) == KW_RSA_MAX_BYTES;
    for (size_t i = 0; fits && i < count; i++) {
        size_t bit = width * i;
        uint64_t word = 0;
        if (bit / 8 + 8 <= sizeof bytes) {
            memcpy(&word, bytes + bit / 8, sizeof word);
        }
        word >>= bit % 8;
        out[i] = width == 64 ? word : word & DIGIT_MASK;
    }
    kw_wipe(bytes, sizeof bytes);
    return fits;
}

/** -1/m0 mod 2^52 for odd m0: each Newton step doubles the correct bits. */
static uint64_t negative_inverse(uint64_t m0)
{
    uint64_t inverse = m0; /* right in three bits */
    for (int i = 0; i < 5; i++) {
        inverse *= 2 - m0 * inverse;
    }
    return (0 - inverse) & DIGIT_MASK;
}

/** out = 2^exponent mod m in digits. */
static bool power_of_two_digits(uint64_t *out, size_t count, int exponent, const BIGNUM *m,
                                BN_CTX *bn)
{
    BN_CTX_start(bn);
    BIGNUM *v = BN_CTX_get(bn);
    bool ok = v != NULL;
    if (ok) {
        BN_zero(v);
        BN_set_flags(v, BN_FLG_CONSTTIME);
        ok = BN_set_bit(v, exponent) && BN_mod(v, v, m, bn) &&
             digits_from_bn(out, count, DIGIT_BITS, v);
        BN_clear(v);
    }
    BN_CTX_end(bn);
    return ok;
}

static kw_status public_fill(struct kc_rsa_public_ctx *ctx, const BIGNUM *n, struct kw_span e,
                             BN_CTX *bn)
{
    int bits = BN_num_bits(n);
    while (e.len > 0 && e.data[0] == 0) {
        e = kw_span_of(e.data + 1, e.len - 1);
    }
    if ((bits != 2048 && bits != 3072 && bits != 4096) || e.len > sizeof ctx->e) {
        return KW_E_UNSUPPORTED;
    }
    for (size_t i = 0; i < e.len; i++) {
        ctx->e = ctx->e << 8 | e.data[i];
    }
    if (!BN_is_odd(n) || ctx->e % 2 == 0 || ctx->e < 3) {
        return KW_E_INPUT;
    }
    ctx->bits = (unsigned)bits;
    ctx->blocks = ctx->bits / 512;
    size_t count = 10 * (size_t)ctx->blocks;
    bool ok = digits_from_bn(ctx->n, count, DIGIT_BITS, n) &&
              power_of_two_digits(ctx->r2, count, 2 * BLOCK_BITS * (int)ctx->blocks, n, bn);
    ctx->k0 = negative_inverse(ctx->n[0]);
    return ok ? KW_OK : KW_E_NOMEM;
}

kw_status kc_rsa_public_init(struct kc_rsa_public_ctx *ctx, struct kw_span n, struct kw_span e)
{
    memset(ctx, 0, sizeof *ctx);
    if (n.len > KW_RSA_MAX_BYTES) {
        return KW_E_UNSUPPORTED;
    }
    BN_CTX *bn = BN_CTX_new();
    BIGNUM *modulus = BN_bin2bn(n.data, (int)n.len, NULL);
    kw_status status = bn && modulus ? public_fill(ctx, modulus, e, bn) : KW_E_NOMEM;
    BN_free(modulus);
    BN_CTX_free(bn);
    return status;
}

/** The private parts as numbers while a context is made of them. */
struct parts {
    BIGNUM *p, *q, *dp, *dq, *qi;
};

static BIGNUM *secret_bn(struct kw_span bytes)
{
    if (bytes.len == 0 || bytes.len > KW_RSA_MAX_BYTES) {
        return NULL;
    }
    BIGNUM *v = BN_secure_new();
    if (v == NULL || BN_bin2bn(bytes.data, (int)bytes.len, v) == NULL) {
        BN_clear_free(v);
        return NULL;
    }
    BN_set_flags(v, BN_FLG_CONSTTIME);
    return v;
}

static kw_status prime_fill(struct kc_rsa_prime_ctx *ctx, const BIGNUM *m, const BIGNUM *exponent,
                            unsigned blocks, BN_CTX *bn)
{
    size_t count = 10 * (size_t)blocks;
    int r_bits = BLOCK_BITS * (int)blocks;
    if (!BN_is_odd(m) || BN_cmp(exponent, m) >= 0) {
        return KW_E_INPUT;
    }
    if (!digits_from_bn(ctx->m, count, DIGIT_BITS, m) ||
        !digits_from_bn(ctx->exponent, 8 * (size_t)blocks, 64, exponent) ||
        !power_of_two_digits(ctx->r1, count, r_bits, m, bn) ||
        !power_of_two_digits(ctx->r3, count, 3 * r_bits, m, bn)) {
        return KW_E_NOMEM;
    }
    ctx->k0 = negative_inverse(ctx->m[0]);
    return KW_OK;
}

static kw_status private_fill(struct kc_rsa_private_ctx *ctx, const struct parts *parts, BN_CTX *bn)
{
    const unsigned blocks = ctx->pub.blocks / 2;
    const int prime_bits = (int)ctx->pub.bits / 2;
    if (BN_num_bits(parts->p) != prime_bits || BN_num_bits(parts->q) != prime_bits) {
        return KW_E_UNSUPPORTED;
    }
    if (BN_cmp(parts->qi, parts->p) >= 0) {
        return KW_E_INPUT;
    }
    KW_TRY(prime_fill(&ctx->p, parts->p, parts->dp, blocks, bn));
    KW_TRY(prime_fill(&ctx->q, parts->q, parts->dq, blocks, bn));
    BN_CTX_start(bn);
    BIGNUM *v = BN_CTX_get(bn);
    bool ok = v && BN_lshift(v, parts->qi, BLOCK_BITS * (int)blocks) &&
              BN_mod(v, v, parts->p, bn) &&
              digits_from_bn(ctx->qinv, 10 * (size_t)blocks, DIGIT_BITS, v);
    if (v) {
        BN_clear(v);
    }
    BN_CTX_end(bn);
    return ok ? KW_OK : KW_E_NOMEM;
}

kw_status kc_rsa_private_init(struct kc_rsa_private_ctx *ctx, const struct kc_private_parts *in)
{
    memset(ctx, 0, sizeof *ctx);
    KW_TRY(kc_rsa_public_init(&ctx->pub, in->n, in->e));
    if (in->p.len == 0 || in->q.len == 0 || in->dp.len == 0 || in->dq.len == 0 || in->qi.len == 0 ||
        in->p.len > KW_RSA_MAX_BYTES || in->q.len > KW_RSA_MAX_BYTES ||
        in->dp.len > KW_RSA_MAX_BYTES || in->dq.len > KW_RSA_MAX_BYTES ||
        in->qi.len > KW_RSA_MAX_BYTES) {
        return KW_E_INPUT;
    }
    BN_CTX *bn = BN_CTX_secure_new();
    struct parts parts = {secret_bn(in->p), secret_bn(in->q), secret_bn(in->dp), secret_bn(in->dq),
                          secret_bn(in->qi)};
    bool ok = bn && parts.p && parts.q && parts.dp && parts.dq && parts.qi;
    kw_status status = ok ? private_fill(ctx, &parts, bn) : KW_E_NOMEM;
    BN_clear_free(parts.p);
    BN_clear_free(parts.q);
    BN_clear_free(parts.dp);
    BN_clear_free(parts.dq);
    BN_clear_free(parts.qi);
    BN_CTX_free(bn);
    if (status != KW_OK) {
        kw_wipe(ctx, sizeof *ctx);
    }
    return status;
}

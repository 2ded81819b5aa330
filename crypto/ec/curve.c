#include "crypto/ec/curve.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "crypto/ec/comb.h"

#if KC_HAVE_EC

#define TABLE_WORDS(nd, bits, w) (((bits) / (w) + 1) * 2 * (nd) * (1 << ((w)-1)))

static _Alignas(64) uint64_t table_p256[TABLE_WORDS(5, 256, KC_EC_P256_WINDOW)];
static _Alignas(64) uint64_t table_p384[TABLE_WORDS(8, 384, KC_EC_P384_WINDOW)];
static _Alignas(64) uint64_t table_p521[TABLE_WORDS(11, 521, KC_EC_P521_WINDOW)];

/* clang-format off */
static struct kc_ec_curve curves[] = {
    {.nd = 5, .bytes = 32, .bits = 256, .window = KC_EC_P256_WINDOW, .table = table_p256,
     .comb = kc_ec_comb_p256, .p = {.mul = kc_ec_p256_mul, .sqr = kc_ec_p256_sqr},
     .n = {.mul = kc_ec_n5_mul, .sqr = kc_ec_n5_sqr}},
    {.nd = 8, .bytes = 48, .bits = 384, .window = KC_EC_P384_WINDOW, .table = table_p384,
     .comb = kc_ec_comb_p384, .p = {.mul = kc_ec_p384_mul, .sqr = kc_ec_p384_sqr},
     .n = {.mul = kc_ec_n8_mul, .sqr = kc_ec_n8_sqr}},
    {.nd = 11, .bytes = 66, .bits = 521, .window = KC_EC_P521_WINDOW, .table = table_p521,
     .comb = kc_ec_comb_p521, .p = {.mul = kc_ec_p521_mul, .sqr = kc_ec_p521_sqr},
     .n = {.mul = kc_ec_n11_mul, .sqr = kc_ec_n11_sqr}},
};
/* clang-format on */
static bool ready[3];

/* A non-negative number of at most 128 bytes below R into all lanes. */
static bool broadcast(__m512i *to, const BIGNUM *from, unsigned nd)
{
    uint8_t bytes[128];
    uint64_t(*rows)[KC_EC_LANES] = kc_ec_rows(to);
    if (BN_bn2binpad(from, bytes, sizeof bytes) < 0)
        return false;
    for (unsigned lane = 0; lane < KC_EC_LANES; lane++)
        kc_ec_digits_in(rows, nd, lane, bytes, sizeof bytes);
    return true;
}

/* to = 2^(52 nd times) mod m */
static bool power_of_r(__m512i *to, const BIGNUM *m, unsigned nd, unsigned times, BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *r = BN_CTX_get(ctx);
    bool ok = r && BN_set_bit(r, (int)(KC_EC_DIGIT * nd * times)) && BN_mod(r, r, m, ctx) &&
              broadcast(to, r, nd);
    BN_CTX_end(ctx);
    return ok;
}

static bool modulus_init(struct kc_ec_modulus *to, const BIGNUM *m, unsigned nd, BN_CTX *ctx)
{
    to->nd = nd;
    BN_CTX_start(ctx);
    BIGNUM *t = BN_CTX_get(ctx), *word = BN_CTX_get(ctx);
    __m512i k0[KC_EC_DIGITS];
    bool ok = word && broadcast(to->m, m, nd) && power_of_r(to->one, m, nd, 1, ctx) &&
              power_of_r(to->r2, m, nd, 2, ctx) && power_of_r(to->r3, m, nd, 3, ctx);
    ok = ok && BN_set_bit(word, KC_EC_DIGIT) && BN_mod_inverse(t, m, word, ctx) &&
         BN_sub(t, word, t) && broadcast(k0, t, 1);
    to->k0 = k0[0];
    BN_CTX_end(ctx);
    return ok;
}

/* to = from in Montgomery form */
static bool field_element(struct kc_ec_curve *curve, __m512i *to, const BIGNUM *from)
{
    if (!broadcast(to, from, curve->nd))
        return false;
    curve->p.mul(&curve->p, to, to, curve->p.r2);
    kc_ec_reduce(&curve->p, to, to);
    return true;
}

/* to = 2^shift p; the last digit takes what is above. */
static KC_EC void multiple(__m512i *to, const struct kc_ec_modulus *p, unsigned shift)
{
    for (unsigned i = 0; i < p->nd; i++)
        to[i] = _mm512_slli_epi64(p->m[i], shift);
    kc_ec_tidy(to, p->nd);
}

static bool curve_init(struct kc_ec_curve *curve, const EC_GROUP *group, BN_CTX *ctx)
{
    BN_CTX_start(ctx);
    BIGNUM *p = BN_CTX_get(ctx), *a = BN_CTX_get(ctx), *b = BN_CTX_get(ctx);
    BIGNUM *x = BN_CTX_get(ctx), *y = BN_CTX_get(ctx);
    const BIGNUM *n = EC_GROUP_get0_order(group);
    const unsigned nd = curve->nd;
    curve->windows = curve->bits / curve->window + 1;
    bool ok = y && EC_GROUP_get_curve(group, p, a, b, ctx) == 1 &&
              EC_POINT_get_affine_coordinates(group, EC_GROUP_get0_generator(group), x, y, ctx) &&
              modulus_init(&curve->p, p, nd, ctx) && modulus_init(&curve->n, n, nd, ctx) &&
              field_element(curve, curve->b, b) && field_element(curve, curve->gx, x) &&
              field_element(curve, curve->gy, y);
    BN_CTX_end(ctx);
    if (ok) {
        multiple(curve->p16, &curve->p, 4);
        multiple(curve->p64, &curve->p, 6);
        kc_ec_comb_build(curve);
    }
    return ok;
}

const struct kc_ec_curve *kc_ec_curve_get(enum kw_curve curve)
{
    static const int nids[] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};
    if (curve < KW_CURVE_P256 || curve > KW_CURVE_P521)
        return NULL;
    const unsigned at = (unsigned)(curve - KW_CURVE_P256);
    if (!ready[at]) {
        EC_GROUP *group = EC_GROUP_new_by_curve_name(nids[at]);
        BN_CTX *ctx = BN_CTX_new();
        ready[at] = group && ctx && curve_init(&curves[at], group, ctx);
        EC_GROUP_free(group);
        BN_CTX_free(ctx);
    }
    return ready[at] ? &curves[at] : NULL;
}

#endif

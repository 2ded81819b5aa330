/* The arithmetic of crypto/ec against OpenSSL's numbers and points: edge values and random ones. */
#include "tests/unit/crypto/ec/ec_support.h"

#include "crypto/ec/comb.h"

#define ROUNDS 300
#define EDGES  8

/* 0, 1, m - 1, m, m + 1, 2m - 1, all digits full as far as 2m allows, and a random number below 2m:
 * everything a loose number may be. */
static void edge(BIGNUM *to, const BIGNUM *m, unsigned which)
{
    BN_copy(to, m);
    switch (which) {
    case 0:
        BN_zero(to);
        break;
    case 1:
        BN_one(to);
        break;
    case 2:
        BN_sub_word(to, 1);
        break;
    case 3:
        break;
    case 4:
        BN_add_word(to, 1);
        break;
    case 5:
        BN_lshift1(to, m);
        BN_sub_word(to, 1);
        break;
    case 6:
        BN_zero(to);
        BN_set_bit(to, BN_num_bits(m));
        BN_sub_word(to, 1);
        break;
    default:
        BN_lshift1(to, m);
        BN_rand_range(to, to);
    }
}

struct numbers {
    BN_CTX *ctx;
    BIGNUM *m, *r_inverse, *a[KC_EC_LANES], *b[KC_EC_LANES], *want, *twice;
};

static void numbers_make(struct numbers *n, const struct kc_ec_modulus *m)
{
    n->ctx = BN_CTX_new();
    n->m = ec_lane(m->m, m->nd, 3);
    n->want = BN_new();
    n->twice = BN_new();
    n->r_inverse = BN_new();
    BN_zero(n->want);
    BN_set_bit(n->want, (int)(KC_EC_DIGIT * m->nd));
    assert_non_null(BN_mod_inverse(n->r_inverse, n->want, n->m, n->ctx));
    BN_lshift1(n->twice, n->m);
    for (unsigned i = 0; i < KC_EC_LANES; i++) {
        n->a[i] = BN_new();
        n->b[i] = BN_new();
    }
}

static void numbers_free(struct numbers *n)
{
    for (unsigned i = 0; i < KC_EC_LANES; i++) {
        BN_free(n->a[i]);
        BN_free(n->b[i]);
    }
    BN_free(n->m);
    BN_free(n->want);
    BN_free(n->twice);
    BN_free(n->r_inverse);
    BN_CTX_free(n->ctx);
}

/* `got` in every lane is a * b / R modulo m, below 2m, in digits of 52 bits. */
static void expect_products(struct numbers *n, const struct kc_ec_modulus *m, const __m512i *got,
                            BIGNUM *const *a, BIGNUM *const *b)
{
    for (unsigned lane = 0; lane < KC_EC_LANES; lane++) {
        BIGNUM *value = ec_lane(got, m->nd, lane);
        BN_mod_mul(n->want, a[lane], b[lane], n->m, n->ctx);
        BN_mod_mul(n->want, n->want, n->r_inverse, n->m, n->ctx);
        assert_true(BN_cmp(value, n->twice) < 0);
        BN_mod(value, value, n->m, n->ctx);
        assert_int_equal(BN_cmp(value, n->want), 0);
        for (unsigned d = 0; d < m->nd; d++)
            assert_true(((const uint64_t(*)[KC_EC_LANES])(const void *)got)[d][lane] <= KC_EC_MASK);
        BN_free(value);
    }
}

static void check_products(const struct kc_ec_modulus *m)
{
    struct numbers n;
    __m512i a[KC_EC_DIGITS], b[KC_EC_DIGITS], r[KC_EC_DIGITS];
    numbers_make(&n, m);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned lane = 0; lane < KC_EC_LANES; lane++) {
            edge(n.a[lane], n.m, (round + lane) % EDGES);
            edge(n.b[lane], n.m, (round / EDGES + lane) % EDGES);
            ec_set_lane(a, m->nd, lane, n.a[lane]);
            ec_set_lane(b, m->nd, lane, n.b[lane]);
        }
        m->mul(m, r, a, b);
        expect_products(&n, m, r, n.a, n.b);
        m->sqr(m, r, a);
        expect_products(&n, m, r, n.a, n.a);
        m->mul(m, b, a, b); /* in place */
        expect_products(&n, m, b, n.a, n.b);
    }
    numbers_free(&n);
}

static void products(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        check_products(&ec_curve(c)->p);
        check_products(&ec_curve(c)->n);
    }
}

static void inverses(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_modulus *m[2] = {&ec_curve(c)->p, &ec_curve(c)->n};
        const unsigned nd = m[0]->nd;
        struct numbers n[2];
        __m512i a[2][KC_EC_DIGITS], r[2][KC_EC_DIGITS];
        for (unsigned i = 0; i < 2; i++) {
            numbers_make(&n[i], m[i]);
            for (unsigned lane = 0; lane < KC_EC_LANES; lane++) {
                edge(n[i].a[lane], n[i].m, lane);
                ec_set_lane(a[i], nd, lane, n[i].a[lane]);
            }
        }
        __m512i both[2][KC_EC_DIGITS];
        kc_ec_invert2(m[0], both[0], a[0], m[1], both[1], a[1]);
        for (unsigned i = 0; i < 2; i++) {
            kc_ec_invert(m[i], r[i], a[i]);
            for (unsigned lane = 0; lane < KC_EC_LANES; lane++) {
                BIGNUM *one = ec_lane(r[i], nd, lane), *other = ec_lane(both[i], nd, lane);
                assert_int_equal(BN_cmp(one, other), 0);
                BN_free(one);
                BN_free(other);
            }
            m[i]->mul(m[i], a[i], a[i], r[i]);
            kc_ec_reduce(m[i], a[i], a[i]);
            for (unsigned lane = 0; lane < KC_EC_LANES; lane++) {
                BIGNUM *one = ec_lane(m[i]->one, nd, lane), *got = ec_lane(a[i], nd, lane);
                BN_mod(n[i].want, n[i].a[lane], n[i].m, n[i].ctx);
                if (BN_is_zero(n[i].want))
                    assert_true(BN_is_zero(got));
                else
                    assert_int_equal(BN_cmp(got, one), 0);
                BN_free(one);
                BN_free(got);
            }
            numbers_free(&n[i]);
        }
    }
}

/* Every entry of the generators' tables is the multiple it should be. */
static void tables(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        const unsigned nd = curve->nd, count = 1u << (curve->window - 1);
        EC_GROUP *group = EC_GROUP_new_by_curve_name(ec_nids[c]);
        EC_POINT *step = EC_POINT_dup(EC_GROUP_get0_generator(group), group);
        EC_POINT *at = EC_POINT_new(group);
        struct numbers n;
        numbers_make(&n, &curve->p);
        BIGNUM *x = BN_new(), *y = BN_new();
        for (unsigned i = 0; i < curve->windows; i++) {
            EC_POINT_copy(at, step);
            for (unsigned w = 0; w < curve->window; w++)
                EC_POINT_dbl(group, step, step, n.ctx);
            /* first and last entries of each window, and one between */
            const unsigned which[3] = {0, (unsigned)(ec_rnd() % count), count - 1};
            for (unsigned t = 0; t < 3; t++) {
                const uint64_t *entry = curve->table + (size_t)i * 2 * nd * count + which[t];
                EC_POINT *want = EC_POINT_new(group);
                BN_set_word(n.want, 2 * which[t] + 1);
                EC_POINT_mul(group, want, NULL, at, n.want, n.ctx);
                EC_POINT_get_affine_coordinates(group, want, x, y, n.ctx);
                for (unsigned d = 2 * nd; d-- > 0;) {
                    BIGNUM *coordinate = d < nd ? x : y;
                    if (d % nd == nd - 1) { /* into Montgomery form, once per coordinate */
                        BN_lshift(coordinate, coordinate, (int)(KC_EC_DIGIT * nd));
                        BN_mod(coordinate, coordinate, n.m, n.ctx);
                    }
                    BN_rshift(n.want, coordinate, (int)(KC_EC_DIGIT * (d % nd)));
                    BN_mask_bits(n.want, KC_EC_DIGIT);
                    assert_int_equal(BN_get_word(n.want), entry[(size_t)d * count]);
                }
                EC_POINT_free(want);
            }
        }
        numbers_free(&n);
        BN_free(x);
        BN_free(y);
        EC_POINT_free(step);
        EC_POINT_free(at);
        EC_GROUP_free(group);
    }
}

/* k of 1, 2, n - 1, n - 2, a power of two, and the one whose last addition is a doubling. */
static void special_scalar(BIGNUM *k, const struct kc_ec_curve *curve, const BIGNUM *order,
                           unsigned which)
{
    BN_copy(k, order);
    switch (which) {
    case 0:
        BN_one(k);
        break;
    case 1:
        BN_set_word(k, 2);
        break;
    case 2:
        BN_sub_word(k, 1);
        break;
    case 3:
        BN_sub_word(k, 2);
        break;
    case 4:
        BN_zero(k);
        BN_set_bit(k, (int)curve->bits - 1);
        break;
    default:
        BN_rand_range(k, order);
        if (BN_is_zero(k))
            BN_one(k);
    }
}

static void expect_point(const struct kc_ec_curve *curve, const EC_GROUP *group,
                         const struct kc_ec_point *got, unsigned lane, const EC_POINT *want,
                         BN_CTX *ctx)
{
    const unsigned nd = curve->nd;
    BIGNUM *p = ec_lane(curve->p.m, nd, lane), *z = ec_lane(got->z, nd, lane), *r = BN_new();
    BIGNUM *x = ec_lane(got->x, nd, lane), *y = ec_lane(got->y, nd, lane), *t = BN_new();
    BIGNUM *want_x = BN_new(), *want_y = BN_new();
    BN_zero(r);
    BN_set_bit(r, (int)(KC_EC_DIGIT * nd));
    BN_mod_inverse(t, z, p, ctx); /* 1 / (Z R) */
    BN_mod_mul(x, x, t, p, ctx);
    BN_mod_mul(x, x, t, p, ctx);
    BN_mod_mul(x, x, r, p, ctx); /* X R / (Z R)^2 R */
    BN_mod_mul(y, y, t, p, ctx);
    BN_mod_mul(y, y, t, p, ctx);
    BN_mod_mul(y, y, t, p, ctx);
    BN_mod_mul(y, y, r, p, ctx);
    BN_mod_mul(y, y, r, p, ctx);
    EC_POINT_get_affine_coordinates(group, want, want_x, want_y, ctx);
    assert_int_equal(BN_cmp(x, want_x), 0);
    assert_int_equal(BN_cmp(y, want_y), 0);
    BIGNUM *all[] = {p, z, r, x, y, t, want_x, want_y};
    for (unsigned i = 0; i < 8; i++)
        BN_free(all[i]);
}

static void generator_multiples(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        EC_GROUP *group = EC_GROUP_new_by_curve_name(ec_nids[c]);
        BN_CTX *ctx = BN_CTX_new();
        BIGNUM *k[KC_EC_LANES];
        EC_POINT *want = EC_POINT_new(group);
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            k[i] = BN_new();
        for (unsigned round = 0; round < 24; round++) {
            struct kc_ec_point got;
            __m512i scalars[KC_EC_DIGITS];
            for (unsigned i = 0; i < KC_EC_LANES; i++) {
                special_scalar(k[i], curve, EC_GROUP_get0_order(group), (round + i) % KC_EC_LANES);
                ec_set_lane(scalars, curve->nd, i, k[i]);
            }
            assert_int_equal(curve->comb(curve, &got, scalars) & 0xff, 0xff);
            assert_int_equal(kc_ec_on_curve(curve, &got) & 0xff, 0xff);
            for (unsigned i = 0; i < KC_EC_LANES; i++) {
                EC_POINT_mul(group, want, k[i], NULL, NULL, ctx);
                expect_point(curve, group, &got, i, want, ctx);
            }
            /* a point that left the curve is seen, in its lane alone */
            kc_ec_rows(got.y)[round % curve->nd][round % KC_EC_LANES] ^= 2;
            assert_int_equal(kc_ec_on_curve(curve, &got) & 0xff, 0xff & ~(1u << round % 8));
        }
        for (unsigned i = 0; i < KC_EC_LANES; i++)
            BN_free(k[i]);
        EC_POINT_free(want);
        EC_GROUP_free(group);
        BN_CTX_free(ctx);
    }
}

/* The one scalar that meets an exception, and 0: Z = 0, and so never taken for a point. */
static void exceptions(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CURVES; c++) {
        const struct kc_ec_curve *curve = ec_curve(c);
        const unsigned top = curve->window * (curve->windows - 1);
        BIGNUM *order = ec_lane(curve->n.m, curve->nd, 0), *k = BN_new();
        struct kc_ec_point got;
        __m512i scalars[KC_EC_DIGITS];
        unsigned found = 0;
        for (unsigned digit = 1; digit < 1u << curve->window; digit += 2) {
            /* k = 2 d - n for the last window's term d */
            BN_set_word(k, digit);
            BN_lshift(k, k, (int)top + 1);
            BN_sub(k, k, order);
            if (BN_is_negative(k) || BN_is_zero(k) || BN_cmp(k, order) >= 0)
                BN_zero(k);
            for (unsigned i = 0; i < KC_EC_LANES; i++)
                ec_set_lane(scalars, curve->nd, i, k);
            (void)curve->comb(curve, &got, scalars);
            unsigned infinite = kc_ec_infinite(curve, &got) & 0xff;
            assert_true(infinite == 0 || infinite == 0xff);
            assert_int_equal(kc_ec_on_curve(curve, &got) & 0xff, 0xff & ~infinite);
            if (BN_is_zero(k))
                assert_int_equal(infinite, 0xff);
            else
                found += infinite != 0;
        }
        assert_true(found <= 1);
        BN_free(order);
        BN_free(k);
    }
}

int main(void)
{
    ec_need_cpu();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),   cmocka_unit_test(inverses),
        cmocka_unit_test(tables),     cmocka_unit_test(generator_multiples),
        cmocka_unit_test(exceptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

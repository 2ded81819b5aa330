#include "crypto/ec/point.h"

#if KC_HAVE_EC

/* Y^2 + 3 X Z^4 = X^3 + b Z^6 */
KC_EC_INLINE unsigned on_curve(const struct kc_ec_curve *c, const struct kc_ec_point *a,
                               unsigned nd)
{
    __m512i z2[KC_EC_DIGITS] KC_EC_RAW, z4[KC_EC_DIGITS] KC_EC_RAW, left[KC_EC_DIGITS] KC_EC_RAW,
        right[KC_EC_DIGITS] KC_EC_RAW;
    kc_fe_sqr(c, z2, a->z, nd);
    kc_fe_sqr(c, z4, z2, nd);
    kc_fe_mul(c, left, a->x, z4, nd);
    kc_fe_add(right, left, left, nd);
    kc_fe_add(left, left, right, nd);
    kc_fe_sqr(c, right, a->y, nd);
    kc_fe_add(left, left, right, nd);
    kc_fe_mul(c, z4, z4, z2, nd);
    kc_fe_mul(c, z4, z4, c->b, nd);
    kc_fe_sqr(c, right, a->x, nd);
    kc_fe_mul(c, right, right, a->x, nd);
    kc_fe_add(right, right, z4, nd);
    kc_fe_mul(c, left, left, c->p.one, nd);
    kc_fe_mul(c, right, right, c->p.one, nd);
    kc_ec_below(left, left, c->p.m, nd);
    kc_ec_below(right, right, c->p.m, nd);
    return kc_ec_same(left, right, nd);
}

KC_EC unsigned kc_ec_infinite(const struct kc_ec_curve *curve, const struct kc_ec_point *point)
{
    __m512i z[KC_EC_DIGITS] KC_EC_RAW;
    curve->p.mul(&curve->p, z, point->z, curve->p.one);
    kc_ec_reduce(&curve->p, z, z);
    return kc_ec_zero(z, curve->nd);
}

KC_EC unsigned kc_ec_on_curve(const struct kc_ec_curve *curve, const struct kc_ec_point *point)
{
    const unsigned finite = ~kc_ec_infinite(curve, point);
    if (curve->nd == 5)
        return finite & on_curve(curve, point, 5);
    if (curve->nd == 8)
        return finite & on_curve(curve, point, 8);
    return finite & on_curve(curve, point, 11);
}

KC_EC void kc_ec_point_double(const struct kc_ec_curve *c, struct kc_ec_point *r,
                              const struct kc_ec_point *a)
{
    if (c->nd == 5)
        kc_point_double(c, r, a, 5);
    else if (c->nd == 8)
        kc_point_double(c, r, a, 8);
    else
        kc_point_double(c, r, a, 11);
}

KC_EC void kc_ec_point_add(const struct kc_ec_curve *c, struct kc_ec_point *r,
                           const struct kc_ec_point *a, const struct kc_ec_point *b)
{
    if (c->nd == 5)
        kc_point_add(c, r, a, b, 5);
    else if (c->nd == 8)
        kc_point_add(c, r, a, b, 8);
    else
        kc_point_add(c, r, a, b, 11);
}

#endif

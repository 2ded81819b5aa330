#include "crypto/ec/sign.h"

#include <string.h>

#include "crypto/base/secret.h"
#include "crypto/ec/point.h"

#if KC_HAVE_EC

/* The caller's digests and the stored scalars into lanes; idle lanes repeat lane 0. */
static void load(struct kc_ec_sign_work *work, const struct kc_ec_curve *curve,
                 const struct kc_ec_sign_lane *lanes, unsigned count)
{
    for (unsigned at = 0; at < KC_EC_LANES; at++) {
        const struct kc_ec_sign_lane *lane = &lanes[at < count ? at : 0];
        kc_ec_digits_in(kc_ec_rows(work->e), curve->nd, at, lane->digest, lane->len);
        for (unsigned i = 0; i < curve->nd; i++)
            kc_ec_rows(work->d)[i][at] = lane->key->d[i];
    }
}

/* t = e + r d, loose */
static KC_EC void message_and_key(struct kc_ec_sign_work *work, const struct kc_ec_modulus *n)
{
    n->mul(n, work->t, work->r, work->d);
    for (unsigned i = 0; i < n->nd; i++)
        work->t[i] = _mm512_add_epi64(work->t[i], work->e[i]);
    kc_ec_tidy(work->t, n->nd);
}

/* r = x(k G) mod n; the lanes whose point is one, with that x. */
static KC_EC unsigned point_part(struct kc_ec_sign_work *work, const struct kc_ec_curve *curve)
{
    const struct kc_ec_modulus *p = &curve->p, *n = &curve->n;
    struct kc_ec_point *point = &work->point;
    unsigned good = curve->comb(curve, point, work->k);
    good &= kc_ec_on_curve(curve, point);
    n->mul(n, work->kr, work->k, n->r2);
    kc_ec_invert2(p, work->inverse_z, point->z, n, work->inverse_k, work->kr);
    p->sqr(p, work->t, work->inverse_z);
    p->mul(p, work->r, point->x, work->t);
    /* x Z^2 = X */
    p->sqr(p, work->t, point->z);
    p->mul(p, work->t, work->t, work->r);
    p->mul(p, work->u, point->x, p->one);
    kc_ec_reduce(p, work->t, work->t);
    kc_ec_reduce(p, work->u, work->u);
    good &= kc_ec_same(work->t, work->u, curve->nd);
    kc_ec_plain(p, work->r, work->r);
    kc_ec_reduce(n, work->r, work->r);
    return good;
}

/* s k = e + r d, from the bytes that leave and the values the callers own. */
static KC_EC unsigned equation_holds(struct kc_ec_sign_work *work, const struct kc_ec_curve *curve,
                                     const struct kc_ec_sign_lane *lanes, unsigned count)
{
    const struct kc_ec_modulus *n = &curve->n;
    const size_t len = curve->bytes;
    load(work, curve, lanes, count);
    for (unsigned at = 0; at < KC_EC_LANES; at++) {
        const uint8_t *out = lanes[at < count ? at : 0].out;
        kc_ec_digits_in(kc_ec_rows(work->r), curve->nd, at, out, len);
        kc_ec_digits_in(kc_ec_rows(work->s), curve->nd, at, out + len, len);
    }
    message_and_key(work, n);
    n->mul(n, work->t, work->t, n->one);
    n->mul(n, work->u, work->s, n->r2);
    n->mul(n, work->u, work->u, work->k);
    kc_ec_reduce(n, work->t, work->t);
    kc_ec_reduce(n, work->u, work->u);
    return kc_ec_same(work->t, work->u, curve->nd) & ~kc_ec_zero(work->r, curve->nd) &
           ~kc_ec_zero(work->s, curve->nd);
}

KC_EC unsigned kc_ec_sign_known(const struct kc_ec_curve *curve,
                                const struct kc_ec_sign_lane *lanes, unsigned count,
                                struct kc_ec_sign_work *work)
{
    const struct kc_ec_modulus *n = &curve->n;
    const size_t len = curve->bytes;
    load(work, curve, lanes, count);
    unsigned good = point_part(work, curve);
    message_and_key(work, n);
    n->mul(n, work->s, work->t, work->inverse_k);
    kc_ec_reduce(n, work->s, work->s);
    for (unsigned at = 0; at < count; at++) {
        kc_ec_digits_out(lanes[at].out, len, kc_ec_rows(work->r), curve->nd, at);
        kc_ec_digits_out(lanes[at].out + len, len, kc_ec_rows(work->s), curve->nd, at);
    }
    good &= equation_holds(work, curve, lanes, count);
    for (unsigned at = 0; at < count; at++)
        if (!(good >> at & 1))
            memset(lanes[at].out, 0, 2 * len);
    kw_wipe(work, sizeof *work);
    kc_ec_burn_stack();
    return good & ((1u << count) - 1);
}

kw_status kc_ec_sign_x8(const struct kc_ec_curve *curve, const struct kc_ec_sign_lane *lanes,
                        unsigned count, struct kc_ec_sign_work *work, unsigned *good)
{
    *good = 0;
    KW_TRY(kw_random(work->random, sizeof work->random));
    kc_ec_nonces(curve, lanes, count, work);
    *good = kc_ec_sign_known(curve, lanes, count, work);
    return KW_OK;
}

#endif

#include "crypto/ec/verify.h"

#include "crypto/ec/table.h"

#if KC_HAVE_EC

/* Idle lanes repeat lane 0. */
static void load(struct kc_ec_verify_work *work, const struct kc_ec_curve *curve,
                 const struct kc_ec_verify_lane *lanes, unsigned count)
{
    const size_t len = curve->bytes;
    const unsigned nd = curve->nd;
    for (unsigned at = 0; at < KC_EC_LANES; at++) {
        const struct kc_ec_verify_lane *lane = &lanes[at < count ? at : 0];
        kc_ec_digits_in(kc_ec_rows(work->e), nd, at, lane->digest, lane->len);
        kc_ec_digits_in(kc_ec_rows(work->r), nd, at, lane->sig, len);
        kc_ec_digits_in(kc_ec_rows(work->s), nd, at, lane->sig + len, len);
        for (unsigned i = 0; i < nd; i++) {
            kc_ec_rows(work->q.x)[i][at] = lane->key->x[i];
            kc_ec_rows(work->q.y)[i][at] = lane->key->y[i];
        }
    }
    kc_ec_copy(work->q.z, curve->p.one, nd);
}

/* Lanes where v is in [1, n - 1]; v becomes 1 in the others. */
static KC_EC unsigned in_range(__m512i *v, const struct kc_ec_modulus *n)
{
    __m512i t[KC_EC_DIGITS];
    const __mmask8 fits = kc_ec_minus(t, v, n->m, n->nd) & (__mmask8)~kc_ec_zero(v, n->nd);
    for (unsigned i = 0; i < n->nd; i++)
        v[i] = _mm512_mask_mov_epi64(_mm512_set1_epi64(i == 0), fits, v[i]);
    return fits;
}

/* u1 = e / s, u2 = r / s modulo n, plain */
static KC_EC void scalars(struct kc_ec_verify_work *work, const struct kc_ec_modulus *n)
{
    n->mul(n, work->t, work->s, n->r2);
    kc_ec_invert(n, work->t, work->t);
    n->mul(n, work->u1, work->e, work->t);
    n->mul(n, work->u2, work->r, work->t);
    kc_ec_reduce(n, work->u1, work->u1);
    kc_ec_reduce(n, work->u2, work->u2);
}

/* Lanes where x Z^2 = X for a plain x < p; `point` is in Montgomery form, `zz` its Z^2. */
static KC_EC unsigned has_x(struct kc_ec_verify_work *work, const struct kc_ec_curve *curve,
                            const __m512i *x, const __m512i *zz)
{
    const struct kc_ec_modulus *p = &curve->p;
    p->mul(p, work->u1, x, p->r2);
    p->mul(p, work->u1, work->u1, zz);
    p->mul(p, work->u2, work->left.x, p->one);
    kc_ec_reduce(p, work->u1, work->u1);
    kc_ec_reduce(p, work->u2, work->u2);
    return kc_ec_same(work->u1, work->u2, curve->nd);
}

/* x mod n = r: x is r, or r + n where that is still below p. */
static KC_EC unsigned matches(struct kc_ec_verify_work *work, const struct kc_ec_curve *curve)
{
    const unsigned nd = curve->nd;
    curve->p.sqr(&curve->p, work->t, work->left.z);
    unsigned valid = has_x(work, curve, work->r, work->t);
    for (unsigned i = 0; i < nd; i++)
        work->v[i] = _mm512_add_epi64(work->r[i], curve->n.m[i]);
    kc_ec_tidy(work->v, nd);
    const unsigned below = kc_ec_minus(work->s, work->v, curve->p.m, nd);
    if (below != 0)
        valid |= below & has_x(work, curve, work->v, work->t);
    return valid;
}

/* work->left = u1 G + u2 Q; the lanes where that may be believed. */
static KC_EC unsigned sum(struct kc_ec_verify_work *work, const struct kc_ec_curve *curve,
                          const struct kc_ec_verify_lane *lanes, unsigned count)
{
    const uint64_t *tables[KC_EC_LANES];
    for (unsigned i = 0; i < KC_EC_LANES; i++)
        tables[i] = lanes[i < count ? i : 0].table;
    if (lanes[0].generator && count <= KC_EC_SPLIT_MAX) {
        kc_ec_table_split(curve, &work->left, work->u1, work->u2, lanes[0].generator, tables,
                          count);
        return ~0u;
    }
    const unsigned looked_up = curve->comb(curve, &work->left, work->u1);
    if (tables[0]) {
        kc_ec_table_add(curve, &work->left, work->u2, tables);
    } else {
        kc_ec_times(curve, &work->right, &work->q, work->u2, &work->times);
        kc_ec_point_add(curve, &work->left, &work->left, &work->right);
    }
    return looked_up;
}

KC_EC unsigned kc_ec_verify_x8(const struct kc_ec_curve *curve,
                               const struct kc_ec_verify_lane *lanes, unsigned count,
                               struct kc_ec_verify_work *work, unsigned *undecided)
{
    const struct kc_ec_modulus *n = &curve->n;
    const unsigned used = (1u << count) - 1;
    load(work, curve, lanes, count);
    unsigned fits = in_range(work->r, n);
    fits &= in_range(work->s, n);
    scalars(work, n);
    const unsigned believed = sum(work, curve, lanes, count);
    *undecided = (kc_ec_infinite(curve, &work->left) | ~believed) & fits & used;
    return matches(work, curve) & fits & used & ~*undecided;
}

#endif

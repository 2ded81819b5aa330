#include "crypto/ec/comb.h"

#if KC_HAVE_EC

/* Made once at start from public numbers. A lane is a window: eight windows are built at a time. */

#define MAX_ENTRIES 64

struct build {
    const struct kc_ec_curve *curve;
    struct kc_ec_point walker;               /* 2^i G, the same in all lanes */
    struct kc_ec_point entries[MAX_ENTRIES]; /* odd multiples, Jacobian, then affine */
    __m512i products[MAX_ENTRIES][KC_EC_DIGITS];
};

static KC_EC void take_lane(__m512i *to, const __m512i *from, unsigned lane, unsigned nd)
{
    for (unsigned d = 0; d < nd; d++)
        to[d] = _mm512_mask_mov_epi64(to[d], (__mmask8)(1u << lane), from[d]);
}

/* entries[0] = 2^(w i) G for the eight windows i from `first` on; moves the walker past them. */
static KC_EC void bases(struct build *b, unsigned first)
{
    const struct kc_ec_curve *c = b->curve;
    struct kc_ec_point *to = &b->entries[0];
    *to = b->walker;
    for (unsigned lane = 0; lane < KC_EC_LANES && first + lane < c->windows; lane++) {
        take_lane(to->x, b->walker.x, lane, c->nd);
        take_lane(to->y, b->walker.y, lane, c->nd);
        take_lane(to->z, b->walker.z, lane, c->nd);
        for (unsigned i = 0; i < c->window; i++)
            kc_ec_point_double(c, &b->walker, &b->walker);
    }
}

/* All entries to affine coordinates, below p, with one inversion (Montgomery's trick). */
static KC_EC void normalise(struct build *b, unsigned count)
{
    const struct kc_ec_curve *c = b->curve;
    const struct kc_ec_modulus *p = &c->p;
    __m512i inverse[KC_EC_DIGITS], z[KC_EC_DIGITS], zz[KC_EC_DIGITS];
    kc_ec_copy(b->products[0], b->entries[0].z, c->nd);
    for (unsigned j = 1; j < count; j++)
        p->mul(p, b->products[j], b->products[j - 1], b->entries[j].z);
    kc_ec_invert(p, inverse, b->products[count - 1]);
    for (unsigned j = count; j-- > 0;) {
        struct kc_ec_point *e = &b->entries[j];
        if (j > 0) {
            p->mul(p, z, inverse, b->products[j - 1]);
            p->mul(p, inverse, inverse, e->z);
        } else {
            kc_ec_copy(z, inverse, c->nd);
        }
        p->sqr(p, zz, z);
        p->mul(p, e->x, e->x, zz);
        p->mul(p, zz, zz, z);
        p->mul(p, e->y, e->y, zz);
        kc_ec_reduce(p, e->x, e->x);
        kc_ec_reduce(p, e->y, e->y);
    }
}

static void store(struct build *b, unsigned first, unsigned count)
{
    const struct kc_ec_curve *c = b->curve;
    const unsigned nd = c->nd;
    for (unsigned lane = 0; lane < KC_EC_LANES && first + lane < c->windows; lane++) {
        uint64_t *window = c->table + (size_t)(first + lane) * 2 * nd * count;
        for (unsigned j = 0; j < count; j++)
            for (unsigned d = 0; d < nd; d++) {
                window[(size_t)d * count + j] = kc_ec_rows(b->entries[j].x)[d][lane];
                window[(size_t)(nd + d) * count + j] = kc_ec_rows(b->entries[j].y)[d][lane];
            }
    }
}

void kc_ec_comb_build(const struct kc_ec_curve *curve)
{
    static struct build room; /* 270 KB: too much for a stack; start is single-threaded */
    struct build *b = &room;
    struct kc_ec_point step;
    const unsigned count = 1u << (curve->window - 1);
    b->curve = curve;
    kc_ec_copy(b->walker.x, curve->gx, curve->nd);
    kc_ec_copy(b->walker.y, curve->gy, curve->nd);
    kc_ec_copy(b->walker.z, curve->p.one, curve->nd);
    for (unsigned first = 0; first < curve->windows; first += KC_EC_LANES) {
        bases(b, first);
        kc_ec_point_double(curve, &step, &b->entries[0]);
        for (unsigned j = 1; j < count; j++)
            kc_ec_point_add(curve, &b->entries[j], &b->entries[j - 1], &step);
        normalise(b, count);
        store(b, first, count);
    }
}

#endif

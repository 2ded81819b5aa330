#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

#define WINDOW 4

KC_EC void kc_ec_plain(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)
{
    __m512i one[KC_EC_DIGITS];
    for (unsigned i = 0; i < m->nd; i++)
        one[i] = _mm512_set1_epi64(i == 0);
    m->mul(m, r, a, one);
    kc_ec_below(r, r, m->m, m->nd);
}

KC_EC void kc_ec_tidy(__m512i *a, unsigned nd)
{
    kc_ec_carry(a, a, nd);
}

KC_EC void kc_ec_reduce(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)
{
    kc_ec_below(r, a, m->m, m->nd);
}

/* One inversion's state: powers 0 to 15 of the base, and the running product. */
struct chain {
    const struct kc_ec_modulus *m;
    __m512i powers[1 << WINDOW][KC_EC_DIGITS];
    __m512i product[KC_EC_DIGITS];
};

KC_EC void kc_ec_copy(__m512i *to, const __m512i *from, unsigned nd)
{
    for (unsigned i = 0; i < nd; i++)
        _mm512_store_si512(to + i, _mm512_load_si512(from + i));
}

static KC_EC void chain_start(struct chain *c, const struct kc_ec_modulus *m, const __m512i *a)
{
    c->m = m;
    kc_ec_copy(c->powers[0], m->one, m->nd);
    kc_ec_copy(c->powers[1], a, m->nd);
    for (unsigned i = 2; i < 1 << WINDOW; i++)
        m->mul(m, c->powers[i], c->powers[i - 1], a);
    kc_ec_copy(c->product, m->one, m->nd);
}

static unsigned window_of(const struct kc_ec_modulus *m, size_t at)
{
    uint8_t byte = m->minus2[at / 2];
    return at % 2 ? byte & 15u : byte >> 4;
}

KC_EC void kc_ec_invert(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)
{
    struct chain x;
    chain_start(&x, m, a);
    for (size_t at = 0; at < 2 * m->len; at++) {
        for (int i = 0; i < WINDOW; i++)
            m->sqr(m, x.product, x.product);
        m->mul(m, x.product, x.product, x.powers[window_of(m, at)]);
    }
    kc_ec_copy(r, x.product, m->nd);
}

KC_EC void kc_ec_invert2(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,
                         const struct kc_ec_modulus *m2, __m512i *r2, const __m512i *a2)
{
    struct chain x, y;
    chain_start(&x, m, a);
    chain_start(&y, m2, a2);
    for (size_t at = 0; at < 2 * m->len; at++) {
        for (int i = 0; i < WINDOW; i++) {
            m->sqr(m, x.product, x.product);
            m2->sqr(m2, y.product, y.product);
        }
        m->mul(m, x.product, x.product, x.powers[window_of(m, at)]);
        m2->mul(m2, y.product, y.product, y.powers[window_of(m2, at)]);
    }
    kc_ec_copy(r, x.product, m->nd);
    kc_ec_copy(r2, y.product, m2->nd);
}

#endif

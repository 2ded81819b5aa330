#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

/* Inversion by Bernstein and Yang's division steps ("Fast constant-time gcd computation and modular
 * inversion", 2019) with delta starting at 1/2: a fixed number of steps, each the same few
 * additions under masks, on the low bits of f and g alone; every thirty of them are gathered in a
 * matrix (u v) (q r) / 2^30 that is then applied to the whole numbers. f starts as the modulus, g
 * as the number; d and e keep f = d a and g = e a modulo m. At the end g = 0, f = 1 or -1, and d
 * the inverse but for that sign.
 *
 * Steps that suffice for numbers of b bits: (45907 b + 26313) / 19929, so 591, 885 and 1201 for
 * 256, 384 and 521 bits. In thirties: 20, 30 and 41. A number for which they did not would give a
 * result that is no inverse; a signature's check would see it.
 *
 * Numbers are rows of 30-bit digits, the last one signed: products of 32 by 32 bits are exact in
 * their lanes. */

#define BITS       30
#define MAX_DIGITS 18
#define LOW        _mm512_set1_epi64((1ll << BITS) - 1)

/** The low bits of f and g, the matrix so far, and zeta = -(delta + 1/2). */
struct steps {
    __m512i f, g, u, v, q, r, zeta;
};

struct state {
    __m512i f[MAX_DIGITS], g[MAX_DIGITS], d[MAX_DIGITS], e[MAX_DIGITS], m[MAX_DIGITS];
    __m512i inverse; /* of m modulo 2^30 */
};

KC_EC_INLINE void step(struct steps *t)
{
    const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi64(1);
    const __m512i ones = _mm512_set1_epi64(-1);
    const __mmask8 odd = _mm512_test_epi64_mask(t->g, one);
    const __mmask8 negative = _mm512_cmplt_epi64_mask(t->zeta, zero);
    const __mmask8 less = odd & negative, more = odd & (__mmask8)~negative;
    t->g = _mm512_mask_sub_epi64(_mm512_mask_add_epi64(t->g, more, t->g, t->f), less, t->g, t->f);
    t->q = _mm512_mask_sub_epi64(_mm512_mask_add_epi64(t->q, more, t->q, t->u), less, t->q, t->u);
    t->r = _mm512_mask_sub_epi64(_mm512_mask_add_epi64(t->r, more, t->r, t->v), less, t->r, t->v);
    t->zeta = _mm512_add_epi64(_mm512_mask_xor_epi64(t->zeta, less, t->zeta, ones), ones);
    t->f = _mm512_mask_add_epi64(t->f, less, t->f, t->g);
    t->u = _mm512_mask_add_epi64(t->u, less, t->u, t->q);
    t->v = _mm512_mask_add_epi64(t->v, less, t->v, t->r);
    t->g = _mm512_srai_epi64(t->g, 1);
    t->u = _mm512_add_epi64(t->u, t->u);
    t->v = _mm512_add_epi64(t->v, t->v);
}

KC_EC_INLINE void steps_start(struct steps *t, const struct state *s)
{
    t->f = s->f[0];
    t->g = s->g[0];
    t->u = t->r = _mm512_set1_epi64(1);
    t->v = t->q = _mm512_setzero_si512();
}

/* a x + b y */
KC_EC_INLINE __m512i pair(__m512i a, __m512i x, __m512i b, __m512i y)
{
    return _mm512_add_epi64(_mm512_mul_epi32(a, x), _mm512_mul_epi32(b, y));
}

/* (f, g) = matrix (f, g) / 2^30, exact */
KC_EC_INLINE void update_fg(struct state *s, const struct steps *t, unsigned len)
{
    __m512i cf = pair(t->u, s->f[0], t->v, s->g[0]);
    __m512i cg = pair(t->q, s->f[0], t->r, s->g[0]);
    for (unsigned i = 1; i < len; i++) {
        const __m512i f = s->f[i], g = s->g[i];
        cf = _mm512_add_epi64(_mm512_srai_epi64(cf, BITS), pair(t->u, f, t->v, g));
        cg = _mm512_add_epi64(_mm512_srai_epi64(cg, BITS), pair(t->q, f, t->r, g));
        s->f[i - 1] = _mm512_and_si512(cf, LOW);
        s->g[i - 1] = _mm512_and_si512(cg, LOW);
    }
    s->f[len - 1] = _mm512_srai_epi64(cf, BITS);
    s->g[len - 1] = _mm512_srai_epi64(cg, BITS);
}

/* How often m is added so that the sum is divisible by 2^30 and stays in (-2m, m): one each for
 * negative d and e, less what clears the low digit. */
KC_EC_INLINE __m512i correction(__m512i a, __mmask8 d, __m512i b, __mmask8 e, __m512i low,
                                __m512i m_inverse)
{
    const __m512i c = _mm512_add_epi64(_mm512_maskz_mov_epi64(d, a), _mm512_maskz_mov_epi64(e, b));
    const __m512i clear = _mm512_add_epi64(_mm512_mul_epu32(m_inverse, low), c);
    return _mm512_sub_epi64(c, _mm512_and_si512(clear, LOW));
}

/* (d, e) = matrix (d, e) / 2^30 modulo m; both in (-2m, m) before and after */
KC_EC_INLINE void update_de(struct state *s, const struct steps *t, unsigned len)
{
    const __mmask8 sd = _mm512_movepi64_mask(s->d[len - 1]);
    const __mmask8 se = _mm512_movepi64_mask(s->e[len - 1]);
    __m512i cd = pair(t->u, s->d[0], t->v, s->e[0]);
    __m512i ce = pair(t->q, s->d[0], t->r, s->e[0]);
    const __m512i md = correction(t->u, sd, t->v, se, cd, s->inverse);
    const __m512i me = correction(t->q, sd, t->r, se, ce, s->inverse);
    cd = _mm512_add_epi64(cd, _mm512_mul_epi32(s->m[0], md));
    ce = _mm512_add_epi64(ce, _mm512_mul_epi32(s->m[0], me));
    for (unsigned i = 1; i < len; i++) {
        const __m512i d = s->d[i], e = s->e[i], m = s->m[i];
        cd = _mm512_add_epi64(_mm512_srai_epi64(cd, BITS), pair(t->u, d, t->v, e));
        ce = _mm512_add_epi64(_mm512_srai_epi64(ce, BITS), pair(t->q, d, t->r, e));
        cd = _mm512_add_epi64(cd, _mm512_mul_epi32(m, md));
        ce = _mm512_add_epi64(ce, _mm512_mul_epi32(m, me));
        s->d[i - 1] = _mm512_and_si512(cd, LOW);
        s->e[i - 1] = _mm512_and_si512(ce, LOW);
    }
    s->d[len - 1] = _mm512_srai_epi64(cd, BITS);
    s->e[len - 1] = _mm512_srai_epi64(ce, BITS);
}

/* a += m where a is negative; carries */
KC_EC_INLINE void add_if_negative(__m512i *a, const __m512i *m, unsigned len)
{
    const __mmask8 negative = _mm512_movepi64_mask(a[len - 1]);
    __m512i carry = _mm512_setzero_si512();
    for (unsigned i = 0; i < len; i++) {
        const __m512i sum =
            _mm512_add_epi64(_mm512_mask_add_epi64(a[i], negative, a[i], m[i]), carry);
        carry = _mm512_srai_epi64(sum, BITS);
        a[i] = i + 1 < len ? _mm512_and_si512(sum, LOW) : sum;
    }
}

/* d in (-2m, m) with the sign of f, to [0, m) */
KC_EC_INLINE void normalise(struct state *s, unsigned len)
{
    const __mmask8 turn = _mm512_movepi64_mask(s->f[len - 1]);
    const __m512i zero = _mm512_setzero_si512();
    add_if_negative(s->d, s->m, len);
    __m512i carry = zero;
    for (unsigned i = 0; i < len; i++) {
        const __m512i sum =
            _mm512_add_epi64(_mm512_mask_sub_epi64(s->d[i], turn, zero, s->d[i]), carry);
        carry = _mm512_srai_epi64(sum, BITS);
        s->d[i] = i + 1 < len ? _mm512_and_si512(sum, LOW) : sum;
    }
    add_if_negative(s->d, s->m, len);
}

/* Digits of 52 bits to digits of 30 and back. */
KC_EC_INLINE void to_thirties(__m512i *to, unsigned len, const __m512i *from, unsigned nd)
{
    for (unsigned i = 0; i < len; i++) {
        const unsigned at = i * BITS, digit = at / KC_EC_DIGIT, shift = at % KC_EC_DIGIT;
        __m512i v = _mm512_setzero_si512();
        if (digit < nd)
            v = _mm512_srl_epi64(from[digit], _mm_cvtsi32_si128((int)shift));
        if (digit + 1 < nd && shift + BITS > KC_EC_DIGIT)
            v = _mm512_or_si512(v, _mm512_sll_epi64(from[digit + 1],
                                                    _mm_cvtsi32_si128((int)(KC_EC_DIGIT - shift))));
        to[i] = _mm512_and_si512(v, LOW);
    }
}

KC_EC_INLINE void from_thirties(__m512i *to, unsigned nd, const __m512i *from, unsigned len)
{
    for (unsigned i = 0; i < nd; i++) {
        const unsigned at = i * KC_EC_DIGIT, digit = at / BITS, shift = at % BITS;
        __m512i v = _mm512_setzero_si512();
        if (digit < len)
            v = _mm512_srl_epi64(from[digit], _mm_cvtsi32_si128((int)shift));
        for (unsigned j = 1; j < 3 && digit + j < len; j++)
            v = _mm512_or_si512(
                v, _mm512_sll_epi64(from[digit + j], _mm_cvtsi32_si128((int)(BITS * j - shift))));
        to[i] = _mm512_and_si512(v, _mm512_set1_epi64(KC_EC_MASK));
    }
}

KC_EC_INLINE void start(struct state *s, const struct kc_ec_modulus *m, const __m512i *a,
                        unsigned nd, unsigned len)
{
    __m512i x[KC_EC_DIGITS] KC_EC_RAW;
    kc_ec_reduce(m, x, a);
    to_thirties(s->g, len, x, nd);
    to_thirties(s->m, len, m->m, nd);
    for (unsigned i = 0; i < len; i++) {
        s->f[i] = s->m[i];
        s->d[i] = _mm512_setzero_si512();
        s->e[i] = _mm512_set1_epi64(i == 0);
    }
    /* 1/m modulo 2^30 from -1/m modulo 2^52 */
    s->inverse = _mm512_and_si512(_mm512_sub_epi64(_mm512_setzero_si512(), m->k0), LOW);
}

KC_EC_INLINE void finish(struct state *s, const struct kc_ec_modulus *m, __m512i *r, unsigned nd,
                         unsigned len)
{
    __m512i x[KC_EC_DIGITS] KC_EC_RAW;
    normalise(s, len);
    from_thirties(x, nd, s->d, len);
    m->mul(m, r, x, m->r3); /* 1 / (a R) to R / a */
}

/* Two at once: a step is a short chain of dependent instructions, and the other's fill its waits.
 */
KC_EC_INLINE void invert2(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,
                          const struct kc_ec_modulus *m2, __m512i *r2, const __m512i *a2,
                          unsigned nd, unsigned len, unsigned thirties)
{
    struct state x KC_EC_RAW, y KC_EC_RAW;
    struct steps s, t;
    start(&x, m, a, nd, len);
    start(&y, m2, a2, nd, len);
    s.zeta = t.zeta = _mm512_set1_epi64(-1);
    for (unsigned i = 0; i < thirties; i++) {
        steps_start(&s, &x);
        steps_start(&t, &y);
        for (int j = 0; j < BITS; j++) {
            step(&s);
            step(&t);
        }
        update_de(&x, &s, len);
        update_de(&y, &t, len);
        update_fg(&x, &s, len);
        update_fg(&y, &t, len);
    }
    finish(&x, m, r, nd, len);
    finish(&y, m2, r2, nd, len);
}

KC_EC_INLINE void invert(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a, unsigned nd,
                         unsigned len, unsigned thirties)
{
    struct state x KC_EC_RAW;
    struct steps s;
    start(&x, m, a, nd, len);
    s.zeta = _mm512_set1_epi64(-1);
    for (unsigned i = 0; i < thirties; i++) {
        steps_start(&s, &x);
        for (int j = 0; j < BITS; j++)
            step(&s);
        update_de(&x, &s, len);
        update_fg(&x, &s, len);
    }
    finish(&x, m, r, nd, len);
}

KC_EC void kc_ec_invert(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a)
{
    if (m->nd == 5)
        invert(m, r, a, 5, 9, 20);
    else if (m->nd == 8)
        invert(m, r, a, 8, 13, 30);
    else
        invert(m, r, a, 11, 18, 41);
}

KC_EC void kc_ec_invert2(const struct kc_ec_modulus *m, __m512i *r, const __m512i *a,
                         const struct kc_ec_modulus *m2, __m512i *r2, const __m512i *a2)
{
    if (m->nd == 5)
        invert2(m, r, a, m2, r2, a2, 5, 9, 20);
    else if (m->nd == 8)
        invert2(m, r, a, m2, r2, a2, 8, 13, 30);
    else
        invert2(m, r, a, m2, r2, a2, 11, 18, 41);
}

#endif

#include "crypto/ec/modulus.h"

#if KC_HAVE_EC

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

KC_EC void kc_ec_copy(__m512i *to, const __m512i *from, unsigned nd)
{
    for (unsigned i = 0; i < nd; i++)
        _mm512_store_si512(to + i, _mm512_load_si512(from + i));
}

#endif

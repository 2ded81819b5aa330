#include "crypto/rsa/rsa_x8.h"
#if defined(__x86_64__)
#include "crypto/base/secret.h"
#include "crypto/rsa/rsa_work.h"

bool kc_rsa_x8_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("bmi2");
}

static void load(struct kc_rsa_public_work *w, struct kc_mont *mont,
                 const struct kc_rsa_public_lane *lanes, unsigned count)
{
    const uint64_t *n[KC_RSA_LANES];
    const uint64_t *r2[KC_RSA_LANES];
    const uint64_t *x[KC_RSA_LANES];
    const size_t digits = KC_TILE * (size_t)lanes[0].key->blocks;
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        const struct kc_rsa_public_lane *lane = &lanes[i < count ? i : 0];
        n[i] = lane->key->n;
        r2[i] = lane->key->r2;
        x[i] = w->words[i];
        kc_digits_from_bytes(w->words[i], digits, lane->in, lane->key->bits / 8);
        ((uint64_t *)&mont->k0)[i] = lane->key->k0;
    }
    kc_slices_from_words(w->n, n, digits);
    kc_slices_from_words(w->r2, r2, digits);
    kc_slices_from_words(w->x, x, digits);
    mont->blocks = lanes[0].key->blocks;
    mont->m = w->n;
    mont->q = w->q;
    mont->left = w->left;
    mont->squares = w->squares;
    mont->differences = w->differences;
}

/** Lanes whose digits (below 2^52) are less than the modulus. */
KC_IFMA static unsigned lanes_below(const __m512i *x, const __m512i *n, size_t digits)
{
    __m512i borrow = _mm512_setzero_si512();
    for (size_t i = 0; i < digits; i++) {
        borrow =
            _mm512_srai_epi64(_mm512_add_epi64(_mm512_sub_epi64(x[i], n[i]), borrow), KC_DIGIT);
    }
    return _mm512_movepi64_mask(borrow);
}

/** power = 1 in Montgomery form in lanes outside `mask`: their exponents are shorter. */
KC_IFMA static void start_at_one(struct kc_rsa_public_work *w, const struct kc_mont *mont,
                                 __mmask8 mask)
{
    const unsigned digits = KC_TILE * mont->blocks;
    for (unsigned d = 0; d < digits; d++) {
        w->product[d] = w->r2[d];
        w->product[digits + d] = _mm512_setzero_si512();
    }
    kc_mont_redc(mont, w->product, w->product);
    for (unsigned d = 0; d < digits; d++) {
        w->power[d] = _mm512_mask_mov_epi64(w->product[d], mask, w->power[d]);
    }
}

/** x = x^e mod n, below n. Exponents are public: time depends on them. */
KC_IFMA static void raise(struct kc_rsa_public_work *w, const struct kc_mont *mont,
                          const uint64_t e[KC_RSA_LANES])
{
    const unsigned digits = KC_TILE * mont->blocks;
    uint64_t any = 0;
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        any |= e[i];
    }
    const __m512i exponent = _mm512_loadu_si512(e);
    unsigned bit = 63 - (unsigned)__builtin_clzll(any);
    kc_mont_mul(mont, w->base, w->x, w->r2);
    for (unsigned d = 0; d < digits; d++) {
        w->power[d] = w->base[d];
    }
    __mmask8 set = _mm512_test_epi64_mask(exponent, _mm512_set1_epi64((long long)(1ULL << bit)));
    if (set != 0xff) {
        start_at_one(w, mont, set);
    }
    while (--bit > 0) {
        kc_mont_sqr(mont, w->power, w->power);
        set = _mm512_test_epi64_mask(exponent, _mm512_set1_epi64((long long)(1ULL << bit)));
        if (set == 0) {
            continue;
        }
        kc_mont_mul(mont, w->product, w->power, w->base);
        for (unsigned d = 0; d < digits; d++) {
            w->power[d] = _mm512_mask_mov_epi64(w->power[d], set, w->product[d]);
        }
    }
    /* the last bit of e is one: the plain factor takes the result out of Montgomery form */
    kc_mont_sqr(mont, w->power, w->power);
    kc_mont_mul(mont, w->power, w->power, w->x);
    kc_mont_below(mont, w->x, w->power);
}

unsigned kc_rsa_x8_public(const struct kc_rsa_public_lane *lanes, unsigned count, void *scratch)
{
    struct kc_rsa_public_work *w = scratch;
    struct kc_mont mont;
    uint64_t e[KC_RSA_LANES];
    uint64_t *words[KC_RSA_LANES];
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        e[i] = lanes[i < count ? i : 0].key->e;
        words[i] = w->words[i];
    }
    load(w, &mont, lanes, count);
    const size_t digits = KC_TILE * (size_t)mont.blocks;
    unsigned below = lanes_below(w->x, w->n, digits);
    raise(w, &mont, e);
    kc_slices_to_words(words, w->x, digits);
    for (unsigned i = 0; i < count; i++) {
        size_t len = lanes[i].key->bits / 8;
        kc_digits_to_bytes(lanes[i].out, len, w->words[i], digits);
        if (!(below >> i & 1)) {
            kw_wipe(lanes[i].out, len);
        }
    }
    kw_wipe(w, sizeof *w);
    return below & ((1u << count) - 1);
}
#else
bool kc_rsa_x8_supported(void)
{
    return false;
}

unsigned kc_rsa_x8_private(const struct kc_rsa_private_lane *lanes, unsigned count, void *scratch)
{
    (void)lanes, (void)count, (void)scratch;
    return 0;
}

void kc_rsa_x8_private_unchecked(const struct kc_rsa_private_lane *lanes, unsigned count,
                                 void *scratch)
{
    (void)lanes, (void)count, (void)scratch;
}

unsigned kc_rsa_x8_public(const struct kc_rsa_public_lane *lanes, unsigned count, void *scratch)
{
    (void)lanes, (void)count, (void)scratch;
    return 0;
}
#endif

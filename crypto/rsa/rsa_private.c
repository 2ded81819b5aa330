#if defined(__x86_64__)
#include <openssl/crypto.h>

#include "crypto/base/secret.h"
#include "crypto/rsa/mont_wide.h"
#include "crypto/rsa/rsa_work.h"

#define DIGIT_MASK ((1LL << KC_DIGIT) - 1)

/** Gathers one array of each lane's key into slices. `member` is evaluated with `key` set. */
#define SLICES_OF(out, member, count)                                                              \
    do {                                                                                           \
        const uint64_t *array[KC_RSA_LANES];                                                       \
        for (unsigned lane_ = 0; lane_ < KC_RSA_LANES; lane_++) {                                  \
            const struct kc_rsa_private_ctx *key = keys[lane_];                                    \
            array[lane_] = key->member;                                                            \
        }                                                                                          \
        kc_slices_from_words(out, array, count);                                                   \
    } while (0)

void kc_rsa_private_load(struct kc_rsa_private_work *w, const struct kc_rsa_private_lane *lanes,
                         unsigned count)
{
    const struct kc_rsa_private_ctx *keys[KC_RSA_LANES];
    const uint64_t *words[KC_RSA_LANES];
    const size_t digits = KC_TILE * (size_t)lanes[0].key->pub.blocks;
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        const struct kc_rsa_private_lane *lane = &lanes[i < count ? i : 0];
        keys[i] = lane->key;
        words[i] = w->words[i];
        kc_digits_from_bytes(w->words[i], digits, lane->in, lane->key->pub.bits / 8);
        ((uint64_t *)&w->p.k0)[i] = lane->key->p.k0;
        ((uint64_t *)&w->q.k0)[i] = lane->key->q.k0;
    }
    kc_slices_from_words(w->x, words, digits);
    SLICES_OF(w->p.m, p.m, digits / 2);
    SLICES_OF(w->p.r1, p.r1, digits / 2);
    SLICES_OF(w->p.r3, p.r3, digits / 2);
    SLICES_OF(w->p.exponent, p.exponent, KC_HALF_WORDS);
    SLICES_OF(w->q.m, q.m, digits / 2);
    SLICES_OF(w->q.r1, q.r1, digits / 2);
    SLICES_OF(w->q.r3, q.r3, digits / 2);
    SLICES_OF(w->q.exponent, q.exponent, KC_HALF_WORDS);
    SLICES_OF(w->qinv, qinv, digits / 2);
}

/** r = a - b + 2m for a < 2m and b < 2m. */
KC_IFMA static void subtract(__m512i *r, const __m512i *a, const __m512i *b, const __m512i *m,
                             unsigned digits)
{
    const __m512i low = _mm512_set1_epi64(DIGIT_MASK);
    __m512i carry = _mm512_setzero_si512();
    for (unsigned i = 0; i < digits; i++) {
        __m512i sum = _mm512_add_epi64(_mm512_sub_epi64(a[i], b[i]), _mm512_slli_epi64(m[i], 1));
        sum = _mm512_add_epi64(sum, carry);
        r[i] = _mm512_and_si512(sum, low);
        carry = _mm512_srai_epi64(sum, KC_DIGIT);
    }
}

/** x = product + b, digits below 2^52; b is half as long. */
KC_IFMA static void add_half(__m512i *x, const __m512i *product, const __m512i *b, unsigned digits)
{
    const __m512i low = _mm512_set1_epi64(DIGIT_MASK);
    __m512i carry = _mm512_setzero_si512();
    for (unsigned i = 0; i < 2 * digits; i++) {
        __m512i sum = _mm512_add_epi64(_mm512_and_si512(product[i], low), carry);
        if (i < digits) {
            sum = _mm512_add_epi64(sum, b[i]);
        }
        x[i] = _mm512_and_si512(sum, low);
        carry = _mm512_srli_epi64(sum, KC_DIGIT);
    }
}

KC_IFMA void kc_rsa_private_recombine(struct kc_rsa_private_work *w, unsigned blocks)
{
    const unsigned digits = KC_TILE * blocks;
    struct kc_mont mont = {blocks,  w->p.m,     w->p.k0,       w->quotient,
                           w->left, w->squares, w->differences};
    __m512i *h = w->power;
    __m512i *product = w->table;
    subtract(h, w->p.result, w->q.result, w->p.m, digits); /* q < 2p: both have the same bits */
    kc_mont_mul_wide(&mont, h, h, w->qinv); /* below m + 1, as kc_mont_below wants it */
    kc_mont_below(&mont, h, h);
    kc_plain_mul(blocks, product, h, w->q.m);
    add_half(w->x, product, w->q.result, digits);
}

void kc_rsa_private_store(struct kc_rsa_private_work *w, const struct kc_rsa_private_lane *lanes,
                          unsigned count)
{
    uint64_t *words[KC_RSA_LANES];
    const size_t digits = KC_TILE * (size_t)lanes[0].key->pub.blocks;
    for (unsigned i = 0; i < KC_RSA_LANES; i++) {
        words[i] = w->words[i];
    }
    kc_slices_to_words(words, w->x, digits);
    for (unsigned i = 0; i < count; i++) {
        kc_digits_to_bytes(lanes[i].out, lanes[i].key->pub.bits / 8, w->words[i], digits);
    }
}

void kc_rsa_private_wipe(struct kc_rsa_private_work *w, unsigned blocks)
{
    size_t entries = (size_t)KC_RSA_ENTRIES * KC_TILE * blocks;
    kw_wipe(w, offsetof(struct kc_rsa_private_work, table) + entries * sizeof w->table[0]);
}

unsigned kc_rsa_private_check(const struct kc_rsa_private_lane *lanes, unsigned count,
                              struct kc_rsa_public_work *w)
{
    uint8_t again[KC_RSA_LANES][KW_RSA_MAX_BYTES];
    struct kc_rsa_public_lane check[KC_RSA_LANES] = {{0}};
    for (unsigned i = 0; i < count; i++) {
        check[i] = (struct kc_rsa_public_lane){&lanes[i].key->pub, lanes[i].out, again[i]};
    }
    unsigned passed = kc_rsa_x8_public(check, count, w);
    for (unsigned i = 0; i < count; i++) {
        if (!kw_ct_equal(again[i], lanes[i].in, lanes[i].key->pub.bits / 8)) {
            passed &= ~(1u << i);
        }
    }
    return passed;
}

/** Empties the vector registers and the stack below, where the kernels spill. */
__attribute__((noinline)) KC_IFMA static void forget(void)
{
    uint8_t below[4096];
    kw_wipe(below, sizeof below);
#define CLEAR(n) "vpxorq %%zmm" #n ",%%zmm" #n ",%%zmm" #n "\n\t"
    __asm__ volatile("vzeroall\n\t" CLEAR(16) CLEAR(17) CLEAR(18) CLEAR(19) CLEAR(20) CLEAR(21)
                         CLEAR(22) CLEAR(23) CLEAR(24) CLEAR(25) CLEAR(26) CLEAR(27) CLEAR(28)
                             CLEAR(29) CLEAR(30) CLEAR(31)
                     :
                     :
                     : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
                       "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
                       "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
#undef CLEAR
}

void kc_rsa_x8_private_unchecked(const struct kc_rsa_private_lane *lanes, unsigned count,
                                 void *scratch)
{
    struct kc_rsa_private_work *w = scratch;
    const unsigned blocks = lanes[0].key->pub.blocks / 2;
    kc_rsa_private_load(w, lanes, count);
    kc_rsa_private_half(w, &w->p, blocks);
    kc_rsa_private_half(w, &w->q, blocks);
    kc_rsa_private_recombine(w, blocks);
    kc_rsa_private_store(w, lanes, count);
    kc_rsa_private_wipe(w, blocks);
    forget();
}

unsigned kc_rsa_x8_private(const struct kc_rsa_private_lane *lanes, unsigned count, void *scratch)
{
    kc_rsa_x8_private_unchecked(lanes, count, scratch);
    unsigned passed = kc_rsa_private_check(lanes, count, scratch);
    for (unsigned i = 0; i < count; i++) {
        if (!(passed >> i & 1)) {
            kw_wipe(lanes[i].out, lanes[i].key->pub.bits / 8);
        }
    }
    return passed;
}
#endif

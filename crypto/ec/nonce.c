#include "crypto/base/secret.h"
#include "crypto/ec/sha512_x8.h"
#include "crypto/ec/sign.h"

#if KC_HAVE_EC

/* The HMAC's message: counter (8 bytes), random (32), digest filled with zeros to 64. */
#define MESSAGE_BYTES (8 + 32 + 64)
#define END_MARK      0x8000000000000000ull

static uint64_t word_at(const uint8_t *bytes, size_t len, size_t at)
{
    uint64_t word = 0;
    for (size_t i = at; i < at + 8; i++)
        word = word << 8 | (i < len ? bytes[i] : 0);
    return word;
}

static void message(struct kc_ec_sign_work *work, const struct kc_ec_sign_lane *lane, unsigned at,
                    uint64_t counter)
{
    uint64_t(*w)[KC_EC_LANES] = kc_ec_rows(work->words);
    w[0][at] = counter;
    for (unsigned i = 0; i < 4; i++)
        w[1 + i][at] = word_at(work->random[at], 32, 8 * i);
    for (unsigned i = 0; i < 8; i++)
        w[5 + i][at] = word_at(lane->digest, lane->len, 8 * i);
    w[13][at] = END_MARK;
    w[14][at] = 0;
    w[15][at] = 8 * (KC_SHA512_BLOCK + MESSAGE_BYTES);
}

/* hash[0..7] = HMAC-SHA-512 of the counter, in each lane under its own key. */
static KC_EC void mac(const struct kc_ec_sign_lane *lanes, unsigned count,
                      struct kc_ec_sign_work *work, __m512i *hash, uint64_t counter)
{
    struct kc_sha512_x8 inner, outer;
    for (unsigned at = 0; at < KC_EC_LANES; at++) {
        const struct kc_ec_sign_lane *lane = &lanes[at < count ? at : 0];
        message(work, lane, at, counter);
        for (unsigned i = 0; i < 8; i++) {
            kc_ec_rows(inner.h)[i][at] = lane->key->inner[i];
            kc_ec_rows(outer.h)[i][at] = lane->key->outer[i];
        }
    }
    kc_sha512_x8_block(&inner, work->words);
    for (unsigned i = 0; i < 16; i++)
        work->words[i] = i < 8 ? inner.h[i] : _mm512_setzero_si512();
    work->words[8] = _mm512_set1_epi64((long long)END_MARK);
    work->words[15] = _mm512_set1_epi64(8 * (KC_SHA512_BLOCK + 64));
    kc_sha512_x8_block(&outer, work->words);
    for (unsigned i = 0; i < 8; i++)
        hash[i] = outer.h[i];
    kw_wipe(&inner, sizeof inner);
    kw_wipe(&outer, sizeof outer);
}

/* `digits` digits from bit `at` on of a number of 64-bit words, least significant first. */
static KC_EC void digits_from_words(__m512i *to, const __m512i *words, unsigned count, unsigned at,
                                    unsigned digits)
{
    const __m512i mask = _mm512_set1_epi64(KC_EC_MASK);
    for (unsigned i = 0; i < digits; i++, at += KC_EC_DIGIT) {
        const unsigned word = at / 64, shift = at % 64;
        __m512i v = _mm512_setzero_si512();
        if (word < count)
            v = _mm512_srl_epi64(words[word], _mm_cvtsi32_si128((int)shift));
        if (word + 1 < count && shift > 64 - KC_EC_DIGIT)
            v = _mm512_or_si512(
                v, _mm512_sll_epi64(words[word + 1], _mm_cvtsi32_si128((int)(64 - shift))));
        to[i] = _mm512_and_si512(v, mask);
    }
}

KC_EC void kc_ec_nonces(const struct kc_ec_curve *curve, const struct kc_ec_sign_lane *lanes,
                        unsigned count, struct kc_ec_sign_work *work)
{
    const struct kc_ec_modulus *n = &curve->n;
    const unsigned nd = curve->nd;
    /* 512 bits are 64 more than P-384 needs; P-521 takes 1024 */
    const unsigned words = nd == KC_EC_DIGITS ? 16 : 8;
    for (unsigned i = 0; i < words / 8; i++)
        mac(lanes, count, work, work->hash + (size_t)8 * i, i);
    /* low + high R, each below R, modulo n: R-forms first, then out of them */
    digits_from_words(work->t, work->hash, words, 0, nd);
    digits_from_words(work->u, work->hash, words, KC_EC_DIGIT * nd, nd);
    n->mul(n, work->t, work->t, n->r2);
    n->mul(n, work->u, work->u, n->r3);
    for (unsigned i = 0; i < nd; i++)
        work->t[i] = _mm512_add_epi64(work->t[i], work->u[i]);
    kc_ec_tidy(work->t, nd);
    kc_ec_plain(n, work->k, work->t);
}

#endif

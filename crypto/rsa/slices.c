#if defined(__x86_64__)
#include "crypto/rsa/slices.h"

#include <string.h>

#include "crypto/base/secret.h"

#define DIGIT_MASK ((1ULL << KC_DIGIT) - 1)
#define MAX_BYTES  512
#define PAD        16 /* zero bytes above the number: the last digits reach past it */

static uint64_t load_be64(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return __builtin_bswap64(word);
}

void kc_digits_from_bytes(uint64_t *out, size_t digits, const uint8_t *bytes, size_t len)
{
    uint8_t padded[PAD + MAX_BYTES];
    memset(padded, 0, PAD);
    memcpy(padded + PAD, bytes, len);
    const uint8_t *end = padded + PAD + len;
    for (size_t i = 0; i < digits; i++) {
        size_t bit = KC_DIGIT * i;
        size_t above = bit / 8 + 8; /* bytes from the end to where the word begins */
        uint64_t word = above <= PAD + len ? load_be64(end - above) : 0;
        out[i] = (word >> (bit % 8)) & DIGIT_MASK;
    }
    for (size_t i = digits; i < KC_DIGITS_ROOM(digits); i++) {
        out[i] = 0;
    }
    kw_wipe(padded, sizeof padded);
}

void kc_digits_to_bytes(uint8_t *bytes, size_t len, const uint64_t *digits_in, size_t digits)
{
    for (size_t i = 0; i < len / 8; i++) {
        size_t digit = 64 * i / KC_DIGIT;
        size_t shift = 64 * i % KC_DIGIT;
        uint64_t word = digits_in[digit] >> shift;
        for (size_t have = KC_DIGIT - shift; have < 64 && ++digit < digits; have += KC_DIGIT) {
            word |= digits_in[digit] << have;
        }
        word = __builtin_bswap64(word);
        memcpy(bytes + len - 8 * (i + 1), &word, sizeof word);
    }
}

/** Transposes eight rows of eight words. */
KC_IFMA_INLINE void transpose8(__m512i *r)
{
    __m512i a[8];
    __m512i b[8];
    for (int i = 0; i < 4; i++) { /* pairs of words */
        a[2 * i] = _mm512_unpacklo_epi64(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi64(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) { /* pairs of 128-bit parts */
        for (int j = 0; j < 2; j++) {
            b[4 * i + j] = _mm512_shuffle_i64x2(a[4 * i + j], a[4 * i + j + 2], 0x88);
            b[4 * i + j + 2] = _mm512_shuffle_i64x2(a[4 * i + j], a[4 * i + j + 2], 0xdd);
        }
    }
    for (int i = 0; i < 4; i++) { /* halves */
        r[i] = _mm512_shuffle_i64x2(b[i], b[i + 4], 0x88);
        r[i + 4] = _mm512_shuffle_i64x2(b[i], b[i + 4], 0xdd);
    }
}

KC_IFMA void kc_slices_from_words(__m512i *out, const uint64_t *const lane[KC_RSA_LANES],
                                  size_t count)
{
    for (size_t at = 0; at < count; at += 8) {
        __m512i r[8];
        for (int i = 0; i < KC_RSA_LANES; i++) {
            r[i] = _mm512_load_si512(lane[i] + at);
        }
        transpose8(r);
        for (int i = 0; i < 8; i++) {
            _mm512_store_si512(out + at + i, r[i]);
        }
    }
}

KC_IFMA void kc_slices_to_words(uint64_t *const lane[KC_RSA_LANES], const __m512i *in, size_t count)
{
    for (size_t at = 0; at < count; at += 8) {
        __m512i r[8];
        for (int i = 0; i < 8; i++) {
            r[i] = _mm512_load_si512(in + at + i);
        }
        transpose8(r);
        for (int i = 0; i < KC_RSA_LANES; i++) {
            _mm512_store_si512(lane[i] + at, r[i]);
        }
    }
}
#endif

#pragma once
/* GHASH over many blocks with one reduction (NIST SP 800-38D section 6.4).
 *
 * Blocks and the key are byte-reversed and the key is multiplied by x once: GHASH then is the dot
 * product of RFC 8452 (appendix A), whose reduction is two carry-less multiplications. */

#include "crypto/aes/schedule.h"
#include "crypto/aes/target.h"

#if KC_HAVE_VAES

/** a * b * x^-128 modulo x^128 + x^127 + x^126 + x^121 + 1: reduction of a 256-bit product. */
KC_VAES_INLINE __m128i kc_ghash_reduce(__m128i lo, __m128i mid, __m128i hi)
{
    const __m128i poly = _mm_set_epi64x((long long)0xc200000000000000ULL, 1);
    lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
    hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));
    lo = _mm_xor_si128(_mm_clmulepi64_si128(lo, poly, 0x10), _mm_shuffle_epi32(lo, 78));
    lo = _mm_xor_si128(_mm_clmulepi64_si128(lo, poly, 0x10), _mm_shuffle_epi32(lo, 78));
    return _mm_xor_si128(hi, lo);
}

/** The same for four products. */
KC_VAES_INLINE __m512i kc_ghash_reduce4(__m512i lo, __m512i mid, __m512i hi)
{
    const __m512i poly =
        _mm512_broadcast_i32x4(_mm_set_epi64x((long long)0xc200000000000000ULL, 1));
    lo = _mm512_xor_si512(lo, _mm512_bslli_epi128(mid, 8));
    hi = _mm512_xor_si512(hi, _mm512_bsrli_epi128(mid, 8));
    lo = _mm512_xor_si512(_mm512_clmulepi64_epi128(lo, poly, 0x10), _mm512_shuffle_epi32(lo, 78));
    lo = _mm512_xor_si512(_mm512_clmulepi64_epi128(lo, poly, 0x10), _mm512_shuffle_epi32(lo, 78));
    return _mm512_xor_si512(hi, lo);
}

KC_VAES_INLINE __m128i kc_ghash_dot(__m128i a, __m128i b)
{
    __m128i lo = _mm_clmulepi64_si128(a, b, 0x00), hi = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i mid = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
    return kc_ghash_reduce(lo, mid, hi);
}

KC_VAES_INLINE __m128i kc_ghash_swap128(__m128i block)
{
    return _mm_shuffle_epi8(block,
                            _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

KC_VAES_INLINE __m512i kc_ghash_swap512(__m512i blocks)
{
    return _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(_mm_set_epi8(
                                           0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

/** Products of blocks and powers, not yet reduced; lanes are added up at the end. */
struct kc_ghash_sums {
    __m512i lo, mid, hi;
};

KC_VAES_INLINE struct kc_ghash_sums kc_ghash_zero(void)
{
    return (struct kc_ghash_sums){_mm512_setzero_si512(), _mm512_setzero_si512(),
                                  _mm512_setzero_si512()};
}

/** Four (reflected) blocks times four powers into the sums. */
KC_VAES_INLINE void kc_ghash_absorb(struct kc_ghash_sums *sums, __m512i x, __m512i h)
{
    sums->lo = _mm512_xor_si512(sums->lo, _mm512_clmulepi64_epi128(x, h, 0x00));
    sums->hi = _mm512_xor_si512(sums->hi, _mm512_clmulepi64_epi128(x, h, 0x11));
    sums->mid = _mm512_ternarylogic_epi64(sums->mid, _mm512_clmulepi64_epi128(x, h, 0x01),
                                          _mm512_clmulepi64_epi128(x, h, 0x10), 0x96);
}

KC_VAES_INLINE __m128i kc_ghash_xor_lanes(__m512i v)
{
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

KC_VAES_INLINE __m128i kc_ghash_finish(const struct kc_ghash_sums *sums)
{
    return kc_ghash_reduce(kc_ghash_xor_lanes(sums->lo), kc_ghash_xor_lanes(sums->mid),
                           kc_ghash_xor_lanes(sums->hi));
}

/* Lane m of the result: all lanes of vector m added up. */
KC_VAES_INLINE __m512i kc_ghash_xor_lanes4(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab =
        _mm512_xor_si512(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
    __m512i cd =
        _mm512_xor_si512(_mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xdd));
    return _mm512_xor_si512(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xdd));
}

/** Four messages' sums: message m's hash is lane m. */
KC_VAES_INLINE __m512i kc_ghash_finish4(const struct kc_ghash_sums *s)
{
    return kc_ghash_reduce4(kc_ghash_xor_lanes4(s[0].lo, s[1].lo, s[2].lo, s[3].lo),
                            kc_ghash_xor_lanes4(s[0].mid, s[1].mid, s[2].mid, s[3].mid),
                            kc_ghash_xor_lanes4(s[0].hi, s[1].hi, s[2].hi, s[3].hi));
}

/** Powers for blocks of which the first is the `left`th from the end. */
KC_VAES_INLINE __m512i kc_ghash_powers(const struct kc_aes_schedule *key, size_t left)
{
    return _mm512_loadu_si512(key->more->powers[KC_GHASH_POWERS - left]);
}

/** The lowest `n` bits, all for n >= 64. */
static inline uint64_t kc_low_bits(size_t n)
{
    return n >= 64 ? ~0ULL : (1ULL << n) - 1;
}

/** GHASH of `len` bytes (1..512) at `data`, zeros up to a whole block behind them, continued from
 * `state` (reflected). */
KC_VAES_INLINE __m128i kc_ghash_bytes(const struct kc_aes_schedule *key, __m128i state,
                                      const uint8_t *data, size_t len)
{
    struct kc_ghash_sums sums = kc_ghash_zero();
    size_t blocks = (len + 15) / 16;
    __m512i start = _mm512_zextsi128_si512(state);
    for (size_t done = 0; done < blocks; done += 4) {
        __m512i x = _mm512_maskz_loadu_epi8(kc_low_bits(len - 16 * done), data + 16 * done);
        x = _mm512_xor_si512(kc_ghash_swap512(x), start);
        kc_ghash_absorb(&sums, x, kc_ghash_powers(key, blocks - done));
        start = _mm512_setzero_si512();
    }
    return kc_ghash_finish(&sums);
}

#endif

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

KC_VAES_INLINE __m128i kc_xor_lanes(__m512i v)
{
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/** state' = GHASH of `count` (1..32) whole blocks at `data`, continued from `state` (reflected).
 *  `data` needs 16 * count readable bytes. */
KC_VAES_INLINE __m128i kc_ghash_blocks(const struct kc_aes_schedule *key, __m128i state,
                                       const uint8_t *data, size_t count)
{
    __m512i lo = _mm512_setzero_si512(), mid = lo, hi = lo;
    const uint8_t *power = key->more->powers[KC_GHASH_POWERS - count];
    for (size_t done = 0; done < count; done += 4) {
        size_t now = count - done < 4 ? count - done : 4;
        __mmask8 mask = (__mmask8)((1u << (2 * now)) - 1);
        __m512i x = kc_ghash_swap512(_mm512_maskz_loadu_epi64(mask, data + 16 * done));
        __m512i h = _mm512_maskz_loadu_epi64(mask, power + 16 * done);
        if (done == 0)
            x = _mm512_xor_si512(x, _mm512_zextsi128_si512(state));
        lo = _mm512_xor_si512(lo, _mm512_clmulepi64_epi128(x, h, 0x00));
        hi = _mm512_xor_si512(hi, _mm512_clmulepi64_epi128(x, h, 0x11));
        mid = _mm512_ternarylogic_epi64(mid, _mm512_clmulepi64_epi128(x, h, 0x01),
                                        _mm512_clmulepi64_epi128(x, h, 0x10), 0x96);
    }
    return kc_ghash_reduce(kc_xor_lanes(lo), kc_xor_lanes(mid), kc_xor_lanes(hi));
}

#endif

#pragma once
/* Put before every kernel that is compiled for MemorySanitizer (-include): where the sanitizer
 * would lose a secret or report a verdict that is public, the intrinsic is replaced by one that it
 * follows. The replacements compute the same. */

#include <sanitizer/msan_interface.h>
#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

/* A masked load with a secret mask loses the mask's taint: load all lanes, then select. Every
 * masked load that has a secret mask reads memory that is there in all lanes. */
static inline __attribute__((always_inline, target("avx512f"))) __m512i
ct_mask_load_epi64(__m512i source, __mmask8 mask, const void *from)
{
    return _mm512_mask_mov_epi64(source, mask, _mm512_load_si512(from));
}
#define _mm512_mask_load_epi64(source, mask, from) ct_mask_load_epi64((source), (mask), (from))

/* Ternary logic is not known to the sanitizer: the same from and, or, not, minterm by minterm. */
static inline __attribute__((always_inline, target("avx512f"))) __m512i
ct_ternary512(__m512i a, __m512i b, __m512i c, unsigned truth)
{
    const __m512i ones = _mm512_set1_epi64(-1);
    __m512i r = _mm512_setzero_si512();
    for (unsigned i = 0; i < 8; i++) {
        if (truth >> i & 1) {
            __m512i x = i & 4 ? a : _mm512_xor_si512(a, ones);
            __m512i y = i & 2 ? b : _mm512_xor_si512(b, ones);
            __m512i z = i & 1 ? c : _mm512_xor_si512(c, ones);
            r = _mm512_or_si512(r, _mm512_and_si512(_mm512_and_si512(x, y), z));
        }
    }
    return r;
}
#undef _mm512_ternarylogic_epi64
#define _mm512_ternarylogic_epi64(a, b, c, truth) ct_ternary512((a), (b), (c), (truth))
#undef _mm_ternarylogic_epi32
#define _mm_ternarylogic_epi32(a, b, c, truth)                                                     \
    _mm512_castsi512_si128(ct_ternary512(_mm512_zextsi128_si512(a), _mm512_zextsi128_si512(b),     \
                                         _mm512_zextsi128_si512(c), (truth)))

/* Carries are not modelled: a word of which a part is secret becomes wholly secret (ct.h). */
static inline size_t ct_whole(size_t value)
{
    if (__msan_test_shadow(&value, sizeof value) >= 0) {
        __msan_poison(&value, sizeof value);
    }
    return value;
}
#define CT_WHOLE(value) ct_whole(value)

/* In rsa_public.c the mask says which lanes' inputs are below the modulus. For the check of a
 * private result that is always so, but for a fault: the verdict is public, the lane is answered by
 * another path. */
#ifdef CT_PUBLIC_VERDICT
static inline __attribute__((always_inline, target("avx512dq"))) __mmask8
ct_public_mask(__m512i borrow)
{
    __mmask8 mask = _mm512_movepi64_mask(borrow);
    __msan_unpoison(&mask, sizeof mask);
    return mask;
}
#define _mm512_movepi64_mask(borrow) ct_public_mask(borrow)
#endif

/* In sign.c, comb.c and point.c of crypto/ec equality is asked for the check of a finished
 * signature alone: the verdict is public, the lane is answered by another path. */
#ifdef CT_PUBLIC_EQUALITY
static inline __attribute__((always_inline, target("avx512f"))) __mmask8
ct_public_equality(__m512i a, __m512i b)
{
    __mmask8 mask = _mm512_cmp_epi64_mask(a, b, _MM_CMPINT_EQ);
    __msan_unpoison(&mask, sizeof mask);
    return mask;
}
#undef _mm512_cmpeq_epi64_mask
#define _mm512_cmpeq_epi64_mask(a, b) ct_public_equality((a), (b))
#endif

#include "crypto/aes/schedule.h"

#include <string.h>

#include "crypto/aes/ghash.h"
#include "crypto/aes/target.h"
#include "crypto/base/secret.h"

#if KC_HAVE_VAES
#include <cpuid.h>

/* CPUID leaf 7: neither compiler's __builtin_cpu_supports knows both names. */
static int has_wide_aes(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ecx & (1u << 9)) &&
           (ecx & (1u << 10));
}

int kc_aes_vaes_capable(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && has_wide_aes();
}

/* SubWord of FIPS 197 by the AES unit: no table, no secret address. */
KC_VAES static uint32_t sub_word(uint32_t word)
{
    /* aesenclast of a state whose columns are all equal: ShiftRows changes nothing */
    __m128i s = _mm_aesenclast_si128(_mm_set1_epi32((int)word), _mm_setzero_si128());
    return (uint32_t)_mm_cvtsi128_si32(s);
}

KC_VAES static void expand(struct kc_aes_schedule *out, const uint8_t *key, size_t len)
{
    uint32_t w[4 * KC_AES_MAX_ROUND_KEYS];
    size_t nk = len / 4, total = 4 * (out->rounds + 1);
    memcpy(w, key, len);
    uint32_t rcon = 1;
    for (size_t i = nk; i < total; i++) {
        uint32_t t = w[i - 1];
        if (i % nk == 0) {
            t = sub_word((t >> 8) | (t << 24)) ^ rcon;
            rcon = (rcon << 1) ^ ((rcon >> 7) * 0x11b);
        } else if (nk > 6 && i % nk == 4) {
            t = sub_word(t);
        }
        w[i] = w[i - nk] ^ t;
    }
    memcpy(out->enc, w, 4 * total);
    kw_wipe(w, sizeof w);
}

KC_VAES static void invert(struct kc_aes_more *more, const struct kc_aes_schedule *from)
{
    unsigned last = from->rounds;
    memcpy(more->dec[0], from->enc[last], 16);
    memcpy(more->dec[last], from->enc[0], 16);
    for (unsigned i = 1; i < last; i++) {
        __m128i k = _mm_loadu_si128((const __m128i *)from->enc[last - i]);
        _mm_storeu_si128((__m128i *)more->dec[i], _mm_aesimc_si128(k));
    }
}

/* H * x in the representation of RFC 8452 ("mulX_POLYVAL"), without a branch on the carry. */
KC_VAES static __m128i times_x(__m128i h)
{
    __m128i carry = _mm_srli_epi64(h, 63);
    __m128i shifted = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carry, 8));
    __m128i top = _mm_shuffle_epi32(_mm_srai_epi32(h, 31), 0xff);
    const __m128i poly = _mm_set_epi64x((long long)0xc200000000000000ULL, 1);
    return _mm_xor_si128(shifted, _mm_and_si128(top, poly));
}

KC_VAES static void ghash_powers(struct kc_aes_more *more, const struct kc_aes_schedule *from)
{
    __m128i h = _mm_loadu_si128((const __m128i *)from->enc[0]);
    for (unsigned i = 1; i < from->rounds; i++)
        h = _mm_aesenc_si128(h, _mm_loadu_si128((const __m128i *)from->enc[i]));
    h = _mm_aesenclast_si128(h, _mm_loadu_si128((const __m128i *)from->enc[from->rounds]));
    h = times_x(kc_ghash_swap128(h));
    __m128i power = h;
    for (int i = KC_GHASH_POWERS - 1; i >= 0; i--) {
        _mm_storeu_si128((__m128i *)more->powers[i], power);
        power = kc_ghash_dot(power, h);
    }
}

void kc_aes_schedule_init(struct kc_aes_schedule *out, struct kc_aes_more *more, const uint8_t *key,
                          size_t len)
{
    memset(out, 0, sizeof *out);
    memset(more, 0, sizeof *more);
    out->more = more;
    out->rounds = (unsigned)(len / 4 + 6);
    expand(out, key, len);
    invert(more, out);
    ghash_powers(more, out);
}

#else

int kc_aes_vaes_capable(void)
{
    return 0;
}

void kc_aes_schedule_init(struct kc_aes_schedule *out, struct kc_aes_more *more, const uint8_t *key,
                          size_t len)
{
    (void)key;
    (void)len;
    memset(out, 0, sizeof *out);
    memset(more, 0, sizeof *more);
}

#endif

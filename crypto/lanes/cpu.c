#include "crypto/lanes/cpu.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Names that some compilers' cpuid.h lack. */
#ifndef bit_AVX512VAES
#define bit_AVX512VAES (1u << 9)
#endif
#ifndef bit_AVX512VPCLMULQDQ
#define bit_AVX512VPCLMULQDQ (1u << 10)
#endif

#define XCR0_YMM 0x06u /* xmm and upper ymm */
#define XCR0_ZMM 0xe6u /* those, mask registers and both parts of zmm */

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void read_features(struct kc_cpu *cpu)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return;
    }
    cpu->aes = c & bit_AES;
    cpu->pclmul = c & bit_PCLMUL;
    uint64_t saved = c & bit_OSXSAVE ? xcr0() : 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return;
    }
    bool ymm = (saved & XCR0_YMM) == XCR0_YMM;
    bool zmm = (saved & XCR0_ZMM) == XCR0_ZMM;
    const uint32_t base = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    cpu->avx2 = ymm && (b & bit_AVX2);
    cpu->bmi2 = b & bit_BMI2;
    cpu->adx = b & bit_ADX;
    cpu->avx512 = zmm && (b & base) == base;
    cpu->avx512_ifma = cpu->avx512 && (b & bit_AVX512IFMA);
    cpu->vaes512 = cpu->avx512 && (c & bit_AVX512VAES) && (c & bit_AVX512VPCLMULQDQ);
}

#else
static void read_features(struct kc_cpu *cpu)
{
    (void)cpu;
}
#endif

kw_status kc_cpu_read(struct kc_cpu *out, const char *force)
{
    static const char *const words[] = {"openssl", "avx2", "avx512"};
    *out = (struct kc_cpu){0};
    read_features(out);
    out->path = out->avx512 ? KC_CPU_AVX512 : out->avx2 ? KC_CPU_AVX2 : KC_CPU_OPENSSL;
    if (!force || !*force) {
        return KW_OK;
    }
    for (int i = KC_CPU_OPENSSL; i <= KC_CPU_AVX512; i++) {
        if (strcmp(force, words[i]) == 0) {
            if (i < (int)out->path) {
                out->path = (enum kc_cpu_path)i;
            }
            return KW_OK;
        }
    }
    return KW_E_INPUT;
}

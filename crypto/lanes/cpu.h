#pragma once
/* What the processor and the operating system offer to the kernels. */

#include <stdbool.h>

#include "crypto/base/status.h"

/** Paths, from plain to fast. Each includes those before it. */
enum kc_cpu_path { KC_CPU_OPENSSL, KC_CPU_AVX2, KC_CPU_AVX512 };

struct kc_cpu {
    enum kc_cpu_path path; /* the highest that may be used */
    bool aes, pclmul, avx2, bmi2, adx;
    bool avx512;      /* F, DQ, BW, VL, and the system saves zmm and mask registers */
    bool avx512_ifma; /* 52-bit multiply-add: the RSA kernels */
    bool vaes512;     /* VAES and VPCLMULQDQ on zmm: the AES kernels */
};

/** Reads cpuid and xgetbv. `force` (openssl, avx2, avx512, or NULL) lowers the path; a path that
 * the CPU lacks is not raised. KW_E_INPUT for another word. */
KW_MUST_CHECK kw_status kc_cpu_read(struct kc_cpu *out, const char *force);

#pragma once
/* What the kernels of this folder are compiled for, function by function: the program as a whole
 * stays at the architecture's baseline. */
#if defined(__x86_64__)
#include <immintrin.h>
#define KC_VAES                                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,vaes,vpclmulqdq,aes,pclmul,ssse3,"   \
                          "sse4.1,bmi2")))
#define KC_VAES_INLINE static inline KC_VAES __attribute__((always_inline))
/* gcc at -O2 keeps small loops over vectors rolled, and the vectors then live in memory */
#define KC_UNROLL    _Pragma("GCC unroll 8")
#define KC_HAVE_VAES 1
#else
#define KC_HAVE_VAES 0
#endif

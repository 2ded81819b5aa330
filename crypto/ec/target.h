#pragma once
/* What the kernels of this folder are compiled for, function by function: the program as a whole
 * stays at the architecture's baseline. */
#if defined(__x86_64__)
#include <immintrin.h>
#define KC_EC        __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,bmi2")))
#define KC_EC_INLINE static inline KC_EC __attribute__((always_inline))
/* Sums of columns must live in registers, so loops over digits are unrolled. */
#define KC_EC_UNROLL _Pragma("GCC unroll 24")
/* For locals that are always written before they are read: the build's zeroing of variables would
 * cost a point addition a tenth of its time. */
#define KC_EC_RAW  __attribute__((uninitialized))
#define KC_HAVE_EC 1
#else
#define KC_HAVE_EC 0
#endif

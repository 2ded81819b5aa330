#if defined(__x86_64__)
#if defined(__clang__)
#define KC_UNROLL /* clang keeps the columns in registers as it is */
#else
#define KC_UNROLL _Pragma("GCC unroll 16")
#endif
#define KC_KARATSUBA 1
#include "crypto/rsa/mont_product.h"
#include "crypto/rsa/mont_wide.h"

/* One set of functions for each size that occurs: the block count is a constant in each. */
#define KC_MONT_SIZE(n)                                                                            \
    KC_IFMA static void sqr_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a)          \
    {                                                                                              \
        mont_product(mont, n, SQUARE, r, a, a, NULL);                                              \
    }                                                                                              \
    KC_IFMA static void sqr_scan_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a,     \
                                     const struct kc_scan *scan)                                   \
    {                                                                                              \
        mont_product(mont, n, SQUARE, r, a, a, scan);                                              \
    }                                                                                              \
    KC_IFMA static void mul_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a,          \
                                const __m512i *b)                                                  \
    {                                                                                              \
        mont_product(mont, n, MULTIPLY, r, a, b, NULL);                                            \
    }

KC_MONT_SIZE(2)
KC_MONT_SIZE(3)
KC_MONT_SIZE(4)

#define KC_MONT_DISPATCH(call, otherwise, ...)                                                     \
    switch (mont->blocks) {                                                                        \
    case 2:                                                                                        \
        call##_2(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 3:                                                                                        \
        call##_3(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    case 4:                                                                                        \
        call##_4(__VA_ARGS__);                                                                     \
        break;                                                                                     \
    default:                                                                                       \
        otherwise;                                                                                 \
        break;                                                                                     \
    }

KC_IFMA void kc_mont_sqr(const struct kc_mont *mont, __m512i *r, const __m512i *a){
    KC_MONT_DISPATCH(sqr, kc_mont_sqr_wide(mont, r, a), mont, r, a)}

KC_IFMA void kc_mont_sqr_scan(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                              const struct kc_scan *scan){
    KC_MONT_DISPATCH(sqr_scan, (void)0, mont, r, a, scan) /* primes have 2 to 4 blocks */
}

KC_IFMA void kc_mont_mul(const struct kc_mont *mont, __m512i *r, const __m512i *a, const __m512i *b)
{
    KC_MONT_DISPATCH(mul, kc_mont_mul_wide(mont, r, a, b), mont, r, a, b)
}
#endif

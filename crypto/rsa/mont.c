#if defined(__x86_64__)
#if defined(__clang__)
#define KC_UNROLL /* clang keeps the columns in registers as it is */
#else
#define KC_UNROLL _Pragma("GCC unroll 16")
#endif
#define KC_KARATSUBA 1
#include "crypto/rsa/mont_product.h"
#include "crypto/rsa/mont_wide.h"

/* One set of functions for each size that occurs often: the block count is a constant in each. Four
 * blocks are moduli of 2048 bits; primes of three and four blocks have fold.c. */
#define KC_MONT_SIZE(n)                                                                            \
    KC_IFMA static void sqr_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a)          \
    {                                                                                              \
        mont_product(mont, n, SQUARE, r, a, a, NULL);                                              \
    }                                                                                              \
    KC_IFMA static void mul_##n(const struct kc_mont *mont, __m512i *r, const __m512i *a,          \
                                const __m512i *b)                                                  \
    {                                                                                              \
        mont_product(mont, n, MULTIPLY, r, a, b, NULL);                                            \
    }

KC_MONT_SIZE(2)
KC_MONT_SIZE(4)

KC_IFMA void kc_mont_sqr(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    switch (mont->blocks) {
    case 2:
        sqr_2(mont, r, a);
        break;
    case 4:
        sqr_4(mont, r, a);
        break;
    default:
        kc_mont_sqr_wide(mont, r, a);
        break;
    }
}

KC_IFMA void kc_mont_mul(const struct kc_mont *mont, __m512i *r, const __m512i *a, const __m512i *b)
{
    switch (mont->blocks) {
    case 2:
        mul_2(mont, r, a, b);
        break;
    case 4:
        mul_4(mont, r, a, b);
        break;
    default:
        kc_mont_mul_wide(mont, r, a, b);
        break;
    }
}

KC_IFMA void kc_mont_sqr_scan(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                              const struct kc_scan *scan)
{
    mont_product(mont, 2, SQUARE, r, a, a, scan);
}

KC_IFMA void kc_mont_mul_pair(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                              const __m512i *b)
{
    mont_pair(mont, 2, r, a, b);
}
#endif

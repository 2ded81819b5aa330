#if defined(__x86_64__)
#if defined(__clang__)
#define KC_UNROLL /* clang keeps the columns in registers as it is */
#else
#define KC_UNROLL _Pragma("GCC unroll 16")
#endif
#define KC_KARATSUBA 1
#include "crypto/rsa/mont_product.h"
#include "crypto/rsa/mont_wide.h"

/* The size that occurs often, moduli of 2048 bits, has functions of its own: the block count is a
 * constant in them. Primes have quad.c and fold.c. */
KC_IFMA static void sqr_4(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    mont_product(mont, 4, SQUARE, r, a, a);
}

KC_IFMA static void mul_4(const struct kc_mont *mont, __m512i *r, const __m512i *a,
                          const __m512i *b)
{
    mont_product(mont, 4, MULTIPLY, r, a, b);
}

KC_IFMA void kc_mont_sqr(const struct kc_mont *mont, __m512i *r, const __m512i *a)
{
    (mont->blocks == 4 ? sqr_4 : kc_mont_sqr_wide)(mont, r, a);
}

KC_IFMA void kc_mont_mul(const struct kc_mont *mont, __m512i *r, const __m512i *a, const __m512i *b)
{
    (mont->blocks == 4 ? mul_4 : kc_mont_mul_wide)(mont, r, a, b);
}
#endif

#pragma once
/* Products of any number of blocks, as loops: moduli of public operations above 2048 bits. */

#include "crypto/rsa/mont.h"

/** As kc_mont_sqr and kc_mont_mul. */
void kc_mont_sqr_wide(const struct kc_mont *mont, __m512i *r, const __m512i *a);
void kc_mont_mul_wide(const struct kc_mont *mont, __m512i *r, const __m512i *a, const __m512i *b);

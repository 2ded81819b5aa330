#pragma once
/* Masks instead of branches. Every mask is all ones or all zeros. */

#include <stddef.h>
#include <stdint.h>

/* Hides a value's origin from the optimiser, which would otherwise turn a mask back into a branch.
 */
static inline size_t ct_opaque(size_t value)
{
    __asm__("" : "+r"(value));
    return value;
}

static inline size_t ct_msb(size_t a)
{
    return ct_opaque((size_t)0 - (a >> (sizeof(a) * 8 - 1)));
}

/** All ones when a < b. */
static inline size_t ct_lt(size_t a, size_t b)
{
    return ct_msb(a ^ ((a ^ b) | ((a - b) ^ b)));
}

static inline size_t ct_is_zero(size_t a)
{
    return ct_msb(~a & (a - 1));
}

static inline size_t ct_eq(size_t a, size_t b)
{
    return ct_is_zero(a ^ b);
}

/** a where mask is ones, b where it is zeros. */
static inline size_t ct_select(size_t mask, size_t a, size_t b)
{
    return (mask & a) | (~mask & b);
}

/** Moves buf[shift..len) to the front, zeros behind; time depends on `len` alone. shift <= len. */
static inline void ct_shift_left(uint8_t *buf, size_t len, size_t shift)
{
    for (size_t step = 1; step <= len; step <<= 1) {
        uint8_t mask = (uint8_t)~ct_is_zero(shift & step);
        for (size_t i = 0; i < len; i++) {
            uint8_t far = i + step < len ? buf[i + step] : 0;
            buf[i] = (uint8_t)((mask & far) | (~mask & buf[i]));
        }
    }
}

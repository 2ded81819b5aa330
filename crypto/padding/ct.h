#pragma once
/* Masks instead of branches. Every mask is all ones or all zeros. */

#include <stddef.h>
#include <stdint.h>

/* MemorySanitizer follows neither carries nor assembly: tests/ct defines CT_WHOLE, which makes a
 * word wholly secret when a part of it is. */
#ifdef CT_WHOLE
#define CT_OPAQUE(value) ((void)(value))
#else
#define CT_WHOLE(value)  (value)
#define CT_OPAQUE(value) __asm__("" : "+r"(value))
#endif

/* Hides a value's origin from the optimiser, which would otherwise turn a mask back into a branch.
 */
static inline size_t ct_opaque(size_t value)
{
    CT_OPAQUE(value);
    return value;
}

/** All ones when the top bit is set. */
static inline size_t ct_msb(size_t a)
{
    return ct_opaque((size_t)0 - (CT_WHOLE(a) >> (sizeof(a) * 8 - 1)));
}

/** All ones when a < b. */
static inline size_t ct_lt(size_t a, size_t b)
{
    a = CT_WHOLE(a);
    b = CT_WHOLE(b);
    return ct_msb(a ^ ((a ^ b) | ((a - b) ^ b)));
}

static inline size_t ct_is_zero(size_t a)
{
    a = CT_WHOLE(a);
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

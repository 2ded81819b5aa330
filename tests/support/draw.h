#pragma once
/* Random choices of a test, repeatable from one printed seed. Not for keys of any worth. */

#include <stddef.h>
#include <stdint.h>

struct kt_draw {
    uint64_t state; /* not 0 */
};

/** splitmix64: every seed gives a full-period stream. */
static inline uint64_t kt_draw64(struct kt_draw *draw)
{
    uint64_t z = draw->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/** 0 .. bound - 1. */
static inline size_t kt_draw_below(struct kt_draw *draw, size_t bound)
{
    return (size_t)(kt_draw64(draw) % bound);
}

static inline void kt_draw_bytes(struct kt_draw *draw, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)kt_draw64(draw);
    }
}

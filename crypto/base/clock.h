#pragma once
#include <stdint.h>
#include <time.h>

/** Monotonic nanoseconds: deadlines, intervals, measurements. */
static inline int64_t kw_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/** Wall-clock seconds since 1970 UTC: attributes, tokens, nbf and exp. */
static inline int64_t kw_wall_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec;
}

#define KW_MS(n) ((int64_t)(n)*1000000)
#define KW_S(n)  ((int64_t)(n)*1000000000)

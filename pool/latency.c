#include "pool/pool.h"

/* 1-2-5 steps from 10 us to 10 s: a wrap in the core and a key generation in an HSM both fit. */
const uint64_t pool_latency_bounds_ns[POOL_LATENCY_BUCKETS] = {
    10000,     20000,      50000,      100000,     200000,      500000,    1000000,
    2000000,   5000000,    10000000,   20000000,   50000000,    100000000, 200000000,
    500000000, 1000000000, 2000000000, 5000000000, 10000000000, 0};

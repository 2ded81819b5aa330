#pragma once
/* Bounds that both protocols share. */

#include "crypto/base/clock.h"
#include "gateway/config/config.h"

#define GW_CONN_REQUESTS_MAX 100000     /* then the connection is ended gracefully */
#define GW_CONN_AGE_NS       KW_S(3600) /* the same */
#define GW_DISCARD_MAX       65536      /* unwanted body that is read away to keep a connection */
#define GW_SLOWEST_RATE      4096       /* bytes a second that a client must manage */

/** How long a body of which `got` bytes came may take: the timeout, plus what a slow but steady
 *  client needs. A dribbling one runs out of it. Nanoseconds. */
static inline int64_t gw_body_time(const struct gw_limits *limits, uint64_t got)
{
    return KW_MS(limits->body_timeout_ms) + (int64_t)(got * (1000000000 / GW_SLOWEST_RATE));
}

#pragma once
/* What one HTTP/2 connection may cost. The library enforces some bounds itself (client resets,
 * CONTINUATION, SETTINGS entries, queued acknowledgements: see h2.c); here are those it lacks. Each
 * is a counter with a bound, or a bucket that refills; beyond it the connection ends with
 * ENHANCE_YOUR_CALM. One thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GW_H2_STREAMS_DEFAULT 128
#define GW_H2_HEADER_BYTES_MAX                                                                     \
    32768 /* names, values and 32 each, as RFC 9113 section 6.5.2 counts */
#define GW_H2_HEADER_FIELDS_MAX    64
#define GW_H2_HEADER_BYTES_FATAL   (4 * GW_H2_HEADER_BYTES_MAX) /* more in one block is an attack */
#define GW_H2_STREAM_WINDOW        65536
#define GW_H2_CONNECTION_WINDOW    262144
#define GW_H2_CONTINUATIONS_MAX    8
#define GW_H2_ACKS_QUEUED_MAX      100
#define GW_H2_FRAMES_QUEUED_MAX    1000
#define GW_H2_SETTINGS_ENTRIES_MAX 32
#define GW_H2_RESET_BURST          200
#define GW_H2_RESET_RATE           33

/** Tokens in millionths, refilled by `rate` a minute up to `burst`. */
struct gw_bucket {
    int64_t tokens, burst;
    int64_t rate; /* a minute */
    int64_t filled_ns;
};

void gw_bucket_init(struct gw_bucket *bucket, int64_t burst, int64_t rate_per_minute,
                    int64_t now_ns);
/** Takes `count` tokens. False: there were not enough. */
bool gw_bucket_take(struct gw_bucket *bucket, int64_t count, int64_t now_ns);

#define GW_H2_SEEN 256 /* must be a power of two */

struct gw_h2_limits {
    struct gw_bucket glitches;
    struct gw_bucket resets; /* by us, because of what the client did */
    struct gw_bucket client_resets;
    struct gw_bucket settings, pings, empty;
    uint64_t streams; /* opened by the client */
    uint64_t priorities, window_updates, data_sent;
    int32_t highest;          /* stream id */
    int32_t seen[GW_H2_SEEN]; /* ids of the last HEADERS that opened a stream */
};

void gw_h2_limits_init(struct gw_h2_limits *limits, int64_t now_ns);

/** A frame's header came. `payload` is its length. False: too much of this. */
bool gw_h2_limits_frame(struct gw_h2_limits *limits, uint8_t type, uint8_t flags, size_t payload,
                        int64_t now_ns);

enum gw_h2_id { GW_H2_ID_NEW, GW_H2_ID_KNOWN, GW_H2_ID_SKIPPED };
/** What HEADERS on this id is: a new stream, one that was open once, or one that was skipped and so
 *  closed without ever being used (RFC 9113 section 5.1.1: PROTOCOL_ERROR). Remembers new ones. */
enum gw_h2_id gw_h2_limits_headers(struct gw_h2_limits *limits, int32_t stream_id);

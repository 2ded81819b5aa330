#include "gateway/http/h2_limits.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

#define MILLION 1000000
#define MINUTE  60

void gw_bucket_init(struct gw_bucket *bucket, int64_t burst, int64_t rate_per_minute,
                    int64_t now_ns)
{
    *bucket = (struct gw_bucket){burst * MILLION, burst * MILLION, rate_per_minute, now_ns};
}

bool gw_bucket_take(struct gw_bucket *bucket, int64_t count, int64_t now_ns)
{
    if (now_ns > bucket->filled_ns) {
        /* microseconds times tokens a minute: millionths of a token, times 60 */
        int64_t us = (now_ns - bucket->filled_ns) / 1000;
        int64_t full_after_us = bucket->rate > 0 ? bucket->burst * MINUTE / bucket->rate + 1 : 0;
        if (us > full_after_us)
            us = full_after_us;
        int64_t gained = us * bucket->rate / MINUTE;
        if (gained > 0) {
            bucket->tokens += gained;
            bucket->filled_ns = now_ns;
        }
        if (bucket->tokens > bucket->burst)
            bucket->tokens = bucket->burst;
    }
    if (bucket->tokens < count * MILLION)
        return false;
    bucket->tokens -= count * MILLION;
    return true;
}

void gw_h2_limits_init(struct gw_h2_limits *limits, int64_t now_ns)
{
    memset(limits, 0, sizeof *limits);
    gw_bucket_init(&limits->glitches, 100, 10 * MINUTE, now_ns);
    gw_bucket_init(&limits->resets, GW_H2_RESET_BURST, GW_H2_RESET_RATE * MINUTE, now_ns);
    gw_bucket_init(&limits->client_resets, GW_H2_RESET_BURST, GW_H2_RESET_RATE * MINUTE, now_ns);
    gw_bucket_init(&limits->settings, 10, 10, now_ns);
    gw_bucket_init(&limits->pings, 200, 50 * MINUTE, now_ns);
    gw_bucket_init(&limits->empty, 10, MINUTE, now_ns);
}

static bool is_empty(uint8_t type, uint8_t flags, size_t payload)
{
    if (type == NGHTTP2_DATA)
        return payload == 0 && !(flags & NGHTTP2_FLAG_END_STREAM);
    if (type == NGHTTP2_CONTINUATION)
        return payload == 0;
    return type == NGHTTP2_HEADERS && payload == 0;
}

bool gw_h2_limits_frame(struct gw_h2_limits *limits, uint8_t type, uint8_t flags, size_t payload,
                        int64_t now_ns)
{
    if (is_empty(type, flags, payload))
        return gw_bucket_take(&limits->empty, 1, now_ns);
    switch (type) {
    case NGHTTP2_PRIORITY:
        return ++limits->priorities <= 100 * (1 + limits->streams);
    case NGHTTP2_WINDOW_UPDATE:
        return ++limits->window_updates <= 5 + 2 * (limits->streams + 10 * limits->data_sent) + 100;
    case NGHTTP2_SETTINGS:
        return (flags & NGHTTP2_FLAG_ACK) || gw_bucket_take(&limits->settings, 1, now_ns);
    case NGHTTP2_PING:
        return (flags & NGHTTP2_FLAG_ACK) ? gw_bucket_take(&limits->glitches, 1, now_ns)
                                          : gw_bucket_take(&limits->pings, 1, now_ns);
    default:
        return true;
    }
}

enum gw_h2_id gw_h2_limits_headers(struct gw_h2_limits *limits, int32_t stream_id)
{
    if (stream_id > limits->highest) {
        limits->highest = stream_id;
        limits->seen[limits->streams++ & (GW_H2_SEEN - 1)] = stream_id;
        return GW_H2_ID_NEW;
    }
    uint64_t known = limits->streams < GW_H2_SEEN ? limits->streams : GW_H2_SEEN;
    for (uint64_t i = 0; i < known; i++) {
        if (limits->seen[i] == stream_id)
            return GW_H2_ID_KNOWN;
    }
    /* older than the memory: it may have been used */
    if (limits->streams > GW_H2_SEEN &&
        stream_id < limits->seen[limits->streams & (GW_H2_SEEN - 1)])
        return GW_H2_ID_KNOWN;
    return GW_H2_ID_SKIPPED;
}

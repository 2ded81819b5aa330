#pragma once
/* The request target: path segments, percent-decoding once, query. */

#include "gateway/http/request.h"

#define GW_MAX_SEGMENTS 12

struct gw_path {
    struct kw_span segments[GW_MAX_SEGMENTS]; /* decoded, never empty */
    size_t count;
};

/** Splits a target into segments and the raw query. Repeated slashes count as one and a trailing
 *  slash as none, so that an empty version reads as no version. Each segment is decoded once.
 *  False (the reason in `why`, static) for a target that does not begin with '/', a broken
 *  escape, "." or "..", or a decoded '/', '\\', ';', '#', NUL, control or non-ASCII byte. */
bool gw_target_parse(struct kw_span target, struct gw_arena *arena, struct gw_path *path,
                     struct kw_span *query, const char **why);

/** Decodes %XX once into the arena (without one, the span itself comes back). False: broken. */
bool gw_percent_decode(struct kw_span text, struct gw_arena *arena, struct kw_span *out);

/** Authority for ids: what the client used, or "localhost" without one. False when it holds a byte
 *  that no host and port have. */
bool gw_authority(const struct gw_request *req, struct kw_span *out);

#pragma once
/* A bounded writer of JSON text. Errors stick: write everything, then look at `failed` once. */

#include "crypto/base/span.h"
#include "gateway/base/arena.h"

#include <stdbool.h>

struct gw_out {
    char *data;
    size_t len, cap;
    size_t max;             /* bytes it may grow to */
    struct gw_arena *arena; /* NULL: malloc; the owner of the struct calls gw_out_free */
    bool failed;            /* out of memory or over `max`; `data` is then cut */
};

/** Starts with `room` bytes. `arena` NULL: malloc. */
void gw_out_init(struct gw_out *out, struct gw_arena *arena, size_t room, size_t max);
/** Wipes and frees a malloc'd buffer; nothing for an arena's. */
void gw_out_free(struct gw_out *out);

/** Bytes as they are. */
void gw_out_raw(struct gw_out *out, const void *data, size_t len);
void gw_out_text(struct gw_out *out, const char *text);
/** A quoted, escaped JSON string (RFC 8259 section 7). `data` is UTF-8; a byte that does not belong
 *  to a well-formed character (a text that was cut) becomes U+FFFD, so that the whole stays JSON.
 */
void gw_out_string(struct gw_out *out, const char *data, size_t len);
/** A quoted base64url string of the bytes. */
void gw_out_b64(struct gw_out *out, struct kw_span bytes);
void gw_out_int(struct gw_out *out, int64_t value);
void gw_out_bool(struct gw_out *out, bool value);

#pragma once
/* Big-endian numbers and runs of bytes in binary forms: put into room that the caller has made,
 * taken with a check of every length. */

#include <stdbool.h>

#include "crypto/base/span.h"

static inline void vault_put_be(struct kw_buf *buf, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        buf->data[buf->len++] = (uint8_t)(value >> (8 * bytes));
}

static inline void vault_put_span(struct kw_buf *buf, struct kw_span bytes)
{
    if (bytes.len > 0)
        memcpy(buf->data + buf->len, bytes.data, bytes.len);
    buf->len += bytes.len;
}

/** The first `len` bytes of `from`, which is cut. False: it is shorter. */
static inline bool vault_get_span(struct kw_span *from, struct kw_span *out, size_t len)
{
    if (from->len < len)
        return false;
    *out = kw_span_of(from->data, len);
    *from = kw_span_of(from->data + len, from->len - len);
    return true;
}

static inline bool vault_get_be(struct kw_span *from, uint64_t *out, unsigned bytes)
{
    struct kw_span part;
    *out = 0;
    if (!vault_get_span(from, &part, bytes))
        return false;
    for (unsigned i = 0; i < bytes; i++)
        *out = *out << 8 | part.data[i];
    return true;
}

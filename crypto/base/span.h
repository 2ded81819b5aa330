#pragma once
/* Borrowed bytes. A span never owns; who owns is said where it is stored. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Read-only borrowed bytes; `data` may be NULL only when `len` is 0. */
struct kw_span {
    const uint8_t *data;
    size_t len;
};

/** Writable borrowed room: `cap` bytes at `data`, of which `len` are filled. */
struct kw_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

static inline struct kw_span kw_span_of(const void *data, size_t len)
{
    return (struct kw_span){(const uint8_t *)data, len};
}

static inline struct kw_span kw_span_str(const char *text)
{
    return kw_span_of(text, strlen(text));
}

static inline struct kw_span kw_buf_span(const struct kw_buf *buf)
{
    return kw_span_of(buf->data, buf->len);
}

/** Equality of public bytes (not constant time: never for secrets, see kw_ct_equal). */
static inline int kw_span_equal(struct kw_span a, struct kw_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

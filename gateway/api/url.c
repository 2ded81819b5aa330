#include "gateway/api/url.h"

#include "crypto/base/hex.h"

bool gw_percent_decode(struct kw_span text, struct gw_arena *arena, struct kw_span *out)
{
    *out = text;
    if (text.len == 0 || !memchr(text.data, '%', text.len))
        return true;
    uint8_t *data = gw_arena_alloc(arena, text.len);
    size_t len = 0;
    if (!data)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.len ? kw_hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? kw_hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        data[len++] = c;
    }
    *out = kw_span_of(data, len);
    return true;
}

/* Nothing that another parser of the same path could read differently. */
static const char *segment_fault(struct kw_span segment)
{
    for (size_t i = 0; i < segment.len; i++) {
        uint8_t c = segment.data[i];
        if (c < 0x20 || c >= 0x7f)
            return "a control or non-ASCII character";
        if (c == '/' || c == '\\' || c == ';' || c == '#' || c == '%')
            return "an encoded slash, a backslash, ';', '#' or '%'";
    }
    if (segment.len <= 2 && memcmp(segment.data, "..", segment.len) == 0)
        return "a '.' or '..' segment";
    return NULL;
}

bool gw_target_parse(struct kw_span target, struct gw_arena *arena, struct gw_path *path,
                     struct kw_span *query, const char **why)
{
    path->count = 0;
    *query = (struct kw_span){0};
    if (target.len == 0 || target.data[0] != '/') {
        *why = "it does not begin with '/'";
        return false;
    }
    const uint8_t *mark = memchr(target.data, '?', target.len);
    size_t len = mark ? (size_t)(mark - target.data) : target.len;
    if (mark)
        *query = kw_span_of(mark + 1, target.len - len - 1);
    for (size_t i = 0; i < len;) {
        if (target.data[i] == '/') {
            i++;
            continue;
        }
        const uint8_t *slash = memchr(target.data + i, '/', len - i);
        size_t n = slash ? (size_t)(slash - target.data) - i : len - i;
        struct kw_span segment;
        if (!gw_percent_decode(kw_span_of(target.data + i, n), arena, &segment)) {
            *why = "a '%' is not followed by two hexadecimal digits";
            return false;
        }
        *why = segment_fault(segment);
        if (*why)
            return false;
        if (path->count == GW_MAX_SEGMENTS) {
            *why = "too many segments";
            return false;
        }
        path->segments[path->count++] = segment;
        i += n;
    }
    return true;
}

bool gw_query_get(struct gw_request *req, const char *name, struct kw_span *value)
{
    struct kw_span query = req->query, wanted = kw_span_str(name);
    size_t at = 0;
    while (at < query.len) {
        const uint8_t *from = query.data + at;
        const uint8_t *amp = memchr(from, '&', query.len - at);
        size_t len = amp ? (size_t)(amp - from) : query.len - at;
        const uint8_t *equals = len > 0 ? memchr(from, '=', len) : NULL;
        size_t name_len = equals ? (size_t)(equals - from) : len;
        struct kw_span key;
        if (gw_percent_decode(kw_span_of(from, name_len), req->arena, &key) &&
            kw_span_equal(key, wanted)) {
            struct kw_span raw = {0};
            if (equals)
                raw = kw_span_of(equals + 1, len - name_len - 1);
            return gw_percent_decode(raw, req->arena, value);
        }
        at += len + 1;
    }
    return false;
}

bool gw_authority(const struct gw_request *req, struct kw_span *out)
{
    *out = req->authority.len > 0 ? req->authority : kw_span_str("localhost");
    if (out->len > 255)
        return false;
    for (size_t i = 0; i < out->len; i++) {
        uint8_t c = out->data[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!word && c != '.' && c != '-' && c != '_' && c != ':' && c != '[' && c != ']')
            return false;
    }
    return true;
}

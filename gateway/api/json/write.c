#include "gateway/api/json/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/base/secret.h"
#include "crypto/base/text.h"
#include "gateway/api/json/base64url.h"

static char *room_get(struct gw_arena *arena, size_t len)
{
    return arena ? gw_arena_alloc(arena, len) : malloc(len);
}

static void room_drop(struct gw_arena *arena, char *data, size_t len)
{
    if (arena || !data)
        return;
    kw_wipe(data, len);
    free(data);
}

void gw_out_init(struct gw_out *out, struct gw_arena *arena, size_t room, size_t max)
{
    *out = (struct gw_out){.arena = arena, .max = max};
    out->cap = room < max ? room : max;
    out->data = room_get(arena, out->cap > 0 ? out->cap : 1);
    if (!out->data) {
        out->cap = 0;
        out->failed = true;
    }
}

void gw_out_free(struct gw_out *out)
{
    room_drop(out->arena, out->data, out->len);
    out->data = NULL;
    out->len = out->cap = 0;
}

/* Room for `more` bytes behind `len`, or the sticky failure. */
static bool grow(struct gw_out *out, size_t more)
{
    if (out->failed)
        return false;
    if (more <= out->cap - out->len)
        return true;
    if (more > out->max - out->len) {
        out->failed = true;
        return false;
    }
    size_t cap = out->cap < 64 ? 64 : out->cap;
    while (cap - out->len < more)
        cap *= 2;
    if (cap > out->max)
        cap = out->max;
    char *data = room_get(out->arena, cap);
    if (!data) {
        out->failed = true;
        return false;
    }
    if (out->len > 0)
        memcpy(data, out->data, out->len);
    room_drop(out->arena, out->data, out->len);
    out->data = data;
    out->cap = cap;
    return true;
}

void gw_out_raw(struct gw_out *out, const void *data, size_t len)
{
    if (len == 0 || !grow(out, len))
        return;
    memcpy(out->data + out->len, data, len);
    out->len += len;
}

void gw_out_text(struct gw_out *out, const char *text)
{
    gw_out_raw(out, text, strlen(text));
}

static void escape_one(struct gw_out *out, unsigned char c)
{
    switch (c) {
    case '"':
        gw_out_raw(out, "\\\"", 2);
        break;
    case '\\':
        gw_out_raw(out, "\\\\", 2);
        break;
    case '\n':
        gw_out_raw(out, "\\n", 2);
        break;
    case '\r':
        gw_out_raw(out, "\\r", 2);
        break;
    case '\t':
        gw_out_raw(out, "\\t", 2);
        break;
    default: {
        char text[8];
        snprintf(text, sizeof text, "\\u%04x", c);
        gw_out_raw(out, text, 6);
    }
    }
}

void gw_out_string(struct gw_out *out, const char *data, size_t len)
{
    gw_out_raw(out, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c < 0x7f)
            continue;
        size_t whole = c >= 0x80 ? kw_utf8_len((const unsigned char *)data + i, len - i) : 0;
        if (whole > 0) {
            i += whole - 1;
            continue;
        }
        gw_out_raw(out, data + from, i - from);
        if (c >= 0x80)
            gw_out_raw(out, "\\ufffd", 6);
        else
            escape_one(out, c);
        from = i + 1;
    }
    gw_out_raw(out, data + from, len - from);
    gw_out_raw(out, "\"", 1);
}

void gw_out_b64(struct gw_out *out, struct kw_span bytes)
{
    if (!grow(out, gw_b64_encoded_len(bytes.len) + 2))
        return;
    out->data[out->len++] = '"';
    out->len += gw_b64_encode(out->data + out->len, bytes.data, bytes.len);
    out->data[out->len++] = '"';
}

void gw_out_int(struct gw_out *out, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRId64, value);
    gw_out_raw(out, text, (size_t)len);
}

void gw_out_bool(struct gw_out *out, bool value)
{
    gw_out_text(out, value ? "true" : "false");
}

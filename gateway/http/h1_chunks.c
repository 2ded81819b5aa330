/* The chunked coding, RFC 9112 section 7.1: strict, because the library's own decoder (built
 * without its strict mode in Debian) does not look at the CR LF around chunk data. */

#include <strings.h>

#include "crypto/base/hex.h"
#include "gateway/http/h1_strict.h"

#define EXTENSION_MAX 256
#define SIZE_DIGITS   8

enum {
    SIZE,      /* hexadecimal digits */
    EXTENSION, /* after ';' */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* a line of the trailer section, or the empty one */
    TRAILER_LF,
    OVER
};

static bool size_byte(struct gw_h1_chunks *chunks, uint8_t c)
{
    int value = kw_hex_digit(c);
    if (value >= 0) {
        chunks->left = chunks->left * 16 + (uint64_t)value;
        return ++chunks->digits <= SIZE_DIGITS;
    }
    if (chunks->digits == 0)
        return false;
    if (c == ';')
        chunks->state = EXTENSION;
    else if (c == '\r')
        chunks->state = SIZE_LF;
    else
        return false;
    return true;
}

static bool extension_byte(struct gw_h1_chunks *chunks, uint8_t c)
{
    if (c == '\r') {
        chunks->state = SIZE_LF;
        return true;
    }
    return c > 0x20 && c < 0x7f && ++chunks->extension <= EXTENSION_MAX;
}

static bool size_lf(struct gw_h1_chunks *chunks, uint8_t c)
{
    chunks->state = chunks->left > 0 ? DATA : TRAILER;
    chunks->digits = 0;
    chunks->line_at = 0;
    return c == '\n';
}

/* Fields that would change framing, routing or identity have no place behind the body. */
static bool trailer_allowed(const uint8_t *line, size_t len)
{
    static const char *const refused[] = {"content-length", "transfer-encoding", "host",
                                          "authorization",  "content-type",      "connection",
                                          "expect",         "trailer",           "te",
                                          "cookie"};
    size_t name = 0;
    while (name < len && line[name] != ':') {
        uint8_t c = line[name];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("!#$%&'*+-.^_`|~", c))))
            return false;
        name++;
    }
    if (name == 0 || name == len)
        return false;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (strlen(refused[i]) == name && strncasecmp((const char *)line, refused[i], name) == 0)
            return false;
    }
    return true;
}

static bool trailer_byte(struct gw_h1_chunks *chunks, uint8_t c)
{
    if (c == '\r') {
        chunks->state = TRAILER_LF;
        return true;
    }
    if ((c < 0x20 && c != '\t') || c >= 0x7f || chunks->line_at >= sizeof chunks->line)
        return false;
    chunks->line[chunks->line_at++] = c;
    return ++chunks->trailers <= GW_H1_TRAILERS_MAX;
}

static bool trailer_lf(struct gw_h1_chunks *chunks, uint8_t c)
{
    if (c != '\n')
        return false;
    if (chunks->line_at == 0) {
        chunks->state = OVER;
        return true;
    }
    chunks->state = TRAILER;
    size_t len = chunks->line_at;
    chunks->line_at = 0;
    return trailer_allowed(chunks->line, len);
}

static bool framing_byte(struct gw_h1_chunks *chunks, uint8_t c)
{
    switch (chunks->state) {
    case SIZE:
        return size_byte(chunks, c);
    case EXTENSION:
        return extension_byte(chunks, c);
    case SIZE_LF:
        return size_lf(chunks, c);
    case DATA_CR:
        chunks->state = DATA_LF;
        return c == '\r';
    case DATA_LF:
        chunks->state = SIZE;
        chunks->extension = 0;
        return c == '\n';
    case TRAILER:
        return trailer_byte(chunks, c);
    case TRAILER_LF:
        return trailer_lf(chunks, c);
    default:
        return false;
    }
}

enum gw_h1_step gw_h1_chunks_feed(struct gw_h1_chunks *chunks, const uint8_t *data, size_t len,
                                  size_t *used, struct kw_span *piece, struct gw_h1_fault *fault)
{
    size_t at = 0;
    *used = 0;
    if (chunks->state == OVER)
        return GW_H1_END;
    while (at < len) {
        if (chunks->state == DATA) {
            size_t take = len - at < chunks->left ? len - at : (size_t)chunks->left;
            *piece = kw_span_of(data + at, take);
            chunks->left -= take;
            if (chunks->left == 0)
                chunks->state = DATA_CR;
            *used = at + take;
            return GW_H1_PIECE;
        }
        if (!framing_byte(chunks, data[at++])) {
            *fault = (struct gw_h1_fault){400, "the chunked body is not framed as RFC 9112 says"};
            *used = at;
            return GW_H1_BAD;
        }
        if (chunks->state == OVER) {
            *used = at;
            return GW_H1_END;
        }
    }
    *used = len;
    return GW_H1_MORE;
}

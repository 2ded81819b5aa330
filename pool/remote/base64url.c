#include "pool/remote/base64url.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

kw_status pool_remote_b64_put(struct kw_buf *out, struct kw_span in)
{
    size_t room = out->cap - out->len;
    if (in.len > SIZE_MAX / 2 || in.len / 3 * 4 + (in.len % 3 ? in.len % 3 + 1 : 0) > room) {
        return KW_E_TOO_LARGE;
    }
    uint8_t *to = out->data + out->len;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        uint32_t group = (uint32_t)in.data[i] << 16;
        group |= n > 1 ? (uint32_t)in.data[i + 1] << 8 : 0;
        group |= n > 2 ? in.data[i + 2] : 0;
        for (size_t k = 0; k <= n; k++) {
            *to++ = (uint8_t)digits[group >> (18 - 6 * k) & 63];
        }
    }
    out->len = (size_t)(to - out->data);
    return KW_OK;
}

/* Without branches or tables indexed by what may be a plaintext. 64 for anything else. */
static unsigned value_of(uint8_t c)
{
    unsigned value = 64;
#define RANGE(low, high, base)                                                                     \
    value ^= (value ^ (unsigned)(c - (low) + (base))) &                                            \
             (0u - (((unsigned)((low)-1 - c) & (unsigned)(c - (high)-1)) >> 31))
    RANGE('A', 'Z', 0);
    RANGE('a', 'z', 26);
    RANGE('0', '9', 52);
    RANGE('-', '-', 62);
    RANGE('_', '_', 63);
#undef RANGE
    return value;
}

kw_status pool_remote_b64_get(struct kw_buf *out, struct kw_span text)
{
    size_t rest = text.len % 4, len = text.len / 4 * 3 + (rest ? rest - 1 : 0);
    if (rest == 1) {
        return KW_E_INPUT;
    }
    if (len > out->cap) {
        return KW_E_TOO_LARGE;
    }
    uint8_t *to = out->data;
    uint32_t group = 0;
    unsigned bad = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned value = value_of(text.data[i]);
        bad |= value & 64;
        group = group << 6 | (value & 63);
        if (i % 4 == 3) {
            *to++ = (uint8_t)(group >> 16);
            *to++ = (uint8_t)(group >> 8);
            *to++ = (uint8_t)group;
            group = 0;
        }
    }
    if (rest == 2) {
        *to++ = (uint8_t)(group >> 4);
        bad |= group & 15;
    } else if (rest == 3) {
        *to++ = (uint8_t)(group >> 10);
        *to++ = (uint8_t)(group >> 2);
        bad |= group & 3;
    }
    out->len = len;
    return bad ? KW_E_INPUT : KW_OK;
}

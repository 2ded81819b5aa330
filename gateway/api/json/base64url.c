#include "gateway/api/json/base64url.h"

static const char alphabet[64] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};

/* 0..63, or 255; both alphabets. Sixteen characters a row, from NUL. */
/* clang-format off */
static const uint8_t values[256] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  62, 255,  62, 255,  63,
     52,  53,  54,  55,  56,  57,  58,  59,  60,  61, 255, 255, 255, 255, 255, 255,
    255,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
     15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25, 255, 255, 255, 255,  63,
    255,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
     41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};
/* clang-format on */

size_t gw_b64_encode(char *out, const uint8_t *data, size_t len)
{
    char *at = out;
    size_t i = 0;
    for (; i + 3 <= len; i += 3) {
        uint32_t word = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
        *at++ = alphabet[word >> 18];
        *at++ = alphabet[word >> 12 & 63];
        *at++ = alphabet[word >> 6 & 63];
        *at++ = alphabet[word & 63];
    }
    if (len - i == 1) {
        *at++ = alphabet[data[i] >> 2];
        *at++ = alphabet[(data[i] & 3) << 4];
    } else if (len - i == 2) {
        *at++ = alphabet[data[i] >> 2];
        *at++ = alphabet[(data[i] & 3) << 4 | data[i + 1] >> 4];
        *at++ = alphabet[(data[i + 1] & 15) << 2];
    }
    return (size_t)(at - out);
}

/* Padding, where there is any, must fill up to a multiple of four. */
static bool strip_padding(const char *text, size_t *len)
{
    if (*len == 0 || text[*len - 1] != '=')
        return true;
    if (*len % 4 != 0)
        return false;
    *len -= text[*len - 2] == '=' ? 2 : 1;
    return true;
}

bool gw_b64_decode(uint8_t *out, size_t *out_len, const char *text, size_t len)
{
    const uint8_t *in = (const uint8_t *)text;
    if (!strip_padding(text, &len) || len % 4 == 1)
        return false;
    uint8_t bad = 0; /* top bit collects every character outside the alphabets */
    uint8_t *at = out;
    size_t i = 0;
    for (; i + 4 <= len; i += 4) {
        uint8_t a = values[in[i]], b = values[in[i + 1]];
        uint8_t c = values[in[i + 2]], d = values[in[i + 3]];
        bad |= a | b | c | d;
        *at++ = (uint8_t)(a << 2 | b >> 4);
        *at++ = (uint8_t)(b << 4 | c >> 2);
        *at++ = (uint8_t)(c << 6 | d);
    }
    if (len - i >= 2) {
        uint8_t a = values[in[i]], b = values[in[i + 1]];
        bad |= a | b;
        *at++ = (uint8_t)(a << 2 | b >> 4);
        if (len - i == 3) {
            uint8_t c = values[in[i + 2]];
            bad |= c | (uint8_t)((c & 3) ? 0x80 : 0);
            *at++ = (uint8_t)(b << 4 | c >> 2);
        } else {
            bad |= (b & 15) ? 0x80 : 0;
        }
    }
    *out_len = (size_t)(at - out);
    return (bad & 0x80) == 0;
}

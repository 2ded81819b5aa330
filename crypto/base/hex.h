#pragma once
/* Bytes as hexadecimal digits and back. Not in constant time: not for what is secret on the way in.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** 0 to 15; -1: no hexadecimal digit of either case. */
static inline int kw_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Lower case. out: room for 2 * len characters and the NUL. */
void kw_hex_write(char *out, const uint8_t *bytes, size_t len);

/** The first 2 * len characters of `text`, of either case; false when one is no digit. */
bool kw_hex_read(uint8_t *out, size_t len, const char *text);

#pragma once
/* base64url of RFC 4648 section 5, as JWK and the key operations carry bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Characters that `n` bytes take without padding. */
static inline size_t gw_b64_encoded_len(size_t n)
{
    return n / 3 * 4 + (n % 3 == 0 ? 0 : n % 3 + 1);
}

/** Room in bytes that is enough for the bytes of `n` characters. */
static inline size_t gw_b64_decoded_room(size_t n)
{
    return n / 4 * 3 + 3;
}

/** Writes gw_b64_encoded_len(len) characters, no padding, no NUL. Returns how many. */
size_t gw_b64_encode(char *out, const uint8_t *data, size_t len);

/** Decodes `len` characters into `out` (room: gw_b64_decoded_room). Both alphabets (`-_` and `+/`)
 *  and padding to a multiple of four are taken, because old clients send them. Refused: any other
 *  character (white space too), wrong padding, a rest of one character, and bits that are set
 * behind the last byte (RFC 4648 section 3.5): one value has one spelling but for alphabet and
 * padding. */
bool gw_b64_decode(uint8_t *out, size_t *out_len, const char *text, size_t len);

#include "crypto/ec/digits.h"

#include "crypto/base/secret.h"

#define WORDS 18 /* 128 bytes, and room to read past them */

void kc_ec_digits_in(uint64_t (*rows)[KC_EC_LANES], unsigned digits, unsigned lane,
                     const uint8_t *bytes, size_t len)
{
    uint64_t words[WORDS] = {0};
    for (size_t i = 0; i < len; i++)
        words[i / 8] |= (uint64_t)bytes[len - 1 - i] << (8 * (i % 8));
    for (unsigned i = 0; i < digits; i++) {
        unsigned at = i * KC_EC_DIGIT, shift = at % 64;
        uint64_t low = words[at / 64] >> shift;
        uint64_t high = shift ? words[at / 64 + 1] << (64 - shift) : 0;
        rows[i][lane] = (low | high) & KC_EC_MASK;
    }
    kw_wipe(words, sizeof words);
}

void kc_ec_digits_out(uint8_t *bytes, size_t len, uint64_t (*rows)[KC_EC_LANES], unsigned digits,
                      unsigned lane)
{
    uint64_t words[WORDS] = {0};
    for (unsigned i = 0; i < digits; i++) {
        unsigned at = i * KC_EC_DIGIT, shift = at % 64;
        uint64_t digit = rows[i][lane];
        words[at / 64] |= digit << shift;
        words[at / 64 + 1] |= shift ? digit >> (64 - shift) : 0;
    }
    for (size_t i = 0; i < len; i++)
        bytes[len - 1 - i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
    kw_wipe(words, sizeof words);
}

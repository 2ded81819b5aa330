#include "crypto/ec/digits.h"

#include <string.h>

#include "crypto/base/secret.h"

#define WORDS 18 /* 128 bytes, and room to read past them */

static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return __builtin_bswap64(word);
}

void kc_ec_digits_in(uint64_t (*rows)[KC_EC_LANES], unsigned digits, unsigned lane,
                     const uint8_t *bytes, size_t len)
{
    uint64_t words[WORDS];
    const size_t whole = len / 8, used = (size_t)digits * KC_EC_DIGIT / 64 + 2;
    for (size_t i = 0; i < whole; i++)
        words[i] = load_word(bytes + len - 8 * (i + 1));
    for (size_t i = whole; i < WORDS && i < used; i++)
        words[i] = 0;
    for (size_t i = 8 * whole; i < len; i++)
        words[whole] |= (uint64_t)bytes[len - 1 - i] << (8 * (i % 8));
    for (unsigned i = 0; i < digits; i++) {
        const unsigned at = i * KC_EC_DIGIT, shift = at % 64;
        /* shifts by 64 are undefined: two steps */
        const uint64_t high = words[at / 64 + 1] << 1 << (63 - shift);
        rows[i][lane] = (words[at / 64] >> shift | high) & KC_EC_MASK;
    }
}

void kc_ec_digits_out(uint8_t *bytes, size_t len, uint64_t (*rows)[KC_EC_LANES], unsigned digits,
                      unsigned lane)
{
    uint64_t words[WORDS] = {0};
    for (unsigned i = 0; i < digits; i++) {
        const unsigned at = i * KC_EC_DIGIT, shift = at % 64;
        const uint64_t digit = rows[i][lane];
        words[at / 64] |= digit << shift;
        words[at / 64 + 1] |= digit >> 1 >> (63 - shift);
    }
    const size_t whole = len / 8;
    for (size_t i = 0; i < whole; i++) {
        const uint64_t word = __builtin_bswap64(words[i]);
        memcpy(bytes + len - 8 * (i + 1), &word, sizeof word);
    }
    for (size_t i = 8 * whole; i < len; i++)
        bytes[len - 1 - i] = (uint8_t)(words[whole] >> (8 * (i % 8)));
}

/* Twice what the deepest chain of functions here takes. */
#define STACK_BYTES (16 * 1024)

__attribute__((noinline)) void kc_ec_burn_stack(void)
{
    uint8_t room[STACK_BYTES] __attribute__((uninitialized));
    kw_wipe(room, sizeof room);
}

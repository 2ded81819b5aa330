#pragma once
/* Between numbers as the world writes them and slices (crypto/rsa/tile.h): the way in and out of
 * the lanes. All of it is free of branches and addresses that depend on data. */

#include <stddef.h>
#include <stdint.h>

#include "crypto/rsa/rsa_x8.h"
#include "crypto/rsa/tile.h"

/** Digits of the longest number, a 4096-bit modulus: also the digits of every buffer on the way. */
#define KC_MAX_DIGITS 80

/** Digits rounded up to whole 8 by 8 transpositions: room that arrays of `count` digits need. */
#define KC_DIGITS_ROOM(count) (((count) + 7) / 8 * 8)

/** Splits a big-endian number into `digits` 52-bit digits, least significant first, and zeroes the
 *  rest of KC_DIGITS_ROOM(digits). `len` <= 512 and 8 * len <= 52 * digits. */
void kc_digits_from_bytes(uint64_t *out, size_t digits, const uint8_t *bytes, size_t len);

/** Writes the low `len` bytes (a multiple of 8) of a number of `digits` digits below 2^52. */
void kc_digits_to_bytes(uint8_t *bytes, size_t len, const uint64_t *digits_in, size_t digits);

/** Eight arrays of `count` words to `count` slices. Arrays and slices have room for, and are read
 *  or written up to, `count` rounded up to eight; arrays are 64-byte aligned. */
void kc_slices_from_words(__m512i *out, const uint64_t *const lane[KC_RSA_LANES], size_t count);

/** The way back. */
void kc_slices_to_words(uint64_t *const lane[KC_RSA_LANES], const __m512i *in, size_t count);

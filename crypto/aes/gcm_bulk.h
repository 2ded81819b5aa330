#pragma once
/* The long part of a long message: groups of 512 bytes whose GHASH rides along with the AES rounds.
 */

#include "crypto/aes/gcm.h"
#include "crypto/aes/target.h"

#define KC_GCM_BULK 512

#if KC_HAVE_VAES
/** Encrypts or decrypts the whole groups of `m`, continuing `hash` (reflected, crypto/aes/ghash.h)
 * over their ciphertext. Returns how many bytes that were: a multiple of KC_GCM_BULK. */
KC_VAES size_t kc_gcm_bulk(const struct kc_gcm_message *m, int decrypt, __m128i *hash);
#endif

#pragma once
/* The long part of a long message: groups of 512 bytes whose AES takes a GHASH along.
 */

#include "crypto/aes/gcm.h"
#include "crypto/aes/target.h"

#define KC_GCM_BULK 512

#if KC_HAVE_VAES

/** A group of ciphertext that is written and not hashed yet. */
struct kc_gcm_pending {
    const struct kc_aes_schedule *key;
    const uint8_t *data; /* NULL: none */
    __m128i *hash;
};

/** Encrypts or decrypts the whole groups of `m`, continuing `hash` (reflected, crypto/aes/ghash.h)
 * over their ciphertext. Encryption leaves the last group to `pending`, for the next message's AES
 * to take along; `hash` has to live until then. `mask` gets the block that masks the tag. Returns
 * how many bytes were done: a multiple of KC_GCM_BULK, and not 0. */
KC_VAES size_t kc_gcm_bulk(const struct kc_gcm_message *m, int decrypt, __m128i *hash,
                           __m128i *mask, struct kc_gcm_pending *pending);

/** Hashes what is left. */
KC_VAES void kc_gcm_bulk_end(struct kc_gcm_pending *pending);
#endif

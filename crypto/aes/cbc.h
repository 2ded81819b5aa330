#pragma once
/* AES-CBC (NIST SP 800-38A), many messages at once; padding is the caller's. */

#include "crypto/aes/lanes32.h"

/** One message of whole blocks. The caller has checked that len % 16 == 0, len > 0, iv has 16 bytes
 *  and out has room for `len`. Encryption: `in` and `out` do not overlap, or are the same. */
struct kc_cbc_message {
    const struct kc_aes_schedule *key;
    const uint8_t *iv;
    const uint8_t *in;
    size_t len;
    /* bytes that stand in for the last block of `in` (a padded one), or NULL */
    const uint8_t *last_block;
    uint8_t *out;
};

#define KC_CBC_RUN 4 /* blocks of each lane that are brought in and out at once: a cache line */

/** Each lane's place in its message. Inside a run of steps every busy lane moves on by one block a
 * step; an idle one reads and writes the same spare room. */
struct kc_cbc_lanes {
    _Alignas(64) uint64_t in[KC_AES_LANES], out[KC_AES_LANES]; /* addresses */
    uint64_t moves[KC_AES_LANES];                              /* all ones, or 0 for an idle lane */
    uint64_t left[KC_AES_LANES]; /* blocks until the lane has to be looked at; most when idle */
    uint8_t chain[KC_AES_VECTORS][64];                /* iv, then the last ciphertext block */
    uint8_t block[2][KC_CBC_RUN][KC_AES_VECTORS][64]; /* of this run; of the ones beside it */
    const struct kc_aes_schedule *key[KC_AES_LANES];
    const uint8_t *last_block[KC_AES_LANES]; /* still to come, or NULL */
    unsigned rounds;
    uint8_t spare[16 * KC_CBC_RUN];
};

/** Working room; secret, wiped before kc_cbc_encrypt returns. */
struct kc_cbc_scratch {
    struct kc_aes_lane_keys keys;
    struct kc_cbc_lanes lanes;
};

/** Encrypts `n` messages, any mix of keys and lengths: each lane works through one message and
 * takes the next when it is done. */
void kc_cbc_encrypt(struct kc_cbc_message *messages, size_t n, struct kc_cbc_scratch *scratch);

/** Decrypts `n` messages; blocks of one message are independent and fill the lanes by themselves.
 *  `out` must not overlap `in`. */
void kc_cbc_decrypt(struct kc_cbc_message *messages, size_t n);

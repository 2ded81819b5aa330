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

/* Sixteen lanes: four vectors are as many as the AES unit's latency, and leave registers for a
 * third of their round keys. */
#define KC_CBC_VECTORS 4
#define KC_CBC_LANES   (4 * KC_CBC_VECTORS)

#define KC_CBC_RUN 4 /* blocks of each lane that are brought in and out at once: a cache line */

/** Each lane's place in its message. Inside a run of steps every busy lane moves on by one block a
 * step; an idle one reads and writes the same spare room. */
struct kc_cbc_lanes {
    _Alignas(64) uint64_t in[KC_CBC_LANES], out[KC_CBC_LANES]; /* addresses */
    uint64_t moves[KC_CBC_LANES];                              /* all ones, or 0 for an idle lane */
    uint64_t left[KC_CBC_LANES]; /* blocks until the lane has to be looked at; most when idle */
    uint8_t chain[KC_CBC_VECTORS][64];                /* iv, then the last ciphertext block */
    uint8_t block[2][KC_CBC_RUN][KC_CBC_VECTORS][64]; /* of this run; of the ones beside it */
    const struct kc_aes_schedule *key[KC_CBC_LANES];
    const uint8_t *last_block[KC_CBC_LANES]; /* still to come, or NULL */
    unsigned rounds;
    uint8_t spare[16 * KC_CBC_RUN];
};

/** Working room; secret, wiped before kc_cbc_encrypt returns. */
struct kc_cbc_scratch {
    _Alignas(64) uint8_t keys[KC_AES_MAX_ROUND_KEYS][KC_CBC_VECTORS][64]; /* of all lanes */
    struct kc_cbc_lanes lanes;
};

/** Encrypts `n` messages, any mix of keys and lengths: each lane works through one message and
 * takes the next when it is done. */
void kc_cbc_encrypt(struct kc_cbc_message *messages, size_t n, struct kc_cbc_scratch *scratch);

/** Decrypts `n` messages; blocks of one message are independent and fill the lanes by themselves.
 *  `out` must not overlap `in`. */
void kc_cbc_decrypt(struct kc_cbc_message *messages, size_t n);

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

struct kc_cbc_scratch {
    struct kc_aes_lane_keys keys;
};

/** Encrypts `n` messages, any mix of keys and lengths: each lane works through one message and
 * takes the next when it is done. */
void kc_cbc_encrypt(struct kc_cbc_message *messages, size_t n, struct kc_cbc_scratch *scratch);

/** Decrypts `n` messages; blocks of one message are independent and fill the lanes by themselves.
 *  `out` must not overlap `in`. */
void kc_cbc_decrypt(struct kc_cbc_message *messages, size_t n);

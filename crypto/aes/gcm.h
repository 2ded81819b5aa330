#pragma once
/* AES-GCM (NIST SP 800-38D), many messages at once: 96-bit iv, 128-bit tag. */

#include "crypto/aes/schedule.h"

/** One message. The caller has checked that iv has 12 bytes and out has room for `len`. `in` and
 * `out` may be the same buffer. */
struct kc_gcm_message {
    const struct kc_aes_schedule *key;
    const uint8_t *iv;
    const uint8_t *aad;
    size_t aad_len;
    const uint8_t *in;
    size_t len;
    uint8_t *out;
    uint8_t tag[16]; /* set on encrypt; on decrypt the tag that came with the message */
    uint8_t ok;      /* set: 1, or 0 when the tag did not verify; then out is wiped */
};

/** Encrypts or decrypts `n` messages, any mix of keys and lengths. The CTR stream of all messages
 * is cut into 64-byte chunks, eight of which fill the AES unit, whatever message they belong to. */
void kc_gcm_run(struct kc_gcm_message *messages, size_t n, int decrypt);

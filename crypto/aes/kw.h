#pragma once
/* AES key wrap, RFC 3394 and RFC 5649 (NIST SP 800-38F KW and KWP), up to 32 messages at once. */

#include "crypto/aes/lanes32.h"

#define KC_KW_MAX_INPUT                                                                            \
    2560 /* bytes of one message: a wrapped RSA-4096 key; longer ones go alone */

/** One message. For a wrap `in` holds the key bytes and `out` gets the wrapped ones; for an unwrap
 * the other way round. The caller has checked lengths and room: KW   wrap: len % 8 == 0, 16 <= len;
 * out len + 8        unwrap: len % 8 == 0, 24 <= len; out len - 8 KWP  wrap: 1 <= len; out len
 * rounded up to 8, plus 8   unwrap: len % 8 == 0, 16 <= len; out len - 8 */
struct kc_kw_message {
    const struct kc_aes_schedule *key;
    const uint8_t *in;
    size_t len;
    uint8_t *out;
    size_t out_len; /* set: bytes at out */
    uint8_t ok;     /* set on unwrap: 1 when the integrity check passed, else out is wiped */
};

/** A message that waits for its group: messages of one `sort` share the lanes. */
struct kc_kw_turn {
    uint16_t index;
    uint16_t sort;
};

/** Working room; secret, wiped by the functions below before they return. */
struct kc_kw_scratch {
    struct kc_aes_lane_keys keys;
    /* lower half of each lane: the integrity register A */
    _Alignas(64) uint8_t a[KC_AES_VECTORS][64];
    /* the register R, two semiblocks a lane and row */
    _Alignas(64) uint8_t r[KC_KW_MAX_INPUT / 16][KC_AES_VECTORS][64];
};

/** Wraps or unwraps `n` messages (at most 65,536), any mix of keys and lengths; messages of like
 * length run together. `turns` is room for n. No allocation, no branch or address that depends on
 * key bytes. */
void kc_kw_run(struct kc_kw_message *messages, size_t n, int padded, int unwrap,
               struct kc_kw_turn *turns, struct kc_kw_scratch *scratch);

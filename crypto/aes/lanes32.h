#pragma once
/* Thirty-two messages at once, each with its own key: the state of message m is lane m % 4 of
 * vector m / 4. AES in a chain (key wrap, CBC encryption) is bound by latency for one message;
 * eight vectors keep the AES unit busy every cycle. */

#include <stdint.h>
#include <string.h>

#include "crypto/aes/schedule.h"
#include "crypto/aes/target.h"

#define KC_AES_VECTORS 8
#define KC_AES_LANES   (4 * KC_AES_VECTORS)

/** Round keys of all lanes, transposed: entry [round][vector] holds four keys' round key. Secret:
 * it lives in a thread's scratch and is wiped after each batch. */
struct kc_aes_lane_keys {
    _Alignas(64) uint8_t key[KC_AES_MAX_ROUND_KEYS][KC_AES_VECTORS][64];
};

/** Puts the round keys of `schedule` into a lane. `decrypt` picks the inverse cipher's. */
static inline void kc_aes_lane_set(struct kc_aes_lane_keys *keys, unsigned lane,
                                   const struct kc_aes_schedule *schedule, int decrypt)
{
    const uint8_t(*from)[16] = decrypt ? schedule->dec : schedule->enc;
    for (unsigned round = 0; round <= schedule->rounds; round++)
        memcpy(keys->key[round][lane / 4] + 16 * (lane % 4), from[round], 16);
}

#if KC_HAVE_VAES

/** One AES block in each lane of `vectors` vectors; the loop over vectors is unrolled by the
 * caller's constant. */
KC_VAES_INLINE void kc_aes_lanes_encrypt(__m512i *state, const struct kc_aes_lane_keys *keys,
                                         unsigned rounds, unsigned vectors)
{
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
        _mm512_xor_si512(state[v], _mm512_load_si512(keys->key[0][v]));
    for (unsigned round = 1; round < rounds; round++)
        KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
            _mm512_aesenc_epi128(state[v], _mm512_load_si512(keys->key[round][v]));
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
        _mm512_aesenclast_epi128(state[v], _mm512_load_si512(keys->key[rounds][v]));
}

KC_VAES_INLINE void kc_aes_lanes_decrypt(__m512i *state, const struct kc_aes_lane_keys *keys,
                                         unsigned rounds, unsigned vectors)
{
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
        _mm512_xor_si512(state[v], _mm512_load_si512(keys->key[0][v]));
    for (unsigned round = 1; round < rounds; round++)
        KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
            _mm512_aesdec_epi128(state[v], _mm512_load_si512(keys->key[round][v]));
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
        _mm512_aesdeclast_epi128(state[v], _mm512_load_si512(keys->key[rounds][v]));
}

#endif

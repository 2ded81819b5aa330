#pragma once
/* Thirty-two messages at once, each with its own key: the state of message m is lane m % 4 of
 * vector m / 4. AES in a chain (key wrap) is bound by latency for one message;
 * eight vectors keep the AES unit busy every cycle. */

#include <stdint.h>

#include "crypto/aes/schedule.h"
#include "crypto/aes/target.h"

#define KC_AES_VECTORS 8
#define KC_AES_LANES   (4 * KC_AES_VECTORS)

/** Round keys of all lanes, transposed: entry [round][vector] holds four keys' round key. Secret:
 * it lives in a thread's scratch and is wiped after each batch. */
struct kc_aes_lane_keys {
    _Alignas(64) uint8_t key[KC_AES_MAX_ROUND_KEYS][KC_AES_VECTORS][64];
};

#if KC_HAVE_VAES

/** Four blocks, one from each address. Masked broadcasts and not inserts: an insert takes the port
 * of the AES unit. */
KC_VAES_INLINE __m512i kc_aes_gather4(const void *a, const void *b, const void *c, const void *d)
{
    __m512i v = _mm512_broadcast_i32x4(_mm_loadu_si128(a));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128(b));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128(c));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128(d));
}

/** Puts the round keys of four schedules of like size into vectors `stride` bytes apart. `decrypt`
 * picks the inverse cipher's. */
KC_VAES_INLINE void kc_aes_gather_keys(uint8_t *to, size_t stride,
                                       const struct kc_aes_schedule *const *four, int decrypt)
{
    const uint8_t(*from[4])[16];
    for (unsigned i = 0; i < 4; i++)
        from[i] = decrypt ? four[i]->more->dec : four[i]->enc;
    for (unsigned round = 0; round <= four[0]->rounds; round++)
        _mm512_store_si512(to + stride * round, kc_aes_gather4(from[0][round], from[1][round],
                                                               from[2][round], from[3][round]));
}

/** Puts the round keys of four schedules of like size into vector `v`. */
KC_VAES_INLINE void kc_aes_lanes_set(struct kc_aes_lane_keys *keys, unsigned v,
                                     const struct kc_aes_schedule *const *four, int decrypt)
{
    kc_aes_gather_keys(keys->key[0][v], sizeof keys->key[0], four, decrypt);
}

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

#include "crypto/aes/gcm_bulk.h"

#include "crypto/aes/ghash.h"

#if KC_HAVE_VAES

#define VECTORS 8

struct sums {
    __m512i lo, mid, hi;
};

/* One vector of four blocks into the sums of products. */
KC_VAES_INLINE void absorb(struct sums *sums, const struct kc_aes_schedule *key,
                           const uint8_t *data, unsigned v, __m128i state)
{
    __m512i x = kc_ghash_swap512(_mm512_loadu_si512(data + 64 * v));
    __m512i h = _mm512_loadu_si512(key->more->powers[4 * v]);
    if (v == 0)
        x = _mm512_xor_si512(x, _mm512_zextsi128_si512(state));
    sums->lo = _mm512_xor_si512(sums->lo, _mm512_clmulepi64_epi128(x, h, 0x00));
    sums->hi = _mm512_xor_si512(sums->hi, _mm512_clmulepi64_epi128(x, h, 0x11));
    sums->mid = _mm512_ternarylogic_epi64(sums->mid, _mm512_clmulepi64_epi128(x, h, 0x01),
                                          _mm512_clmulepi64_epi128(x, h, 0x10), 0x96);
}

KC_VAES_INLINE __m512i round_key(const struct kc_aes_schedule *key, unsigned round)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)key->enc[round]));
}

/* 512 bytes of CTR; with `hashed` also GHASH of 512 bytes there, one vector behind each of the
 * first eight rounds: both use the same two units, and each fills the other's waits. */
KC_VAES_INLINE void group(const struct kc_gcm_message *m, size_t at, __m512i *counter,
                          const uint8_t *hashed, __m128i *hash)
{
    const __m512i swaps =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const __m512i four = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
    const struct kc_aes_schedule *key = m->key;
    struct sums sums = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i s[VECTORS], k = round_key(key, 0);
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)
    {
        s[v] = _mm512_xor_si512(_mm512_shuffle_epi8(*counter, swaps), k);
        *counter = _mm512_add_epi32(*counter, four);
    }
    KC_UNROLL for (unsigned round = 1; round <= VECTORS; round++)
    {
        k = round_key(key, round);
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) s[v] = _mm512_aesenc_epi128(s[v], k);
        if (hashed)
            absorb(&sums, key, hashed, round - 1, *hash);
    }
    for (unsigned round = VECTORS + 1; round < key->rounds; round++) {
        k = round_key(key, round);
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) s[v] = _mm512_aesenc_epi128(s[v], k);
    }
    k = round_key(key, key->rounds);
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)
    {
        /* the data goes into the last round's key: one xor for both */
        __m512i data = _mm512_xor_si512(_mm512_loadu_si512(m->in + at + 64 * v), k);
        _mm512_storeu_si512(m->out + at + 64 * v, _mm512_aesenclast_epi128(s[v], data));
    }
    if (hashed)
        *hash =
            kc_ghash_reduce(kc_xor_lanes(sums.lo), kc_xor_lanes(sums.mid), kc_xor_lanes(sums.hi));
}

KC_VAES size_t kc_gcm_bulk(const struct kc_gcm_message *m, int decrypt, __m128i *hash)
{
    const __m512i swaps =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const __m512i first = _mm512_set_epi32(5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0);
    __m512i counter = _mm512_add_epi32(
        _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_maskz_loadu_epi8(0x0fff, m->iv)), swaps),
        first);
    size_t end = m->len & ~(size_t)(KC_GCM_BULK - 1);
    if (decrypt) {
        for (size_t at = 0; at < end; at += KC_GCM_BULK)
            group(m, at, &counter, m->in + at, hash);
        return end;
    }
    group(m, 0, &counter, NULL, hash);
    for (size_t at = KC_GCM_BULK; at < end; at += KC_GCM_BULK)
        group(m, at, &counter, m->out + at - KC_GCM_BULK, hash);
    *hash = kc_ghash_blocks(m->key, *hash, m->out + end - KC_GCM_BULK, KC_GHASH_POWERS);
    return end;
}

#endif

#include "crypto/aes/gcm_bulk.h"

#include "crypto/aes/ghash.h"

#if KC_HAVE_VAES

#define VECTORS 8

KC_VAES_INLINE __m512i round_key(const struct kc_aes_schedule *key, unsigned round)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)key->enc[round]));
}

KC_VAES_INLINE __m512i counter_swaps(void)
{
    return _mm512_broadcast_i32x4(
        _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}

/* One vector of what waits to be hashed. */
KC_VAES_INLINE void hash_vector(struct kc_ghash_sums *sums, const struct kc_gcm_pending *p,
                                unsigned v)
{
    __m512i x = kc_ghash_swap512(_mm512_loadu_si512(p->data + 64 * v));
    if (v == 0)
        x = _mm512_xor_si512(x, _mm512_zextsi128_si512(*p->hash));
    kc_ghash_absorb(sums, x, kc_ghash_powers(p->key, KC_GHASH_POWERS - 4 * v));
}

/* 512 bytes of CTR; with `hashed` also GHASH of 512 bytes there, one vector behind each of the
 * first eight rounds: both use the same two units, and each fills the other's waits. With `mask`
 * one block more goes along. */
KC_VAES_INLINE void group(const struct kc_gcm_message *m, size_t at, __m512i *counter,
                          const struct kc_gcm_pending *hashed, __m128i *mask)
{
    const __m512i four = _mm512_set_epi32(4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0);
    const struct kc_aes_schedule *key = m->key;
    const uint8_t *in = m->in + at;
    uint8_t *out = m->out + at;
    struct kc_ghash_sums sums = kc_ghash_zero();
    __m512i s[VECTORS], k = round_key(key, 0);
    __m128i t = mask ? _mm_xor_si128(*mask, _mm512_castsi512_si128(k)) : _mm_setzero_si128();
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)
    {
        s[v] = _mm512_xor_si512(_mm512_shuffle_epi8(*counter, counter_swaps()), k);
        *counter = _mm512_add_epi32(*counter, four);
    }
    KC_UNROLL for (unsigned round = 1; round <= VECTORS; round++)
    {
        k = round_key(key, round);
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) s[v] = _mm512_aesenc_epi128(s[v], k);
        if (mask)
            t = _mm_aesenc_si128(t, _mm512_castsi512_si128(k));
        if (hashed)
            hash_vector(&sums, hashed, round - 1);
    }
    for (unsigned round = VECTORS + 1; round < key->rounds; round++) {
        k = round_key(key, round);
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) s[v] = _mm512_aesenc_epi128(s[v], k);
        if (mask)
            t = _mm_aesenc_si128(t, _mm512_castsi512_si128(k));
    }
    k = round_key(key, key->rounds);
    if (mask)
        *mask = _mm_aesenclast_si128(t, _mm512_castsi512_si128(k));
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)
    {
        /* the data goes into the last round's key: one xor for both */
        __m512i data = _mm512_xor_si512(_mm512_loadu_si512(in + 64 * v), k);
        _mm512_storeu_si512(out + 64 * v, _mm512_aesenclast_epi128(s[v], data));
    }
    if (hashed)
        *hashed->hash = kc_ghash_finish(&sums);
}

KC_VAES size_t kc_gcm_bulk(const struct kc_gcm_message *m, int decrypt, __m128i *hash,
                           __m128i *mask, struct kc_gcm_pending *pending)
{
    const __m512i first = _mm512_set_epi32(5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0);
    __m512i counter = _mm512_broadcast_i32x4(_mm_maskz_loadu_epi8(0x0fff, m->iv));
    *mask = _mm_insert_epi32(_mm512_castsi512_si128(counter), 1 << 24, 3); /* block number 1 */
    counter = _mm512_add_epi32(_mm512_shuffle_epi8(counter, counter_swaps()), first);
    size_t end = m->len & ~(size_t)(KC_GCM_BULK - 1);
    for (size_t at = 0; at < end; at += KC_GCM_BULK) {
        struct kc_gcm_pending own = {m->key, (decrypt ? m->in : m->out) + at, hash};
        if (decrypt)
            *pending = own;
        if (at > 0)
            group(m, at, &counter, pending, NULL);
        else if (pending->data)
            group(m, at, &counter, pending, mask);
        else
            group(m, at, &counter, NULL, mask);
        *pending = own;
    }
    if (decrypt)
        pending->data = NULL;
    return end;
}

KC_VAES void kc_gcm_bulk_end(struct kc_gcm_pending *pending)
{
    if (!pending->data)
        return;
    *pending->hash = kc_ghash_bytes(pending->key, *pending->hash, pending->data, KC_GCM_BULK);
    pending->data = NULL;
}

#endif

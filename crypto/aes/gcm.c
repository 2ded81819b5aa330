#include "crypto/aes/gcm.h"

#include <string.h>

#include "crypto/aes/gcm_bulk.h"
#include "crypto/aes/ghash.h"
#include "crypto/aes/target.h"
#include "crypto/base/secret.h"

#if KC_HAVE_VAES

#define WIDTH 8 /* chunks in flight; also messages of one round */

/* 64 bytes of one message's CTR stream. The first chunk's first block is E(J0), which masks the
 * tag; its data begins 16 bytes into the chunk. */
struct chunk {
    const struct kc_aes_schedule *key;
    __mmask64 mask; /* data bytes of the chunk */
    const uint8_t *in;
    uint8_t *out;
    uint8_t *tag_mask; /* first chunk: where E(J0) goes; else NULL */
    __m128i counter;   /* first block's, big-endian as it is encrypted */
};

KC_VAES_INLINE __m512i counters(__m128i first)
{
    /* 32-bit big-endian counter in the last word: swap, add 0..3, swap back */
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i swaps = _mm512_broadcast_i32x4(swap);
    const __m512i add = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    __m512i c = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(first), swaps);
    return _mm512_shuffle_epi8(_mm512_add_epi32(c, add), swaps);
}

KC_VAES_INLINE __m512i round_key(const struct kc_aes_schedule *key, unsigned round)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)key->enc[round]));
}

/* All chunks of a call have the same number of rounds. */
KC_VAES static void run_chunks(const struct chunk *chunks, unsigned rounds)
{
    __m512i s[WIDTH];
    KC_UNROLL for (unsigned c = 0; c < WIDTH; c++) s[c] =
        _mm512_xor_si512(counters(chunks[c].counter), round_key(chunks[c].key, 0));
    for (unsigned round = 1; round < rounds; round++)
        KC_UNROLL for (unsigned c = 0; c < WIDTH; c++) s[c] =
            _mm512_aesenc_epi128(s[c], round_key(chunks[c].key, round));
    KC_UNROLL for (unsigned c = 0; c < WIDTH; c++) s[c] =
        _mm512_aesenclast_epi128(s[c], round_key(chunks[c].key, rounds));
    KC_UNROLL for (unsigned c = 0; c < WIDTH; c++)
    {
        __m512i data = _mm512_maskz_loadu_epi8(chunks[c].mask, chunks[c].in);
        _mm512_mask_storeu_epi8(chunks[c].out, chunks[c].mask, _mm512_xor_si512(data, s[c]));
        if (chunks[c].tag_mask)
            _mm_storeu_si128((__m128i *)chunks[c].tag_mask, _mm512_castsi512_si128(s[c]));
    }
}

/* Gathers chunks until WIDTH are there; `idle` lanes repeat a chunk with no data. */
struct stream {
    struct chunk chunks[WIDTH];
    unsigned count, rounds;
};

KC_VAES_INLINE void stream_flush(struct stream *stream)
{
    if (stream->count == 0)
        return;
    for (unsigned c = stream->count; c < WIDTH; c++) {
        stream->chunks[c] = stream->chunks[0];
        stream->chunks[c].mask = 0;
        stream->chunks[c].tag_mask = NULL;
    }
    run_chunks(stream->chunks, stream->rounds);
    stream->count = 0;
}

KC_VAES_INLINE struct chunk *stream_next(struct stream *stream, unsigned rounds)
{
    if (stream->count == WIDTH || (stream->count > 0 && stream->rounds != rounds))
        stream_flush(stream);
    stream->rounds = rounds;
    return &stream->chunks[stream->count++];
}

static __mmask64 low_bits(size_t n)
{
    return n >= 64 ? ~0ULL : (1ULL << n) - 1;
}

/* What the bulk path did of a message before the chunks: bytes, and GHASH up to there. */
struct progress {
    size_t done;
    __m128i hash;
};

KC_VAES static void add_message(struct stream *stream, const struct kc_gcm_message *m,
                                uint8_t *tag_mask, size_t skip)
{
    __m128i j0 =
        _mm_insert_epi32(_mm_maskz_loadu_epi8(0x0fff, m->iv), (int)__builtin_bswap32(1), 3);
    const __m128i last = _mm_set_epi32(-1, 0, 0, 0);
    struct chunk *c = stream_next(stream, m->key->rounds);
    size_t head = skip > 0 ? 0 : m->len < 48 ? m->len : 48;
    /* masked-off bytes are never touched, so a pointer before the buffer is only an address */
    *c = (struct chunk){m->key,
                        low_bits(head) << 16,
                        (const uint8_t *)((uintptr_t)m->in - 16),
                        (uint8_t *)((uintptr_t)m->out - 16),
                        tag_mask,
                        j0};
    size_t done = skip > 0 ? skip : head;
    uint32_t counter = (uint32_t)(done / 16) + 2;
    for (; done < m->len; done += 64, counter += 4) {
        c = stream_next(stream, m->key->rounds);
        __m128i count = _mm_set1_epi32((int)__builtin_bswap32(counter));
        *c = (struct chunk){m->key,       low_bits(m->len - done),
                            m->in + done, m->out + done,
                            NULL,         _mm_ternarylogic_epi32(last, count, j0, 0xca)};
    }
}

#define BUFFER_BLOCKS 32

/* `len` bytes to a buffer, zero-padded to whole vectors. */
KC_VAES_INLINE void copy_padded(uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len; i += 64)
        _mm512_storeu_si512(to + i, _mm512_maskz_loadu_epi8(low_bits(len - i), from + i));
}

/* Whole blocks straight from the data, a last partial block through a zeroed buffer. */
KC_VAES_INLINE __m128i ghash_data(const struct kc_aes_schedule *key, __m128i state,
                                  const uint8_t *data, size_t len)
{
    for (; len >= 16 * KC_GHASH_POWERS; len -= 16 * KC_GHASH_POWERS) {
        state = kc_ghash_blocks(key, state, data, KC_GHASH_POWERS);
        data += 16 * KC_GHASH_POWERS;
    }
    if (len == 0)
        return state;
    uint8_t block[16 * BUFFER_BLOCKS];
    copy_padded(block, data, len);
    return kc_ghash_blocks(key, state, block, (len + 15) / 16);
}

/* GHASH over aad, what is left of the ciphertext, and the lengths. Short messages take one pass and
 * one reduction. */
KC_VAES static __m128i authenticate(const struct kc_gcm_message *m, const uint8_t *cipher,
                                    const struct progress *progress)
{
    uint8_t block[16 * BUFFER_BLOCKS];
    uint64_t lengths[2] = {__builtin_bswap64((uint64_t)m->aad_len * 8),
                           __builtin_bswap64((uint64_t)m->len * 8)};
    size_t left = m->len - progress->done;
    size_t aad_len = progress->done > 0 ? 0 : m->aad_len; /* the bulk path took the aad */
    size_t aad_blocks = (aad_len + 15) / 16, blocks = (left + 15) / 16;
    __m128i state = progress->hash;
    cipher += progress->done;
    if (aad_blocks + blocks > BUFFER_BLOCKS - 4) { /* room for whole vectors behind the end */
        state = ghash_data(m->key, state, m->aad, aad_len);
        state = ghash_data(m->key, state, cipher, left);
        aad_blocks = blocks = 0;
    } else {
        copy_padded(block, m->aad, aad_len);
        copy_padded(block + 16 * aad_blocks, cipher, left);
    }
    memcpy(block + 16 * (aad_blocks + blocks), lengths, 16);
    return kc_ghash_blocks(m->key, state, block, aad_blocks + blocks + 1);
}

KC_VAES static void finish(struct kc_gcm_message *m, __m128i hash, const uint8_t *tag_mask,
                           int decrypt)
{
    __m128i tag = _mm_xor_si128(kc_ghash_swap128(hash), _mm_loadu_si128((const __m128i *)tag_mask));
    m->ok = 1;
    if (!decrypt) {
        _mm_storeu_si128((__m128i *)m->tag, tag);
        return;
    }
    uint8_t computed[16];
    _mm_storeu_si128((__m128i *)computed, tag);
    m->ok = (uint8_t)kw_ct_equal(computed, m->tag, sizeof computed);
    kw_wipe(computed, sizeof computed);
    if (!m->ok)
        kw_wipe(m->out, m->len);
}

/* The start of the next long message and its key, while this one is worked on: each message begins
 * in memory that the processor's own prefetcher has not seen. */
KC_VAES_INLINE void fetch_ahead(const struct kc_gcm_message *m)
{
    if (m->len < KC_GCM_BULK)
        return;
    for (size_t at = 0; at < KC_GCM_BULK; at += 64) {
        _mm_prefetch((const char *)m->in + at, _MM_HINT_T0);
        __builtin_prefetch(m->out + at, 1);
        _mm_prefetch((const char *)m->key->more->powers + at, _MM_HINT_T0);
    }
}

KC_VAES void kc_gcm_run(struct kc_gcm_message *messages, size_t n, int decrypt)
{
    struct stream stream = {.count = 0};
    uint8_t tag_masks[WIDTH][16];
    for (size_t first = 0; first < n; first += WIDTH) {
        size_t count = n - first < WIDTH ? n - first : WIDTH;
        __m128i hashes[WIDTH];
        struct progress progress[WIDTH];
        for (size_t i = 0; i < count; i++) {
            struct kc_gcm_message *m = &messages[first + i];
            if (first + i + 1 < n)
                fetch_ahead(&messages[first + i + 1]);
            progress[i] = (struct progress){0, _mm_setzero_si128()};
            if (m->len >= KC_GCM_BULK) {
                progress[i].hash = ghash_data(m->key, progress[i].hash, m->aad, m->aad_len);
                progress[i].done = kc_gcm_bulk(m, decrypt, &progress[i].hash);
            }
            /* the ciphertext is hashed before it is overwritten in place, or after it is made */
            if (decrypt)
                hashes[i] = authenticate(m, m->in, &progress[i]);
        }
        for (size_t i = 0; i < count; i++)
            add_message(&stream, &messages[first + i], tag_masks[i], progress[i].done);
        stream_flush(&stream);
        for (size_t i = 0; !decrypt && i < count; i++)
            hashes[i] = authenticate(&messages[first + i], messages[first + i].out, &progress[i]);
        for (size_t i = 0; i < count; i++)
            finish(&messages[first + i], hashes[i], tag_masks[i], decrypt);
    }
    kw_wipe(tag_masks, sizeof tag_masks);
}

#else

void kc_gcm_run(struct kc_gcm_message *messages, size_t n, int decrypt)
{
    (void)decrypt;
    for (size_t i = 0; i < n; i++)
        messages[i].ok = 0;
}

#endif

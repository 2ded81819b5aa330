#include "crypto/aes/gcm.h"

#include <string.h>

#include "crypto/aes/gcm_bulk.h"
#include "crypto/aes/ghash.h"
#include "crypto/aes/lanes32.h"
#include "crypto/aes/target.h"
#include "crypto/base/secret.h"

#if KC_HAVE_VAES

/* A message has up to three parts: whole groups of 512 bytes (gcm_bulk.c), a middle of whole
 * blocks, and a tail of up to 48 bytes. The tail's three counter blocks and the one that masks the
 * tag are one vector; so are the tail's three blocks and the lengths under GHASH. Eight messages'
 * tails are worked on together. Most messages are nothing but a tail; eight that are nothing but
 * whole groups have only their lengths left, as the block that masks the tag went along. */

#define WIDTH 8  /* messages of one round; also chunks in flight */
#define TAIL  48 /* most bytes of a tail */

/* What came before a message's tail. */
struct progress {
    size_t done;  /* bytes */
    __m128i hash; /* GHASH up to there */
    __m128i mask; /* the block that masks the tag, of a message that has a bulk */
    size_t aad;   /* bytes of aad that are not in the hash yet: with the tail, at most 64 */
};

KC_VAES_INLINE __m512i round_key(const struct kc_aes_schedule *key, unsigned round)
{
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)key->enc[round]));
}

/* AES in eight vectors, each with a key of its own of like size. */
KC_VAES_INLINE void encrypt8(__m512i *s, const struct kc_aes_schedule *const *keys, unsigned rounds)
{
    KC_UNROLL for (unsigned i = 0; i < WIDTH; i++) s[i] =
        _mm512_xor_si512(s[i], round_key(keys[i], 0));
    for (unsigned round = 1; round < rounds; round++)
        KC_UNROLL for (unsigned i = 0; i < WIDTH; i++) s[i] =
            _mm512_aesenc_epi128(s[i], round_key(keys[i], round));
    KC_UNROLL for (unsigned i = 0; i < WIDTH; i++) s[i] =
        _mm512_aesenclast_epi128(s[i], round_key(keys[i], rounds));
}

/* Counter blocks of a message: iv, then `numbers` as 32-bit big-endian words. */
KC_VAES_INLINE __m512i counters(const struct kc_gcm_message *m, __m512i numbers)
{
    const __m512i swaps = _mm512_set1_epi32(0x0c0d0e0f);
    __m512i iv = _mm512_broadcast_i32x4(_mm_maskz_loadu_epi8(0x0fff, m->iv));
    return _mm512_mask_shuffle_epi8(iv, 0xf000f000f000f000, numbers, swaps);
}

/* --- the middle
 * -----------------------------------------------------------------------------------
 */

/* 64 bytes of one message's CTR stream. */
struct chunk {
    const struct kc_gcm_message *message;
    size_t at;
    __mmask64 mask; /* data bytes of the chunk */
};

struct stream {
    struct chunk chunks[WIDTH];
    unsigned count, rounds;
};

KC_VAES static void stream_flush(struct stream *stream)
{
    __m512i s[WIDTH];
    const struct kc_aes_schedule *keys[WIDTH];
    const __m512i add = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    for (unsigned i = 0; i < WIDTH; i++) {
        if (i >= stream->count)
            stream->chunks[i] = (struct chunk){stream->chunks[0].message, 0, 0};
        const struct chunk *c = &stream->chunks[i];
        keys[i] = c->message->key;
        /* the number of a block is in the last word of its lane */
        __m512i first = _mm512_set1_epi32((int)(uint32_t)(c->at / 16 + 2));
        s[i] = counters(c->message, _mm512_add_epi32(first, add));
    }
    encrypt8(s, keys, stream->rounds);
    KC_UNROLL for (unsigned i = 0; i < WIDTH; i++)
    {
        const struct chunk *c = &stream->chunks[i];
        __m512i data = _mm512_maskz_loadu_epi8(c->mask, c->message->in + c->at);
        _mm512_mask_storeu_epi8(c->message->out + c->at, c->mask, _mm512_xor_si512(data, s[i]));
    }
    stream->count = 0;
}

KC_VAES static void add_middle(struct stream *stream, const struct kc_gcm_message *m, size_t from,
                               size_t to)
{
    for (size_t at = from; at < to; at += 64) {
        stream->chunks[stream->count++] = (struct chunk){m, at, kc_low_bits(to - at)};
        if (stream->count == WIDTH)
            stream_flush(stream);
    }
}

/* Where a message's tail begins, when `done` bytes are behind it. */
static size_t tail_start(const struct kc_gcm_message *m, size_t done)
{
    size_t rest = m->len - done;
    return rest <= TAIL ? done : done + ((rest - TAIL + 15) & ~(size_t)15);
}

KC_VAES static __m128i hash_aad(const struct kc_gcm_message *m, __m128i hash)
{
    const size_t most = 16 * KC_GHASH_POWERS;
    for (size_t at = 0; at < m->aad_len; at += most)
        hash = kc_ghash_bytes(m->key, hash, m->aad + at,
                              m->aad_len - at < most ? m->aad_len - at : most);
    return hash;
}

/* All of eight messages but their tails. */
KC_VAES static void before_tails(struct kc_gcm_message *const *group, struct progress *progress,
                                 unsigned count, int decrypt)
{
    struct stream stream = {.rounds = group[0]->key->rounds};
    struct kc_gcm_pending pending = {NULL, NULL, NULL};
    for (unsigned i = 0; i < count; i++) {
        const struct kc_gcm_message *m = group[i];
        struct progress *p = &progress[i];
        if (m->len <= TAIL && m->aad_len <= 64)
            continue;
        p->aad = 0;
        p->hash = hash_aad(m, p->hash);
        if (m->len >= KC_GCM_BULK)
            p->done = kc_gcm_bulk(m, decrypt, &p->hash, &p->mask, &pending);
    }
    kc_gcm_bulk_end(&pending);
    /* the ciphertext is hashed before it is overwritten in place, or after it is made */
    for (unsigned i = 0; i < count; i++) {
        const struct kc_gcm_message *m = group[i];
        size_t from = progress[i].done, to = tail_start(m, from);
        if (decrypt && to > from)
            progress[i].hash = kc_ghash_bytes(m->key, progress[i].hash, m->in + from, to - from);
        add_middle(&stream, m, from, to);
    }
    if (stream.count > 0)
        stream_flush(&stream);
    for (unsigned i = 0; i < count; i++) {
        const struct kc_gcm_message *m = group[i];
        size_t from = progress[i].done, to = tail_start(m, from);
        if (!decrypt && to > from)
            progress[i].hash = kc_ghash_bytes(m->key, progress[i].hash, m->out + from, to - from);
        progress[i].done = to;
    }
}

/* --- the tail
 * -------------------------------------------------------------------------------------
 */

/* GHASH of the tail and the lengths, and of the aad where it is not behind us. `cipher` are the
 * tail's blocks, zeros behind them. */
KC_VAES_INLINE struct kc_ghash_sums hash_tail(const struct kc_gcm_message *m,
                                              const struct progress *p, __m512i cipher)
{
    struct kc_ghash_sums sums = kc_ghash_zero();
    size_t blocks = (m->len - p->done + 15) / 16;
    __m128i lengths = _mm_set_epi64x((long long)(8 * m->aad_len), (long long)(8 * m->len));
    __m512i x = _mm512_mask_broadcast_i32x4(kc_ghash_swap512(cipher), 0xf000, lengths);
    /* blocks from the first lane on, the lengths in the last one; zeros between them */
    __m512i h = kc_ghash_powers(m->key, blocks + 1);
    const uint8_t *one = m->key->more->powers[KC_GHASH_POWERS - 1];
    h = _mm512_mask_broadcast_i32x4(h, 0xf000, _mm_load_si128((const __m128i *)one));
    kc_ghash_absorb(&sums, _mm512_xor_si512(x, _mm512_zextsi128_si512(p->hash)), h);
    if (p->aad > 0) {
        x = kc_ghash_swap512(_mm512_maskz_loadu_epi8(kc_low_bits(p->aad), m->aad));
        kc_ghash_absorb(&sums, x, kc_ghash_powers(m->key, blocks + 1 + (p->aad + 15) / 16));
    }
    return sums;
}

/* Lane m of the result: the last lane of vector m. */
KC_VAES_INLINE __m512i last_lanes(const __m512i *s)
{
    return _mm512_shuffle_i32x4(_mm512_shuffle_i32x4(s[0], s[1], 0xff),
                                _mm512_shuffle_i32x4(s[2], s[3], 0xff), 0x88);
}

/* The tails of eight messages; `tags` gets what authenticates each. */
KC_VAES static void tails(struct kc_gcm_message *const *group, const struct progress *progress,
                          int decrypt, uint8_t (*tags)[16])
{
    __m512i s[WIDTH], cipher[WIDTH];
    const struct kc_aes_schedule *keys[WIDTH];
    const __m512i add = _mm512_set_epi32(0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    KC_UNROLL for (unsigned i = 0; i < WIDTH; i++)
    {
        keys[i] = group[i]->key;
        /* numbers of the tail's blocks; 1 in the last lane, whose block masks the tag */
        __m512i first = _mm512_set1_epi32((int)(uint32_t)(progress[i].done / 16 + 2));
        __m512i numbers = _mm512_mask_add_epi32(_mm512_set1_epi32(1), 0x0fff, first, add);
        s[i] = counters(group[i], numbers);
    }
    encrypt8(s, keys, keys[0]->rounds);
    KC_UNROLL for (unsigned i = 0; i < WIDTH; i++)
    {
        const struct kc_gcm_message *m = group[i];
        __mmask64 mask = kc_low_bits(m->len - progress[i].done);
        __m512i data = _mm512_maskz_loadu_epi8(mask, m->in + progress[i].done);
        __m512i result = _mm512_xor_si512(data, s[i]);
        _mm512_mask_storeu_epi8(m->out + progress[i].done, mask, result);
        cipher[i] = decrypt ? data : _mm512_maskz_mov_epi8(mask, result);
    }
    KC_UNROLL for (unsigned half = 0; half < WIDTH; half += 4)
    {
        struct kc_ghash_sums sums[4];
        KC_UNROLL for (unsigned i = 0; i < 4; i++) sums[i] =
            hash_tail(group[half + i], &progress[half + i], cipher[half + i]);
        __m512i tag =
            _mm512_xor_si512(kc_ghash_swap512(kc_ghash_finish4(sums)), last_lanes(&s[half]));
        _mm512_storeu_si512(tags[half], tag);
    }
}

/* Tags of eight messages that have no tail, only lengths: four are one vector under GHASH. */
KC_VAES static void no_tails(struct kc_gcm_message *const *group, const struct progress *progress,
                             uint8_t (*tags)[16])
{
    KC_UNROLL for (unsigned half = 0; half < WIDTH; half += 4)
    {
        const struct progress *p = &progress[half];
        __m128i x[4];
        const uint8_t *h[4];
        KC_UNROLL for (unsigned i = 0; i < 4; i++)
        {
            const struct kc_gcm_message *m = group[half + i];
            __m128i lengths = _mm_set_epi64x((long long)(8 * m->aad_len), (long long)(8 * m->len));
            x[i] = _mm_xor_si128(p[i].hash, lengths);
            h[i] = m->key->more->powers[KC_GHASH_POWERS - 1];
        }
        struct kc_ghash_sums sums = kc_ghash_zero();
        kc_ghash_absorb(&sums, kc_aes_gather4(&x[0], &x[1], &x[2], &x[3]),
                        kc_aes_gather4(h[0], h[1], h[2], h[3]));
        __m512i masks = kc_aes_gather4(&p[0].mask, &p[1].mask, &p[2].mask, &p[3].mask);
        __m512i hash = kc_ghash_reduce4(sums.lo, sums.mid, sums.hi);
        _mm512_storeu_si512(tags[half], _mm512_xor_si512(kc_ghash_swap512(hash), masks));
    }
}

/* --- rounds of eight
 * ------------------------------------------------------------------------------
 */

/* A function of its own, as the one place that branches on a verdict. */
__attribute__((noinline)) static void open_or_wipe(struct kc_gcm_message *m, const uint8_t *tag)
{
    m->ok = (uint8_t)kw_ct_equal(tag, m->tag, sizeof m->tag);
    if (!m->ok)
        kw_wipe(m->out, m->len);
}

/* `count` messages whose keys have one size; the others of eight are repetitions of nothing. */
KC_VAES static void run_group(struct kc_gcm_message **group, unsigned count, int decrypt)
{
    uint8_t tags[WIDTH][16];
    struct progress progress[WIDTH];
    struct kc_gcm_message nothing = {.key = group[0]->key, .iv = group[0]->iv};
    unsigned longer = 0, whole = 0; /* whole: nothing but bulk */
    for (unsigned i = 0; i < WIDTH; i++) {
        if (i >= count)
            group[i] = &nothing;
        progress[i] = (struct progress){.hash = _mm_setzero_si128(), .aad = group[i]->aad_len};
        longer += group[i]->len > TAIL || group[i]->aad_len > 64;
        whole += group[i]->len > 0 && group[i]->len % KC_GCM_BULK == 0;
    }
    if (longer > 0)
        before_tails(group, progress, count, decrypt);
    if (whole == WIDTH)
        no_tails(group, progress, tags);
    else
        tails(group, progress, decrypt, tags);
    for (unsigned i = 0; i < count; i++) {
        group[i]->ok = 1;
        if (decrypt)
            open_or_wipe(group[i], tags[i]);
        else
            memcpy(group[i]->tag, tags[i], sizeof tags[i]);
    }
    if (decrypt)
        kw_wipe(tags, sizeof tags);
    if (longer > 0)
        kw_wipe(progress, sizeof progress);
}

KC_VAES void kc_gcm_run(struct kc_gcm_message *messages, size_t n, int decrypt)
{
    struct kc_gcm_message *waiting[3][WIDTH]; /* by key size */
    unsigned counts[3] = {0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        unsigned size = messages[i].key->rounds / 2 - 5;
        waiting[size][counts[size]++] = &messages[i];
        if (counts[size] == WIDTH) {
            run_group(waiting[size], WIDTH, decrypt);
            counts[size] = 0;
        }
    }
    for (unsigned size = 0; size < 3; size++)
        if (counts[size] > 0)
            run_group(waiting[size], counts[size], decrypt);
}

#else

void kc_gcm_run(struct kc_gcm_message *messages, size_t n, int decrypt)
{
    (void)decrypt;
    for (size_t i = 0; i < n; i++)
        messages[i].ok = 0;
}

#endif

#include "crypto/aes/cbc.h"

#include <string.h>

#include "crypto/base/secret.h"

#if KC_HAVE_VAES

/* A lane's place in its message. Inside a run of steps every busy lane moves on by one block a
 * step; an idle one reads and writes the same spare block. */
struct lanes {
    _Alignas(64) uint64_t in[KC_AES_LANES], out[KC_AES_LANES]; /* addresses */
    uint64_t stride[KC_AES_LANES];                             /* 16, or 0 for an idle lane */
    uint8_t chain[KC_AES_VECTORS][64]; /* iv, then the last ciphertext block */
    size_t left[KC_AES_LANES];         /* blocks, the stand-in for the last one included */
    const uint8_t *last_block[KC_AES_LANES];
    unsigned rounds;
    uint8_t spare[16];
};

static void lane_take(struct lanes *l, unsigned lane, const struct kc_cbc_message *m,
                      struct kc_cbc_scratch *scratch)
{
    l->in[lane] = (uintptr_t)m->in;
    l->out[lane] = (uintptr_t)m->out;
    l->stride[lane] = 16;
    l->left[lane] = m->len / 16;
    l->last_block[lane] = m->last_block;
    memcpy(l->chain[lane / 4] + 16 * (lane % 4), m->iv, 16);
    kc_aes_lane_set(&scratch->keys, lane, m->key, 0);
}

static void lane_idle(struct lanes *l, unsigned lane)
{
    l->in[lane] = l->out[lane] = (uintptr_t)l->spare;
    l->stride[lane] = 0;
}

KC_VAES_INLINE __m128i load_at(uint64_t address)
{
    return _mm_loadu_si128((const __m128i *)(uintptr_t)address);
}

/* Masked broadcasts and not inserts: an insert takes the port of the AES unit. */
KC_VAES_INLINE __m512i gather4(const uint64_t *in)
{
    __m512i v = _mm512_broadcast_i32x4(load_at(in[0]));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, load_at(in[1]));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, load_at(in[2]));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, load_at(in[3]));
}

KC_VAES_INLINE void scatter4(const uint64_t *out, __m512i v)
{
    _mm_storeu_si128((__m128i *)(uintptr_t)out[0], _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)(uintptr_t)out[1], _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)(uintptr_t)out[2], _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)(uintptr_t)out[3], _mm512_extracti32x4_epi32(v, 3));
}

KC_VAES_INLINE void advance8(uint64_t *at, const uint64_t *stride)
{
    _mm512_store_si512(at, _mm512_add_epi64(_mm512_load_si512(at), _mm512_load_si512(stride)));
}

/* `steps` blocks in every lane of VECTORS vectors. */
#define ENCRYPT_BODY(VECTORS)                                                                      \
    KC_VAES static void encrypt_##VECTORS(struct lanes *l, const struct kc_cbc_scratch *scratch,   \
                                          size_t steps)                                            \
    {                                                                                              \
        __m512i state[VECTORS];                                                                    \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] =                                \
            _mm512_load_si512(l->chain[v]);                                                        \
        for (size_t step = 0; step < steps; step++) {                                              \
            KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] =                            \
                _mm512_xor_si512(state[v], gather4(&l->in[4 * v]));                                \
            kc_aes_lanes_encrypt(state, &scratch->keys, l->rounds, VECTORS);                       \
            KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) scatter4(&l->out[4 * v], state[v]);   \
            for (unsigned i = 0; i < 4 * VECTORS; i += 8) {                                        \
                advance8(&l->in[i], &l->stride[i]);                                                \
                advance8(&l->out[i], &l->stride[i]);                                               \
            }                                                                                      \
        }                                                                                          \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)                                           \
            _mm512_store_si512(l->chain[v], state[v]);                                             \
    }

ENCRYPT_BODY(2)
ENCRYPT_BODY(4)
ENCRYPT_BODY(8)

/* Blocks until some busy lane ends or comes to its stand-in block; 0 when all are idle. A lane at
 * its stand-in is pointed to it. */
static size_t next_steps(struct lanes *l, unsigned used)
{
    size_t steps = SIZE_MAX;
    for (unsigned i = 0; i < used; i++) {
        size_t left = l->left[i];
        if (left == 0)
            continue;
        if (l->last_block[i]) {
            if (left == 1)
                l->in[i] = (uintptr_t)l->last_block[i];
            else
                left--;
        }
        steps = left < steps ? left : steps;
    }
    return steps == SIZE_MAX ? 0 : steps;
}

static void account(struct lanes *l, unsigned used, size_t steps)
{
    for (unsigned i = 0; i < used; i++) {
        if (l->left[i] == 0)
            continue;
        l->left[i] -= steps;
        if (l->left[i] == 0)
            lane_idle(l, i);
    }
}

static size_t next_of(const struct kc_cbc_message *messages, size_t n, size_t from, unsigned rounds)
{
    while (from < n && messages[from].key->rounds != rounds)
        from++;
    return from;
}

/* All messages whose keys have `rounds`. */
static void encrypt_size(struct kc_cbc_message *messages, size_t n, unsigned rounds,
                         struct kc_cbc_scratch *scratch)
{
    struct lanes l;
    size_t next = next_of(messages, n, 0, rounds), steps;
    if (next == n)
        return;
    memset(&l, 0, sizeof l);
    l.rounds = rounds;
    for (unsigned i = 0; i < KC_AES_LANES; i++)
        lane_idle(&l, i);
    unsigned used = 0;
    do {
        for (unsigned i = 0; i < KC_AES_LANES && next < n; i++) {
            if (l.left[i] > 0)
                continue;
            lane_take(&l, i, &messages[next], scratch);
            next = next_of(messages, n, next + 1, rounds);
            used = i + 1 > used ? i + 1 : used;
        }
        steps = next_steps(&l, used);
        if (used <= 8)
            encrypt_2(&l, scratch, steps);
        else if (used <= 16)
            encrypt_4(&l, scratch, steps);
        else
            encrypt_8(&l, scratch, steps);
        account(&l, used, steps);
    } while (steps > 0);
    kw_wipe(&l, sizeof l);
}

void kc_cbc_encrypt(struct kc_cbc_message *messages, size_t n, struct kc_cbc_scratch *scratch)
{
    for (unsigned rounds = 10; rounds <= 14; rounds += 2)
        encrypt_size(messages, n, rounds, scratch);
    kw_wipe(scratch, sizeof *scratch);
}

KC_VAES_INLINE __mmask8 block_mask(size_t blocks)
{
    return (__mmask8)(blocks >= 4 ? 0xff : (1u << (2 * blocks)) - 1);
}

KC_VAES_INLINE __m512i dec_key(const struct kc_aes_schedule *key, unsigned round)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)key->dec[round]));
}

/* Up to 32 blocks of one message; `previous` is the block before them. */
KC_VAES static void decrypt_run(const struct kc_aes_schedule *key, const uint8_t *previous,
                                const uint8_t *in, uint8_t *out, size_t blocks)
{
    __m512i s[KC_AES_VECTORS];
    KC_UNROLL for (unsigned v = 0; v < KC_AES_VECTORS; v++)
    {
        size_t left = blocks > 4 * v ? blocks - 4 * v : 0;
        s[v] = _mm512_xor_si512(_mm512_maskz_loadu_epi64(block_mask(left), in + 64 * v),
                                dec_key(key, 0));
    }
    for (unsigned round = 1; round < key->rounds; round++) {
        __m512i k = dec_key(key, round);
        KC_UNROLL for (unsigned v = 0; v < KC_AES_VECTORS; v++) s[v] =
            _mm512_aesdec_epi128(s[v], k);
    }
    __m512i k = dec_key(key, key->rounds);
    KC_UNROLL for (unsigned v = 0; v < KC_AES_VECTORS; v++)
    {
        size_t left = blocks > 4 * v ? blocks - 4 * v : 0;
        __mmask8 mask = block_mask(left);
        __m512i chain;
        if (v == 0) {
            __mmask8 tail = (__mmask8)(mask & ~3u);
            chain = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)previous));
            chain = _mm512_mask_loadu_epi64(chain, tail, (const uint8_t *)((uintptr_t)in - 16));
        } else {
            chain = _mm512_maskz_loadu_epi64(mask, in + 64 * v - 16);
        }
        s[v] = _mm512_xor_si512(_mm512_aesdeclast_epi128(s[v], k), chain);
        _mm512_mask_storeu_epi64(out + 64 * v, mask, s[v]);
    }
}

void kc_cbc_decrypt(struct kc_cbc_message *messages, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct kc_cbc_message *m = &messages[i];
        const uint8_t *previous = m->iv;
        for (size_t done = 0; done < m->len; done += 16 * KC_AES_LANES) {
            size_t blocks = (m->len - done) / 16;
            blocks = blocks < KC_AES_LANES ? blocks : KC_AES_LANES;
            decrypt_run(m->key, previous, m->in + done, m->out + done, blocks);
            previous = m->in + done + 16 * (blocks - 1);
        }
    }
}

#else

void kc_cbc_encrypt(struct kc_cbc_message *messages, size_t n, struct kc_cbc_scratch *scratch)
{
    (void)messages;
    (void)n;
    (void)scratch;
}

void kc_cbc_decrypt(struct kc_cbc_message *messages, size_t n)
{
    (void)messages;
    (void)n;
}

#endif

#include "crypto/aes/cbc.h"

#include <string.h>

#include "crypto/base/secret.h"

#if KC_HAVE_VAES

/* A lane's place in its message. `left` counts blocks, the stand-in for the last one included. */
struct lane {
    const uint8_t *in;
    const uint8_t *last_block;
    uint8_t *out;
    size_t left;
};

struct lanes {
    struct lane lane[KC_AES_LANES];
    _Alignas(64) uint8_t chain[KC_AES_VECTORS][64]; /* iv, then the last ciphertext block */
    unsigned rounds;
    uint8_t unused[16]; /* where an idle lane writes */
};

static uint8_t no_input[16],
    no_output[16]; /* what an idle lane reads and where it writes nothing */

static void lane_take(struct lanes *l, unsigned lane, const struct kc_cbc_message *m,
                      struct kc_cbc_scratch *scratch)
{
    l->lane[lane] = (struct lane){m->in, m->last_block, m->out, m->len / 16};
    memcpy(l->chain[lane / 4] + 16 * (lane % 4), m->iv, 16);
    kc_aes_lane_set(&scratch->keys, lane, m->key, 0);
}

static const uint8_t *lane_input(const struct lane *lane)
{
    if (lane->left == 0)
        return no_input;
    return lane->left == 1 && lane->last_block ? lane->last_block : lane->in;
}

KC_VAES_INLINE __m512i gather4(const struct lane *lane)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)lane_input(&lane[0])));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)lane_input(&lane[1])), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)lane_input(&lane[2])), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)lane_input(&lane[3])), 3);
}

KC_VAES_INLINE void scatter4(const struct lane *lane, uint8_t *unused, __m512i v)
{
    _mm_storeu_si128((__m128i *)(lane[0].left ? lane[0].out : unused), _mm512_castsi512_si128(v));
    _mm_storeu_si128((__m128i *)(lane[1].left ? lane[1].out : unused),
                     _mm512_extracti32x4_epi32(v, 1));
    _mm_storeu_si128((__m128i *)(lane[2].left ? lane[2].out : unused),
                     _mm512_extracti32x4_epi32(v, 2));
    _mm_storeu_si128((__m128i *)(lane[3].left ? lane[3].out : unused),
                     _mm512_extracti32x4_epi32(v, 3));
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
                _mm512_xor_si512(state[v], gather4(&l->lane[4 * v]));                              \
            kc_aes_lanes_encrypt(state, &scratch->keys, l->rounds, VECTORS);                       \
            KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)                                       \
                scatter4(&l->lane[4 * v], l->unused, state[v]);                                    \
            for (unsigned i = 0; i < 4 * VECTORS; i++) {                                           \
                if (l->lane[i].left == 0)                                                          \
                    continue;                                                                      \
                l->lane[i].in += 16;                                                               \
                l->lane[i].out += 16;                                                              \
                l->lane[i].left--;                                                                 \
            }                                                                                      \
        }                                                                                          \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)                                           \
            _mm512_store_si512(l->chain[v], state[v]);                                             \
    }

ENCRYPT_BODY(1)
ENCRYPT_BODY(4)
ENCRYPT_BODY(8)

/* Blocks until the first busy lane is done. */
static size_t shortest(const struct lanes *l, unsigned used)
{
    size_t steps = SIZE_MAX;
    for (unsigned i = 0; i < used; i++)
        if (l->lane[i].left > 0 && l->lane[i].left < steps)
            steps = l->lane[i].left;
    return steps == SIZE_MAX ? 0 : steps;
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
    memset(&l, 0, sizeof l);
    l.rounds = rounds;
    size_t next = next_of(messages, n, 0, rounds);
    unsigned used = 0;
    for (;;) {
        for (unsigned i = 0; i < KC_AES_LANES && next < n; i++) {
            if (l.lane[i].left > 0)
                continue;
            lane_take(&l, i, &messages[next], scratch);
            next = next_of(messages, n, next + 1, rounds);
            used = i + 1 > used ? i + 1 : used;
        }
        size_t steps = shortest(&l, used);
        if (steps == 0)
            break;
        if (used <= 4)
            encrypt_1(&l, scratch, steps);
        else if (used <= 16)
            encrypt_4(&l, scratch, steps);
        else
            encrypt_8(&l, scratch, steps);
    }
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

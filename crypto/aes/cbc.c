#include "crypto/aes/cbc.h"

#include <string.h>

#include "crypto/base/secret.h"

#if KC_HAVE_VAES

#define RUN     KC_CBC_RUN
#define VECTORS KC_CBC_VECTORS
#define HELD    5 /* rounds whose keys stay in registers */

static void lane_idle(struct kc_cbc_lanes *l, unsigned lane)
{
    l->in[lane] = l->out[lane] = (uintptr_t)l->spare;
    l->moves[lane] = 0;
    l->left[lane] = UINT64_MAX;
}

/* What follows when a lane's blocks are done: the block that stands in for the last, or nothing. */
static void lane_go_on(struct kc_cbc_lanes *l, unsigned lane)
{
    const uint8_t *last = l->last_block[lane];
    if (!last) {
        lane_idle(l, lane);
        return;
    }
    l->in[lane] = (uintptr_t)last;
    l->left[lane] = 1;
    l->last_block[lane] = NULL;
}

static void lane_take(struct kc_cbc_lanes *l, unsigned lane, const struct kc_cbc_message *m)
{
    l->in[lane] = (uintptr_t)m->in;
    l->out[lane] = (uintptr_t)m->out;
    l->moves[lane] = UINT64_MAX;
    l->left[lane] = m->len / 16 - (m->last_block != NULL);
    l->last_block[lane] = m->last_block;
    l->key[lane] = m->key;
    for (unsigned at = 0; at < 3; at++)
        __builtin_prefetch(m->key->enc[4 * at]); /* the fourth line was read for `rounds` */
    memcpy(l->chain[lane / 4] + 16 * (lane % 4), m->iv, 16);
    if (l->left[lane] == 0)
        lane_go_on(l, lane);
}

/* Four lanes' blocks a, b, c, d of one message each to four vectors of one step each, and back. */
KC_VAES_INLINE void transpose(__m512i *x)
{
    __m512i ab_low = _mm512_shuffle_i32x4(x[0], x[1], 0x44);
    __m512i ab_high = _mm512_shuffle_i32x4(x[0], x[1], 0xee);
    __m512i cd_low = _mm512_shuffle_i32x4(x[2], x[3], 0x44);
    __m512i cd_high = _mm512_shuffle_i32x4(x[2], x[3], 0xee);
    x[0] = _mm512_shuffle_i32x4(ab_low, cd_low, 0x88);
    x[1] = _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd);
    x[2] = _mm512_shuffle_i32x4(ab_high, cd_high, 0x88);
    x[3] = _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd);
}

static __mmask8 block_mask(size_t blocks)
{
    return (__mmask8)(blocks >= 4 ? 0xff : (1u << (2 * blocks)) - 1);
}

/* What the lanes of vector `v` encrypt next: `blocks` (1..RUN) of each. */
KC_VAES_INLINE void bring_in(const struct kc_cbc_lanes *l, uint8_t (*to)[VECTORS][64], unsigned v,
                             size_t blocks)
{
    const __mmask8 mask = block_mask(blocks);
    __m512i x[RUN];
    KC_UNROLL for (unsigned i = 0; i < RUN; i++) x[i] =
        _mm512_maskz_loadu_epi64(mask, (const void *)(uintptr_t)l->in[4 * v + i]);
    transpose(x);
    KC_UNROLL for (unsigned i = 0; i < RUN; i++) _mm512_store_si512(to[i][v], x[i]);
}

KC_VAES_INLINE void bring_out(const struct kc_cbc_lanes *l, uint8_t (*from)[VECTORS][64],
                              unsigned v, size_t blocks)
{
    const __mmask8 mask = block_mask(blocks);
    __m512i x[RUN];
    KC_UNROLL for (unsigned i = 0; i < RUN; i++) x[i] = _mm512_load_si512(from[i][v]);
    transpose(x);
    if (blocks == RUN)
        KC_UNROLL for (unsigned i = 0; i < RUN; i++)
            _mm512_storeu_si512((void *)(uintptr_t)l->out[4 * v + i], x[i]);
    else
        KC_UNROLL for (unsigned i = 0; i < RUN; i++)
            _mm512_mask_storeu_epi64((void *)(uintptr_t)l->out[4 * v + i], mask, x[i]);
}

KC_VAES_INLINE void advance(const struct kc_cbc_lanes *l, uint64_t *address, size_t blocks)
{
    const __m512i bytes = _mm512_set1_epi64((long long)(16 * blocks));
    for (unsigned i = 0; i < KC_CBC_LANES; i += 8) {
        __m512i by = _mm512_and_si512(_mm512_load_si512(&l->moves[i]), bytes);
        _mm512_store_si512(&address[i], _mm512_add_epi64(_mm512_load_si512(&address[i]), by));
    }
}

/* Once in many runs; kept apart from the loop that needs all registers. */
__attribute__((noinline)) KC_VAES static void last_out(struct kc_cbc_lanes *l,
                                                       uint8_t (*from)[VECTORS][64], size_t blocks)
{
    for (unsigned v = 0; v < VECTORS; v++)
        bring_out(l, from, v, blocks);
    advance(l, l->out, blocks);
}

static size_t run_len(size_t steps, size_t at)
{
    return at >= steps ? 0 : steps - at < RUN ? steps - at : RUN;
}

KC_VAES_INLINE void one_round(__m512i *state, const __m512i (*held)[VECTORS],
                              uint8_t (*keys)[VECTORS][64], unsigned round)
{
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] = _mm512_aesenc_epi128(
        state[v], round < HELD ? held[round][v] : _mm512_load_si512(keys[round][v]));
}

/* One block in each lane, in place. Without a loop over rounds: each is one instruction a vector,
 * with the key in a register or straight from memory. */
KC_VAES_INLINE void one_step(__m512i *state, uint8_t (*block)[64], const __m512i (*held)[VECTORS],
                             uint8_t (*keys)[VECTORS][64], unsigned rounds)
{
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] =
        _mm512_ternarylogic_epi64(state[v], held[0][v], _mm512_load_si512(block[v]), 0x96);
    KC_UNROLL for (unsigned round = 1; round < 10; round++) one_round(state, held, keys, round);
    if (rounds > 10) {
        one_round(state, held, keys, 10);
        one_round(state, held, keys, 11);
    }
    if (rounds > 12) {
        one_round(state, held, keys, 12);
        one_round(state, held, keys, 13);
    }
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)
    {
        state[v] = _mm512_aesenclast_epi128(state[v], _mm512_load_si512(keys[rounds][v]));
        _mm512_store_si512(block[v], state[v]);
    }
}

_Static_assert(RUN == VECTORS, "behind each step of a run one vector is served");

/* `steps` blocks in every lane. Behind each step a vector's last run goes out and its next one
 * comes in: the shuffles fill what AES leaves free. */
KC_VAES static void encrypt(struct kc_cbc_lanes *l, uint8_t (*keys)[VECTORS][64], size_t steps)
{
    __m512i state[VECTORS], held[HELD][VECTORS];
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] = _mm512_load_si512(l->chain[v]);
    KC_UNROLL for (unsigned round = 0; round < HELD; round++)
    {
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) held[round][v] =
            _mm512_load_si512(keys[round][v]);
    }
    for (unsigned v = 0; v < VECTORS; v++)
        bring_in(l, l->block[0], v, run_len(steps, 0));
    advance(l, l->in, run_len(steps, 0));
    for (size_t at = 0; at < steps; at += RUN) {
        uint8_t(*block)[VECTORS][64] = l->block[at / RUN % 2];
        uint8_t(*beside)[VECTORS][64] = l->block[(at / RUN + 1) % 2];
        size_t now = run_len(steps, at), next = run_len(steps, at + RUN);
        for (unsigned step = 0; step < RUN; step++) {
            if (step < now)
                one_step(state, block[step], held, keys, l->rounds);
            if (at > 0)
                bring_out(l, beside, step, RUN);
            if (next > 0)
                bring_in(l, beside, step, next);
        }
        if (at > 0)
            advance(l, l->out, RUN);
        advance(l, l->in, next);
    }
    last_out(l, l->block[(steps - 1) / RUN % 2], (steps - 1) % RUN + 1);
    KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) _mm512_store_si512(l->chain[v], state[v]);
}

/* Blocks until some busy lane has to be looked at; 0 when all are idle. */
static size_t next_steps(const struct kc_cbc_lanes *l, unsigned used)
{
    uint64_t steps = UINT64_MAX;
    for (unsigned i = 0; i < used; i++)
        steps = l->left[i] < steps ? l->left[i] : steps;
    return steps == UINT64_MAX ? 0 : steps;
}

static void account(struct kc_cbc_lanes *l, unsigned used, size_t steps)
{
    for (unsigned i = 0; i < used; i++) {
        l->left[i] -= steps & l->moves[i];
        if (l->left[i] == 0)
            lane_go_on(l, i);
    }
}

static size_t next_of(const struct kc_cbc_message *messages, size_t n, size_t from, unsigned rounds)
{
    while (from < n && messages[from].key->rounds != rounds)
        from++;
    return from;
}

/* Gives the lanes that are free the next messages. Returns how many lanes are in use. */
KC_VAES static unsigned refill(struct kc_cbc_lanes *l, const struct kc_cbc_message *messages,
                               size_t n, size_t *next, unsigned used, uint8_t (*keys)[VECTORS][64])
{
    unsigned taken = 0; /* a bit a vector */
    for (unsigned i = 0; i < KC_CBC_LANES && *next < n; i++) {
        if (l->moves[i] != 0)
            continue;
        lane_take(l, i, &messages[*next]);
        *next = next_of(messages, n, *next + 1, l->rounds);
        used = i + 1 > used ? i + 1 : used;
        taken |= 1u << (i / 4);
    }
    for (unsigned v = 0; v < VECTORS; v++)
        if (taken >> v & 1)
            kc_aes_gather_keys(keys[0][v], sizeof keys[0], &l->key[4 * v], 0);
    return used;
}

/* All messages whose keys have `rounds`. */
static void encrypt_size(struct kc_cbc_message *messages, size_t n, unsigned rounds,
                         struct kc_cbc_scratch *scratch)
{
    struct kc_cbc_lanes *l = &scratch->lanes;
    size_t next = next_of(messages, n, 0, rounds), steps;
    l->rounds = rounds;
    for (unsigned i = 0; i < KC_CBC_LANES; i++) {
        lane_idle(l, i);
        l->key[i] = messages[next].key;
    }
    unsigned used = 0;
    for (;;) {
        used = refill(l, messages, n, &next, used, scratch->keys);
        steps = next_steps(l, used);
        if (steps == 0)
            break;
        encrypt(l, scratch->keys, steps);
        account(l, used, steps);
    }
}

void kc_cbc_encrypt(struct kc_cbc_message *messages, size_t n, struct kc_cbc_scratch *scratch)
{
    unsigned sizes = 0;
    for (size_t i = 0; i < n; i++)
        sizes |= 1u << messages[i].key->rounds;
    for (unsigned rounds = 10; rounds <= 14; rounds += 2)
        if (sizes >> rounds & 1)
            encrypt_size(messages, n, rounds, scratch);
    kw_wipe(scratch, sizeof *scratch);
}

KC_VAES_INLINE __m512i dec_key(const struct kc_aes_schedule *key, unsigned round)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)key->more->dec[round]));
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

#include "crypto/aes/kw.h"

#include <string.h>

#include "crypto/base/secret.h"
#include "crypto/padding/ct.h"

#if KC_HAVE_VAES

static const uint8_t DEFAULT_IV[8] = {0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6};
static const uint8_t PADDED_IV[4] = {0xa6, 0x59, 0x59, 0xa6};

/** Semiblocks (8 bytes) of R for a message: its length without the integrity block. */
static size_t semiblocks(const struct kc_kw_message *m, int unwrap)
{
    return unwrap ? m->len / 8 - 1 : (m->len + 7) / 8;
}

static size_t rows_of(size_t n)
{
    return (n + 1) / 2;
}

static uint8_t *cell(uint8_t (*row)[64], unsigned lane)
{
    return row[lane / 4] + 16 * (lane % 4);
}

/* --- the registers of RFC 3394 section 2.2 ------------------------------------------------------
 *
 * The block that AES takes is A | R[i]: A stays in the lower halves of the vectors, R[i] comes from
 * either half of a row. */

KC_VAES_INLINE __m512i low_halves(uint64_t word)
{
    return _mm512_maskz_set1_epi64(0x55, (long long)word);
}

/* A | R[i] for the upper half of a row; unpacklo does it for the lower one. */
KC_VAES_INLINE __m512i with_upper(__m512i a, __m512i row)
{
    return _mm512_mask_mov_epi64(row, 0x55, a);
}

/* Section 2.2.1 in `vectors` vectors. */
KC_VAES_INLINE void wrap(struct kc_kw_scratch *s, size_t n, unsigned rounds, unsigned vectors)
{
    __m512i a[KC_AES_VECTORS], first[KC_AES_VECTORS], second[KC_AES_VECTORS];
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) a[v] = _mm512_load_si512(s->a[v]);
    uint64_t t = 1;
    for (unsigned j = 0; j < 6; j++) {
        for (size_t i = 0; i < n; i += 2) {
            uint8_t(*row)[64] = s->r[i / 2];
            KC_UNROLL for (unsigned v = 0; v < vectors; v++) first[v] =
                _mm512_unpacklo_epi64(a[v], _mm512_load_si512(row[v]));
            kc_aes_lanes_encrypt(first, &s->keys, rounds, vectors);
            __m512i tt = low_halves(__builtin_bswap64(t++));
            KC_UNROLL for (unsigned v = 0; v < vectors; v++) a[v] = _mm512_xor_si512(first[v], tt);
            if (i + 1 == n) {
                KC_UNROLL for (unsigned v = 0; v < vectors; v++)
                    _mm512_store_si512(row[v], _mm512_unpackhi_epi64(first[v], first[v]));
                break;
            }
            KC_UNROLL for (unsigned v = 0; v < vectors; v++) second[v] =
                with_upper(a[v], _mm512_load_si512(row[v]));
            kc_aes_lanes_encrypt(second, &s->keys, rounds, vectors);
            tt = low_halves(__builtin_bswap64(t++));
            KC_UNROLL for (unsigned v = 0; v < vectors; v++)
            {
                _mm512_store_si512(row[v], _mm512_unpackhi_epi64(first[v], second[v]));
                a[v] = _mm512_xor_si512(second[v], tt);
            }
        }
    }
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) _mm512_store_si512(s->a[v], a[v]);
}

/* Section 2.2.2: the same backwards. */
KC_VAES_INLINE void unwrap(struct kc_kw_scratch *s, size_t n, unsigned rounds, unsigned vectors)
{
    __m512i a[KC_AES_VECTORS], first[KC_AES_VECTORS], second[KC_AES_VECTORS];
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) a[v] = _mm512_load_si512(s->a[v]);
    uint64_t t = 6 * (uint64_t)n;
    for (unsigned j = 0; j < 6; j++) {
        for (size_t i = rows_of(n); i-- > 0;) {
            uint8_t(*row)[64] = s->r[i];
            KC_UNROLL for (unsigned v = 0; v < vectors; v++) second[v] = _mm512_load_si512(row[v]);
            if (2 * i + 1 < n) {
                __m512i tt = low_halves(__builtin_bswap64(t--));
                KC_UNROLL for (unsigned v = 0; v < vectors; v++) second[v] =
                    with_upper(_mm512_xor_si512(a[v], tt), second[v]);
                kc_aes_lanes_decrypt(second, &s->keys, rounds, vectors);
                KC_UNROLL for (unsigned v = 0; v < vectors; v++) a[v] = second[v];
            }
            __m512i tt = low_halves(__builtin_bswap64(t--));
            KC_UNROLL for (unsigned v = 0; v < vectors; v++) first[v] =
                _mm512_unpacklo_epi64(_mm512_xor_si512(a[v], tt), _mm512_load_si512(row[v]));
            kc_aes_lanes_decrypt(first, &s->keys, rounds, vectors);
            KC_UNROLL for (unsigned v = 0; v < vectors; v++)
            {
                _mm512_store_si512(row[v], _mm512_unpackhi_epi64(first[v], second[v]));
                a[v] = first[v];
            }
        }
    }
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) _mm512_store_si512(s->a[v], a[v]);
}

/* RFC 5649 section 4.1: up to 8 bytes are one AES block of A | R[1], no loop. */
KC_VAES_INLINE void single(struct kc_kw_scratch *s, unsigned rounds, int decrypt, unsigned vectors)
{
    __m512i state[KC_AES_VECTORS];
    KC_UNROLL for (unsigned v = 0; v < vectors; v++) state[v] =
        _mm512_unpacklo_epi64(_mm512_load_si512(s->a[v]), _mm512_load_si512(s->r[0][v]));
    if (decrypt)
        kc_aes_lanes_decrypt(state, &s->keys, rounds, vectors);
    else
        kc_aes_lanes_encrypt(state, &s->keys, rounds, vectors);
    KC_UNROLL for (unsigned v = 0; v < vectors; v++)
    {
        _mm512_store_si512(s->a[v], state[v]);
        _mm512_store_si512(s->r[0][v], _mm512_unpackhi_epi64(state[v], state[v]));
    }
}

#define SIZES(VECTORS)                                                                             \
    KC_VAES static void wrap_##VECTORS(struct kc_kw_scratch *s, size_t n, unsigned rounds)         \
    {                                                                                              \
        wrap(s, n, rounds, VECTORS);                                                               \
    }                                                                                              \
    KC_VAES static void unwrap_##VECTORS(struct kc_kw_scratch *s, size_t n, unsigned rounds)       \
    {                                                                                              \
        unwrap(s, n, rounds, VECTORS);                                                             \
    }
SIZES(1)
SIZES(4)
SIZES(8)

KC_VAES static void run_vectors(struct kc_kw_scratch *s, size_t n, unsigned rounds, unsigned lanes,
                                int decrypt)
{
    if (n == 1)
        single(s, rounds, decrypt, KC_AES_VECTORS);
    else if (lanes <= 4)
        (decrypt ? unwrap_1 : wrap_1)(s, n, rounds);
    else if (lanes <= 16)
        (decrypt ? unwrap_4 : wrap_4)(s, n, rounds);
    else
        (decrypt ? unwrap_8 : wrap_8)(s, n, rounds);
}

/* --- messages into lanes and back
 * -----------------------------------------------------------------
 */

/* `len` (0..16) bytes of a row, zeros behind them. */
KC_VAES_INLINE __m128i load_part(const uint8_t *from, size_t len)
{
    return _mm_maskz_loadu_epi8((__mmask16)((1u << len) - 1), from);
}

KC_VAES_INLINE void load_lane(struct kc_kw_scratch *s, unsigned lane, const struct kc_kw_message *m,
                              int padded, int decrypt)
{
    uint8_t *a = cell(s->a, lane);
    const uint8_t *from = m->in;
    size_t len = m->len;
    if (decrypt) {
        memcpy(a, from, 8);
        from += 8;
        len -= 8;
    } else if (padded) {
        uint32_t mli = __builtin_bswap32((uint32_t)m->len);
        memcpy(a, PADDED_IV, 4);
        memcpy(a + 4, &mli, 4);
    } else {
        memcpy(a, DEFAULT_IV, 8);
    }
    for (size_t at = 0; at < len; at += 16) {
        __m128i part = len - at >= 16 ? _mm_loadu_si128((const __m128i *)(from + at))
                                      : load_part(from + at, len - at);
        _mm_store_si128((__m128i *)cell(s->r[at / 16], lane), part);
    }
}

/* The first 8n bytes of R, those that `mask` leaves. */
KC_VAES_INLINE void store_r(const struct kc_kw_scratch *s, unsigned lane, uint8_t *out, size_t n,
                            uint64_t mask)
{
    const __m128i keep = _mm_set1_epi64x((long long)mask);
    for (size_t i = 0; i < n; i += 2) {
        const uint8_t *from = s->r[i / 2][lane / 4] + 16 * (lane % 4);
        __m128i part = _mm_and_si128(_mm_load_si128((const __m128i *)from), keep);
        if (i + 1 < n)
            _mm_storeu_si128((__m128i *)(out + 8 * i), part);
        else
            _mm_storel_epi64((__m128i *)(out + 8 * i), part);
    }
}

KC_VAES_INLINE void store_wrapped(struct kc_kw_scratch *s, unsigned lane, struct kc_kw_message *m,
                                  size_t n)
{
    memcpy(m->out, cell(s->a, lane), 8);
    store_r(s, lane, m->out + 8, n, ~0ULL);
    m->out_len = 8 * n + 8;
    m->ok = 1;
}

/* RFC 5649 section 3, all three conditions with masks: the fixed half of A, the length indicator in
 * 8n-7 .. 8n, and zero bytes behind it, all of which lie in the last semiblock. `length` gets the
 * indicator where they hold. */
static uint64_t padded_check(const uint8_t *a, const uint8_t *last, size_t n, size_t *length)
{
    uint32_t fixed, mli;
    memcpy(&fixed, a, 4);
    memcpy(&mli, a + 4, 4);
    mli = __builtin_bswap32(mli);
    uint32_t expected;
    memcpy(&expected, PADDED_IV, 4);
    uint64_t good = ct_is_zero(fixed ^ expected);
    uint64_t missing = 8 * (uint64_t)n - mli; /* 0..7 when in range */
    good &= ct_is_zero(missing & ~(uint64_t)7);
    uint64_t word;
    memcpy(&word, last, 8);
    /* the last `missing` bytes are the top ones of the little-endian word; 8 * 8 bits shift in two
     * steps, as a shift by 64 is not defined */
    uint64_t shift = 8 * (7 - (missing & 7));
    good &= ct_is_zero(word >> shift >> 8);
    *length = mli & good;
    return good;
}

KC_VAES_INLINE void store_unwrapped(struct kc_kw_scratch *s, unsigned lane, struct kc_kw_message *m,
                                    size_t n, int padded)
{
    const uint8_t *a = cell(s->a, lane);
    uint64_t good;
    size_t length = 8 * n;
    if (padded) {
        good = padded_check(a, cell(s->r[(n - 1) / 2], lane) + 8 * ((n - 1) % 2), n, &length);
    } else {
        uint64_t found, expected;
        memcpy(&found, a, 8);
        memcpy(&expected, DEFAULT_IV, 8);
        good = ct_is_zero(found ^ expected);
        length &= good;
    }
    store_r(s, lane, m->out, n, good);
    m->out_len = length;
    m->ok = (uint8_t)(good & 1);
}

/* --- groups
 * ---------------------------------------------------------------------------------------
 */

KC_VAES static void run_group(struct kc_kw_message *messages, const uint16_t *group, unsigned count,
                              size_t n, int padded, int decrypt, struct kc_kw_scratch *s)
{
    const struct kc_aes_schedule *keys[KC_AES_LANES] = {messages[group[0]].key};
    for (unsigned lane = 0; lane < count; lane++) {
        keys[lane] = messages[group[lane]].key;
        load_lane(s, lane, &messages[group[lane]], padded, decrypt);
    }
    unsigned vectors = (count + 3) / 4;
    for (unsigned lane = count; lane < 4 * vectors; lane++)
        keys[lane] = keys[0]; /* idle */
    for (unsigned v = 0; v < vectors; v++)
        kc_aes_lanes_set(&s->keys, v, &keys[4 * v], decrypt);
    run_vectors(s, n, keys[0]->rounds, count, decrypt);
    for (unsigned lane = 0; lane < count; lane++) {
        struct kc_kw_message *m = &messages[group[lane]];
        if (decrypt)
            store_unwrapped(s, lane, m, n, padded);
        else
            store_wrapped(s, lane, m, n);
    }
    kw_wipe(s->r, rows_of(n) * sizeof s->r[0]);
}

/* Lengths and key sizes are public: messages that agree in both share the lanes. */
static uint16_t sort_of(const struct kc_kw_message *m, int unwrap)
{
    return (uint16_t)(semiblocks(m, unwrap) << 4 | m->key->rounds);
}

void kc_kw_run(struct kc_kw_message *messages, size_t n, int padded, int unwrap,
               struct kc_kw_turn *turns, struct kc_kw_scratch *scratch)
{
    size_t left = n;
    for (size_t i = 0; i < n; i++)
        turns[i] = (struct kc_kw_turn){(uint16_t)i, sort_of(&messages[i], unwrap)};
    while (left > 0) {
        unsigned sort = turns[0].sort, count = 0;
        size_t kept = 0;
        uint16_t group[KC_AES_LANES];
        for (size_t i = 0; i < left; i++) {
            if (count < KC_AES_LANES && turns[i].sort == sort)
                group[count++] = turns[i].index;
            else
                turns[kept++] = turns[i];
        }
        run_group(messages, group, count, sort >> 4, padded, unwrap, scratch);
        left = kept;
    }
    kw_wipe(scratch, offsetof(struct kc_kw_scratch, r));
}

#else

void kc_kw_run(struct kc_kw_message *messages, size_t n, int padded, int unwrap,
               struct kc_kw_turn *turns, struct kc_kw_scratch *scratch)
{
    (void)padded;
    (void)unwrap;
    (void)turns;
    (void)scratch;
    for (size_t i = 0; i < n; i++)
        messages[i].ok = 0;
}

#endif

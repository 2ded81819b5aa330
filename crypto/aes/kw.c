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

/* R[i] of a lane sits in the upper half of its 16 bytes, where AES leaves it; the lower half of row
 * 0 is the integrity register A. */
static uint8_t *cell(struct kc_kw_scratch *s, size_t row, unsigned lane)
{
    return s->r[row][lane / 4] + 16 * (lane % 4);
}

static void load_lane(struct kc_kw_scratch *s, unsigned lane, const struct kc_kw_message *m,
                      size_t n, int padded, int unwrap)
{
    uint8_t *a = cell(s, 0, lane);
    const uint8_t *from = m->in;
    size_t len = m->len;
    if (unwrap) {
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
    for (size_t i = 0; i < len / 8; i++)
        memcpy(cell(s, i, lane) + 8, from + 8 * i, 8);
    if (len % 8) {
        uint8_t *last = cell(s, n - 1, lane) + 8;
        memset(last, 0, 8);
        memcpy(last, from + (len & ~(size_t)7), len % 8);
    }
}

/* The loop of RFC 3394 section 2.2.1 in all lanes; A rides in the lower halves of `state`. */
#define WRAP_BODY(VECTORS)                                                                         \
    KC_VAES static void wrap_##VECTORS(struct kc_kw_scratch *s, size_t n, unsigned rounds)         \
    {                                                                                              \
        const __m512i low = _mm512_set_epi64(0, -1, 0, -1, 0, -1, 0, -1);                          \
        __m512i state[VECTORS];                                                                    \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] = _mm512_load_si512(s->r[0][v]); \
        uint64_t t = 1;                                                                            \
        for (unsigned j = 0; j < 6; j++) {                                                         \
            for (size_t i = 0; i < n; i++, t++) {                                                  \
                KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] =                        \
                    _mm512_ternarylogic_epi64(low, state[v], _mm512_load_si512(s->r[i][v]), 0xca); \
                kc_aes_lanes_encrypt(state, &s->keys, rounds, VECTORS);                            \
                const __m512i tt =                                                                 \
                    _mm512_and_si512(low, _mm512_set1_epi64((long long)__builtin_bswap64(t)));     \
                KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)                                   \
                {                                                                                  \
                    _mm512_store_si512(s->r[i][v], state[v]);                                      \
                    state[v] = _mm512_xor_si512(state[v], tt);                                     \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        /* A to the lower half of row 0 */                                                         \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) _mm512_store_si512(                       \
            s->r[0][v],                                                                            \
            _mm512_ternarylogic_epi64(low, state[v], _mm512_load_si512(s->r[0][v]), 0xca));        \
    }

/* Section 2.2.2: the same backwards. */
#define UNWRAP_BODY(VECTORS)                                                                       \
    KC_VAES static void unwrap_##VECTORS(struct kc_kw_scratch *s, size_t n, unsigned rounds)       \
    {                                                                                              \
        const __m512i low = _mm512_set_epi64(0, -1, 0, -1, 0, -1, 0, -1);                          \
        __m512i state[VECTORS];                                                                    \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] = _mm512_load_si512(s->r[0][v]); \
        uint64_t t = 6 * (uint64_t)n;                                                              \
        for (unsigned j = 0; j < 6; j++) {                                                         \
            for (size_t i = n; i-- > 0; t--) {                                                     \
                const __m512i tt =                                                                 \
                    _mm512_and_si512(low, _mm512_set1_epi64((long long)__builtin_bswap64(t)));     \
                KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) state[v] =                        \
                    _mm512_ternarylogic_epi64(low, _mm512_xor_si512(state[v], tt),                 \
                                              _mm512_load_si512(s->r[i][v]), 0xca);                \
                kc_aes_lanes_decrypt(state, &s->keys, rounds, VECTORS);                            \
                KC_UNROLL for (unsigned v = 0; v < VECTORS; v++)                                   \
                    _mm512_store_si512(s->r[i][v], state[v]);                                      \
            }                                                                                      \
        }                                                                                          \
        KC_UNROLL for (unsigned v = 0; v < VECTORS; v++) _mm512_store_si512(                       \
            s->r[0][v],                                                                            \
            _mm512_ternarylogic_epi64(low, state[v], _mm512_load_si512(s->r[0][v]), 0xca));        \
    }

WRAP_BODY(1)
WRAP_BODY(4)
WRAP_BODY(8)
UNWRAP_BODY(1)
UNWRAP_BODY(4)
UNWRAP_BODY(8)

static void run_vectors(struct kc_kw_scratch *s, size_t n, unsigned rounds, unsigned lanes,
                        int unwrap)
{
    if (lanes <= 4)
        (unwrap ? unwrap_1 : wrap_1)(s, n, rounds);
    else if (lanes <= 16)
        (unwrap ? unwrap_4 : wrap_4)(s, n, rounds);
    else
        (unwrap ? unwrap_8 : wrap_8)(s, n, rounds);
}

/* RFC 5649 section 4.1: up to 8 bytes are one AES block of A | R[1], no loop. */
KC_VAES static void single_block(struct kc_kw_scratch *s, unsigned rounds, int unwrap)
{
    __m512i state[KC_AES_VECTORS];
    for (unsigned v = 0; v < KC_AES_VECTORS; v++)
        state[v] = _mm512_load_si512(s->r[0][v]);
    if (unwrap)
        kc_aes_lanes_decrypt(state, &s->keys, rounds, KC_AES_VECTORS);
    else
        kc_aes_lanes_encrypt(state, &s->keys, rounds, KC_AES_VECTORS);
    for (unsigned v = 0; v < KC_AES_VECTORS; v++)
        _mm512_store_si512(s->r[0][v], state[v]);
    kw_wipe(state, sizeof state);
}

static void store_wrapped(struct kc_kw_scratch *s, unsigned lane, struct kc_kw_message *m, size_t n)
{
    memcpy(m->out, cell(s, 0, lane), 8);
    for (size_t i = 0; i < n; i++)
        memcpy(m->out + 8 + 8 * i, cell(s, i, lane) + 8, 8);
    m->out_len = 8 * n + 8;
    m->ok = 1;
}

/* RFC 5649 section 3, all three conditions with masks: the fixed half of A, the length indicator in
 * 8n-7 .. 8n, and zero bytes behind it. `length` gets the indicator where they hold. */
static uint64_t padded_check(const uint8_t *a, const uint8_t *out, size_t n, size_t *length)
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
    uint64_t dirty = 0;
    for (unsigned k = 0; k < 8; k++) {
        /* byte k from the end is padding when k < missing */
        uint64_t padding = ct_msb(k - missing);
        dirty |= padding & out[8 * n - 1 - k];
    }
    good &= ct_is_zero(dirty);
    *length = mli & good;
    return good;
}

static void store_unwrapped(struct kc_kw_scratch *s, unsigned lane, struct kc_kw_message *m,
                            size_t n, int padded)
{
    const uint8_t *a = cell(s, 0, lane);
    for (size_t i = 0; i < n; i++)
        memcpy(m->out + 8 * i, cell(s, i, lane) + 8, 8);
    uint64_t good;
    size_t length = 8 * n;
    if (padded) {
        good = padded_check(a, m->out, n, &length);
    } else {
        uint64_t found, expected;
        memcpy(&found, a, 8);
        memcpy(&expected, DEFAULT_IV, 8);
        good = ct_is_zero(found ^ expected);
        length &= good;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, m->out + 8 * i, 8);
        word &= good;
        memcpy(m->out + 8 * i, &word, 8);
    }
    m->out_len = length;
    m->ok = (uint8_t)(good & 1);
}

static void run_group(struct kc_kw_message *messages, const uint16_t *group, unsigned count,
                      size_t n, int padded, int unwrap, struct kc_kw_scratch *s)
{
    unsigned rounds = messages[group[0]].key->rounds;
    for (unsigned lane = 0; lane < count; lane++) {
        kc_aes_lane_set(&s->keys, lane, messages[group[lane]].key, unwrap);
        load_lane(s, lane, &messages[group[lane]], n, padded, unwrap);
    }
    if (n == 1)
        single_block(s, rounds, unwrap);
    else
        run_vectors(s, n, rounds, count, unwrap);
    for (unsigned lane = 0; lane < count; lane++) {
        struct kc_kw_message *m = &messages[group[lane]];
        if (unwrap)
            store_unwrapped(s, lane, m, n, padded);
        else
            store_wrapped(s, lane, m, n);
    }
    kw_wipe(s->r, n * sizeof s->r[0]);
}

void kc_kw_run(struct kc_kw_message *messages, size_t n, int padded, int unwrap, uint16_t *order,
               struct kc_kw_scratch *scratch)
{
    /* lengths and key sizes are public: messages that agree in both share the lanes */
    size_t left = n;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint16_t)i;
    while (left > 0) {
        const struct kc_kw_message *first = &messages[order[0]];
        size_t blocks = semiblocks(first, unwrap), kept = 0;
        unsigned rounds = first->key->rounds, count = 0;
        uint16_t group[KC_AES_LANES];
        for (size_t i = 0; i < left; i++) {
            const struct kc_kw_message *m = &messages[order[i]];
            if (count < KC_AES_LANES && semiblocks(m, unwrap) == blocks && m->key->rounds == rounds)
                group[count++] = order[i];
            else
                order[kept++] = order[i];
        }
        run_group(messages, group, count, blocks, padded, unwrap, scratch);
        left = kept;
    }
    kw_wipe(&scratch->keys, sizeof scratch->keys);
}

#else

void kc_kw_run(struct kc_kw_message *messages, size_t n, int padded, int unwrap, uint16_t *order,
               struct kc_kw_scratch *scratch)
{
    (void)padded;
    (void)unwrap;
    (void)order;
    (void)scratch;
    for (size_t i = 0; i < n; i++)
        messages[i].ok = 0;
}

#endif

#include "crypto/rsa/public_one.h"
#if defined(__x86_64__)
#include <string.h>

#include "crypto/base/secret.h"
#include "crypto/rsa/slices.h"

#define VECTOR  8                        /* digits in a register */
#define VECTORS (KC_MAX_DIGITS / VECTOR) /* of the longest number */
#define UNROLL  _Pragma("GCC unroll 10")
#define MASK    ((1ULL << KC_DIGIT) - 1)

/* One number over the lanes of a few registers; the lowest digit is followed beside in a plain
 * register, so that the next quotient digit does not wait for the vectors. */
struct room {
    _Alignas(64) uint64_t x[KC_MAX_DIGITS], base[KC_MAX_DIGITS], power[KC_MAX_DIGITS];
};

/* to = digits below 2^52, of non-negative columns */
static void carry(uint64_t *to, unsigned digits)
{
    uint64_t over = 0;
    for (unsigned i = 0; i < digits; i++) {
        const uint64_t sum = to[i] + over;
        to[i] = i + 1 < digits ? sum & MASK : sum;
        over = sum >> KC_DIGIT;
    }
}

/* r = a b / R modulo m, below 2m for a, b below 2m; R = 2^(52 digits) is at least 4m. A column gets
 * at most four products' halves a digit: below 2^61. r may be a or b. */
KC_IFMA_INLINE void multiply(uint64_t *r, const uint64_t *a, const uint64_t *b, const uint64_t *m,
                             uint64_t k0, unsigned digits, const unsigned vectors)
{
    __m512i c[VECTORS], av[VECTORS], mv[VECTORS];
    const __m512i zero = _mm512_setzero_si512();
    UNROLL for (unsigned v = 0; v < vectors; v++)
    {
        c[v] = zero;
        av[v] = _mm512_load_si512(a + VECTOR * v);
        mv[v] = _mm512_load_si512(m + VECTOR * v);
    }
    const uint64_t a0 = a[0], m0 = m[0];
    uint64_t low = 0; /* the lowest column; its place in c[0] is not looked at */
    for (unsigned i = 0; i < digits; i++) {
        const __m512i x = _mm512_set1_epi64((long long)b[i]);
        const unsigned __int128 first = (unsigned __int128)a0 * b[i] + low;
        const uint64_t q = ((uint64_t)first * k0) & MASK;
        const unsigned __int128 sum = first + (unsigned __int128)m0 * q;
        const __m512i y = _mm512_set1_epi64((long long)q);
        UNROLL for (unsigned v = 0; v < vectors; v++)
        {
            c[v] = _mm512_madd52lo_epu64(c[v], av[v], x);
            c[v] = _mm512_madd52lo_epu64(c[v], mv[v], y);
        }
        /* down by a digit: the lowest column is zero but for what it carries */
        UNROLL for (unsigned v = 0; v < vectors; v++)
        {
            c[v] = _mm512_alignr_epi64(v + 1 < vectors ? c[v + 1] : zero, c[v], 1);
        }
        const uint64_t next = (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(c[0]));
        UNROLL for (unsigned v = 0; v < vectors; v++)
        {
            c[v] = _mm512_madd52hi_epu64(c[v], av[v], x);
            c[v] = _mm512_madd52hi_epu64(c[v], mv[v], y);
        }
        low = next + (uint64_t)(sum >> KC_DIGIT);
    }
    UNROLL for (unsigned v = 0; v < vectors; v++)
    {
        _mm512_store_si512(r + VECTOR * v, c[v]);
    }
    r[0] = low;
    carry(r, digits);
}

/* All ones where x < m, else 0. */
static uint64_t below(const uint64_t *x, const uint64_t *m, unsigned digits)
{
    int64_t borrow = 0;
    for (unsigned i = 0; i < digits; i++) {
        borrow = ((int64_t)(x[i] - m[i]) + borrow) >> KC_DIGIT;
    }
    return (uint64_t)(borrow >> 63);
}

/* x = x mod m for x < 2m */
static void reduce(uint64_t *x, const uint64_t *m, unsigned digits)
{
    const uint64_t keep = below(x, m, digits);
    int64_t borrow = 0;
    for (unsigned i = 0; i < digits; i++) {
        const int64_t less = (int64_t)(x[i] - (m[i] & ~keep)) + borrow;
        x[i] = (uint64_t)less & MASK;
        borrow = less >> KC_DIGIT;
    }
}

/* room->power = x^e mod n. The exponent is public. */
KC_IFMA_INLINE void raise_to(struct room *room, const struct kc_rsa_public_ctx *key,
                             unsigned digits, const unsigned vectors)
{
    const uint64_t *n = key->n;
    multiply(room->base, room->x, key->r2, n, key->k0, digits, vectors);
    memcpy(room->power, room->base, sizeof room->power);
    unsigned bit = 63 - (unsigned)__builtin_clzll(key->e);
    while (--bit > 0) {
        multiply(room->power, room->power, room->power, n, key->k0, digits, vectors);
        if (key->e >> bit & 1) {
            multiply(room->power, room->power, room->base, n, key->k0, digits, vectors);
        }
    }
    /* the last bit of e is one: the plain factor takes the result out of Montgomery form */
    multiply(room->power, room->power, room->power, n, key->k0, digits, vectors);
    multiply(room->power, room->power, room->x, n, key->k0, digits, vectors);
}

KC_IFMA static void raise_2048(struct room *room, const struct kc_rsa_public_ctx *key)
{
    raise_to(room, key, 40, 5);
}

KC_IFMA static void raise_3072(struct room *room, const struct kc_rsa_public_ctx *key)
{
    raise_to(room, key, 60, 8);
}

KC_IFMA static void raise_4096(struct room *room, const struct kc_rsa_public_ctx *key)
{
    raise_to(room, key, 80, 10);
}

bool kc_rsa_one_public(const struct kc_rsa_public_lane *lane)
{
    const struct kc_rsa_public_ctx *key = lane->key;
    const unsigned digits = KC_TILE * key->blocks;
    const size_t len = key->bits / 8;
    struct room room = {{0}, {0}, {0}};
    kc_digits_from_bytes(room.x, digits, lane->in, len);
    const uint64_t fits = below(room.x, key->n, digits);
    if (key->bits == 2048) {
        raise_2048(&room, key);
    } else if (key->bits == 3072) {
        raise_3072(&room, key);
    } else {
        raise_4096(&room, key);
    }
    reduce(room.power, key->n, digits);
    kc_digits_to_bytes(lane->out, len, room.power, digits);
    for (size_t i = 0; i < len; i++) {
        lane->out[i] &= (uint8_t)fits;
    }
    kw_wipe(&room, sizeof room);
    return fits != 0;
}
#else
bool kc_rsa_one_public(const struct kc_rsa_public_lane *lane)
{
    (void)lane;
    return false;
}
#endif

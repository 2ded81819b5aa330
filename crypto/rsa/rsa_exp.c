#if defined(__x86_64__)
/* The exponentiation modulo a prime: fixed window of five bits, the table read whole for each
 * window.
 *
 * Each of the five squarings before a product also scans a part of the table, so that the loads
 * run while the multiplier is busy: all but the first lookup cost next to nothing. */

#include "crypto/rsa/rsa_work.h"

/** Which table entries a squaring of a window looks at; the last two overlap, which is harmless. */
static const unsigned scan_from[KC_RSA_WINDOW] = {0, 7, 14, 21, KC_RSA_ENTRIES - KC_SCAN_MASKS};

/** Bits [pos, pos + width) of the exponents. `pos` is public. */
KC_IFMA_INLINE __m512i exponent_bits(const __m512i *words, unsigned pos, unsigned width)
{
    const unsigned word = pos / 64;
    const unsigned shift = pos % 64;
    __m512i bits = _mm512_srlv_epi64(words[word], _mm512_set1_epi64(shift));
    if (shift + width > 64) {
        __m512i above = _mm512_sllv_epi64(words[word + 1], _mm512_set1_epi64(64 - shift));
        bits = _mm512_or_si512(bits, above);
    }
    return _mm512_and_si512(bits, _mm512_set1_epi64((1LL << width) - 1));
}

/** The scan that squaring `turn` of a window does for lanes that want entry `index`. */
KC_IFMA_INLINE void scan_prepare(struct kc_scan *scan, const __m512i *table, unsigned digits,
                                 unsigned turn, __m512i index)
{
    scan->table = table + (size_t)scan_from[turn] * digits;
    for (unsigned j = 0; j < KC_SCAN_MASKS; j++) {
        scan->pick[j] = _mm512_cmpeq_epi64_mask(index, _mm512_set1_epi64(scan_from[turn] + j));
    }
}

/** out = table[index] in each lane, not hidden under anything. */
KC_IFMA_INLINE void lookup(__m512i *out, const __m512i *table, unsigned digits, __m512i index)
{
    for (unsigned d = 0; d < digits; d++) {
        out[d] = _mm512_setzero_si512();
    }
    struct kc_scan scan = {.out = out};
    for (unsigned turn = 0; turn < KC_RSA_WINDOW; turn++) {
        scan_prepare(&scan, table, digits, turn, index);
        for (unsigned d = 0; d < digits; d++) {
            kc_scan_digit(&scan, d, digits);
        }
    }
}

/** r = left * right. */
KC_IFMA_INLINE void multiply(struct kc_rsa_private_work *w, const struct kc_mont *mont, __m512i *r,
                             const __m512i *left, const __m512i *right)
{
    if (mont->blocks == 2) {
        kc_quad_mul(&w->reduction.quad, r, left, right);
    } else {
        kc_fold_mul(&w->reduction.fold, mont, r, left, right);
    }
}

/** r = a^2 */
KC_IFMA_INLINE void square(struct kc_rsa_private_work *w, const struct kc_mont *mont, __m512i *r,
                           const __m512i *a)
{
    if (mont->blocks == 2) {
        kc_quad_sqr(&w->reduction.quad, r, a, NULL);
    } else {
        kc_fold_sqr(&w->reduction.fold, mont, r, a, NULL);
    }
}

/** w->spare = w->power^32, and table[index] in each lane to w->picked besides. */
KC_IFMA_INLINE void square_window(struct kc_rsa_private_work *w, const struct kc_mont *mont,
                                  __m512i index)
{
    const unsigned digits = KC_TILE * mont->blocks;
    struct kc_scan scan = {.out = w->picked};
    struct kc_pick pick;
    if (mont->blocks == 2) {
        kc_quad_pick(&pick, w->picked, w->table, &index);
    } else {
        for (unsigned d = 0; d < digits; d++) {
            w->picked[d] = _mm512_setzero_si512();
        }
    }
    for (unsigned turn = 0; turn < KC_RSA_WINDOW; turn++) {
        __m512i *r = turn + 1 < KC_RSA_WINDOW ? w->power : w->spare;
        if (mont->blocks == 2) {
            kc_quad_sqr(&w->reduction.quad, r, w->power, &pick);
            kc_quad_pick_next(&pick);
        } else {
            scan_prepare(&scan, w->table, digits, turn, index);
            kc_fold_sqr(&w->reduction.fold, mont, r, w->power, &scan);
        }
    }
}

/** Constants of the prime; w->x in Montgomery form to w->power, one in Montgomery form to w->spare.
 *  Primes of two blocks go on with R = 2^1028 (quad.h), the others with that of mont.h. */
KC_IFMA_INLINE void enter(struct kc_rsa_private_work *w, const struct kc_rsa_half_work *half,
                          const struct kc_mont *mont)
{
    const unsigned digits = KC_TILE * mont->blocks;
    kc_mont_redc(mont, w->power, w->x); /* x / R */
    if (mont->blocks > 2) {
        kc_fold_prepare(&w->reduction.fold, mont);
        kc_mont_mul(mont, w->power, w->power, half->r3); /* times R^3 / R */
        for (unsigned d = 0; d < digits; d++) {
            w->spare[d] = half->r1[d];
        }
        return;
    }
    struct kc_quad *quad = &w->reduction.quad;
    __m512i *packed = w->picked;
    __m512i *shift = w->table;
    kc_quad_prepare(quad, mont);
    kc_quad_pack(w->spare, w->power);
    kc_quad_pack(packed, half->r3);
    kc_quad_mul(quad, w->power, w->spare, packed); /* x 2^(3120 - 1040 - 1028) = x 2^1052 */
    kc_quad_power_of_two(shift, 1028 + 1028 - 1052);
    kc_quad_mul(quad, w->power, w->power, shift);
    kc_quad_pack(packed, half->r1);
    kc_quad_power_of_two(shift, 1028 + 1028 - 1040);
    kc_quad_mul(quad, w->spare, packed, shift);
}

/** w->power out of Montgomery form, below m. */
KC_IFMA_INLINE void leave(struct kc_rsa_private_work *w, struct kc_rsa_half_work *half,
                          const struct kc_mont *mont)
{
    const unsigned digits = KC_TILE * mont->blocks;
    __m512i *wide = w->table; /* reduce the number with nothing above it */
    if (mont->blocks == 2) {  /* from 2^1028 to the R of kc_mont_redc */
        kc_quad_pack(w->picked, half->r1);
        kc_quad_mul(&w->reduction.quad, w->power, w->power, w->picked);
        kc_quad_unpack(wide, w->power);
    } else {
        for (unsigned d = 0; d < digits; d++) {
            wide[d] = w->power[d];
        }
    }
    for (unsigned d = 0; d < digits; d++) {
        wide[digits + d] = _mm512_setzero_si512();
    }
    kc_mont_redc(mont, w->power, wide);
    kc_mont_below(mont, half->result, w->power);
}

/** table[i] = x^i in Montgomery form, i = 0..31. */
KC_IFMA_INLINE void fill_table(struct kc_rsa_private_work *w, const struct kc_mont *mont,
                               const __m512i *one, const __m512i *x)
{
    __m512i *table = w->table;
    const size_t stride = KC_TILE * (size_t)mont->blocks;
    for (unsigned d = 0; d < stride; d++) {
        table[d] = one[d];
        table[stride + d] = x[d];
    }
    for (unsigned i = 2; i < KC_RSA_ENTRIES; i += 2) {
        __m512i *entry = table + i * stride;
        square(w, mont, entry, table + i / 2 * stride);
        multiply(w, mont, entry + stride, entry, table + stride);
    }
}

KC_IFMA void kc_rsa_private_half(struct kc_rsa_private_work *w, struct kc_rsa_half_work *half,
                                 unsigned blocks)
{
    const unsigned digits = KC_TILE * blocks;
    const unsigned bits = 512 * blocks;
    struct kc_mont mont = {blocks,  half->m,    half->k0,      w->quotient,
                           w->left, w->squares, w->differences};

    enter(w, half, &mont);
    fill_table(w, &mont, w->spare, w->power);

    unsigned first = bits % KC_RSA_WINDOW; /* of 1024, 1536, 2048 bits: 4, 1, 3 */
    unsigned pos = bits - first;
    lookup(w->power, w->table, digits, exponent_bits(half->exponent, pos, first));
    while (pos > 0) {
        pos -= KC_RSA_WINDOW;
        square_window(w, &mont, exponent_bits(half->exponent, pos, KC_RSA_WINDOW));
        multiply(w, &mont, w->power, w->spare, w->picked);
    }
    leave(w, half, &mont);
}
#endif

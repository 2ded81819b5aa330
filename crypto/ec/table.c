#include "crypto/ec/table.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ec/comb.h"
#include "crypto/ec/point.h"

#if KC_HAVE_EC

#define ND       5u
#define W        KC_EC_TABLE_WINDOW
#define WINDOWS  KC_EC_TABLE_WINDOWS
#define ENTRIES  KC_EC_TABLE_ENTRIES
#define COUNTERS 256u
#define LINE     64u

struct slot {
    uint64_t x[ND], y[ND]; /* the point, Montgomery form */
    uint64_t used;         /* when it was last asked for; 0: there is none */
    uint64_t *table;
};

struct kc_ec_tables {
    uint64_t now;
    struct slot slots[KC_EC_TABLES];
    uint16_t seen[COUNTERS]; /* by a digit of x: keys may share a count */
    struct build *build;
    uint64_t *generator;
};

/* One window is a lane: eight windows are built at a time. */
struct build {
    struct kc_ec_point walker, step;
    struct kc_ec_point entries[ENTRIES];
    __m512i products[ENTRIES][ND];
};

/* --- building */

static KC_EC void take_lane(__m512i *to, const __m512i *from, unsigned lane)
{
    for (unsigned d = 0; d < ND; d++)
        to[d] = _mm512_mask_mov_epi64(to[d], (__mmask8)(1u << lane), from[d]);
}

/* entries[0] = 2^(W i) Q for the eight windows from `first` on; moves the walker past them. */
static KC_EC void bases(struct build *b, const struct kc_ec_curve *c, unsigned first)
{
    struct kc_ec_point *to = &b->entries[0];
    *to = b->walker;
    for (unsigned lane = 0; lane < KC_EC_LANES && first + lane < WINDOWS; lane++) {
        take_lane(to->x, b->walker.x, lane);
        take_lane(to->y, b->walker.y, lane);
        take_lane(to->z, b->walker.z, lane);
        for (unsigned i = 0; i < W; i++)
            kc_ec_point_double(c, &b->walker, &b->walker);
    }
}

/* To affine coordinates, below p, with one inversion (Montgomery's trick). */
static KC_EC void normalise(struct build *b, const struct kc_ec_curve *c)
{
    const struct kc_ec_modulus *p = &c->p;
    __m512i inverse[KC_EC_DIGITS], z[KC_EC_DIGITS], zz[KC_EC_DIGITS];
    kc_ec_copy(b->products[0], b->entries[0].z, ND);
    for (unsigned j = 1; j < ENTRIES; j++)
        p->mul(p, b->products[j], b->products[j - 1], b->entries[j].z);
    kc_ec_invert(p, inverse, b->products[ENTRIES - 1]);
    for (unsigned j = ENTRIES; j-- > 0;) {
        struct kc_ec_point *e = &b->entries[j];
        if (j > 0) {
            p->mul(p, z, inverse, b->products[j - 1]);
            p->mul(p, inverse, inverse, e->z);
        } else {
            kc_ec_copy(z, inverse, ND);
        }
        p->sqr(p, zz, z);
        p->mul(p, e->x, e->x, zz);
        p->mul(p, zz, zz, z);
        p->mul(p, e->y, e->y, zz);
        kc_ec_reduce(p, e->x, e->x);
        kc_ec_reduce(p, e->y, e->y);
    }
}

/* Five digits of 52 bits, the number below 2^256, as four words. */
static void pack(uint64_t *to, __m512i *digits, unsigned lane)
{
    uint64_t(*rows)[KC_EC_LANES] = kc_ec_rows(digits);
    to[0] = rows[0][lane] | rows[1][lane] << 52;
    to[1] = rows[1][lane] >> 12 | rows[2][lane] << 40;
    to[2] = rows[2][lane] >> 24 | rows[3][lane] << 28;
    to[3] = rows[3][lane] >> 36 | rows[4][lane] << 16;
}

static void store(struct build *b, uint64_t *table, unsigned first)
{
    for (unsigned lane = 0; lane < KC_EC_LANES && first + lane < WINDOWS; lane++) {
        uint64_t *window = table + (size_t)(first + lane) * ENTRIES * 8;
        for (unsigned j = 0; j < ENTRIES; j++) {
            pack(window + (size_t)j * 8, b->entries[j].x, lane);
            pack(window + (size_t)j * 8 + 4, b->entries[j].y, lane);
        }
    }
}

/* All from the walker's x and y. */
static KC_EC void build(struct build *b, const struct kc_ec_curve *c, uint64_t *table)
{
    kc_ec_copy(b->walker.z, c->p.one, ND);
    for (unsigned first = 0; first < WINDOWS; first += KC_EC_LANES) {
        bases(b, c, first);
        kc_ec_point_double(c, &b->step, &b->entries[0]);
        for (unsigned j = 1; j < ENTRIES; j++)
            kc_ec_point_add(c, &b->entries[j], &b->entries[j - 1], &b->step);
        normalise(b, c);
        store(b, table, first);
    }
}

/* --- whose table */

struct kc_ec_tables *kc_ec_tables_create(void)
{
    struct kc_ec_tables *tables = calloc(1, sizeof *tables);
    if (tables)
        tables->build = aligned_alloc(LINE, sizeof *tables->build);
    if (tables && !tables->build) {
        free(tables);
        tables = NULL;
    }
    return tables;
}

void kc_ec_tables_destroy(void *arg)
{
    struct kc_ec_tables *tables = arg;
    if (!tables)
        return;
    for (unsigned i = 0; i < KC_EC_TABLES; i++)
        free(tables->slots[i].table);
    free(tables->generator);
    free(tables->build);
    free(tables);
}

static bool belongs(const struct slot *slot, const struct kc_ec_key *key)
{
    return slot->used != 0 && slot->x[0] == key->x[0] &&
           memcmp(slot->x, key->x, sizeof slot->x) == 0 &&
           memcmp(slot->y, key->y, sizeof slot->y) == 0;
}

static KC_EC const uint64_t *add_table(struct kc_ec_tables *tables, const struct kc_ec_key *key)
{
    struct slot *slot = &tables->slots[0];
    for (unsigned i = 1; i < KC_EC_TABLES; i++)
        if (tables->slots[i].used < slot->used)
            slot = &tables->slots[i];
    if (!slot->table)
        slot->table = aligned_alloc(LINE, KC_EC_TABLE_WORDS * sizeof(uint64_t));
    if (!slot->table)
        return NULL;
    for (unsigned d = 0; d < ND; d++) {
        tables->build->walker.x[d] = _mm512_set1_epi64((long long)key->x[d]);
        tables->build->walker.y[d] = _mm512_set1_epi64((long long)key->y[d]);
    }
    build(tables->build, key->curve, slot->table);
    memcpy(slot->x, key->x, sizeof slot->x);
    memcpy(slot->y, key->y, sizeof slot->y);
    slot->used = tables->now;
    return slot->table;
}

const uint64_t *kc_ec_table_of(struct kc_ec_tables *tables, const struct kc_ec_key *key)
{
    if (key->curve->nd != ND)
        return NULL;
    tables->now++;
    for (unsigned i = 0; i < KC_EC_TABLES; i++)
        if (belongs(&tables->slots[i], key)) {
            tables->slots[i].used = tables->now;
            return tables->slots[i].table;
        }
    uint16_t *seen = &tables->seen[key->x[0] % COUNTERS];
    if (++*seen < KC_EC_TABLE_AFTER)
        return NULL;
    *seen = 0;
    return add_table(tables, key);
}

KC_EC const uint64_t *kc_ec_table_generator(struct kc_ec_tables *tables,
                                            const struct kc_ec_curve *curve)
{
    if (!tables->generator) {
        tables->generator = aligned_alloc(LINE, KC_EC_TABLE_WORDS * sizeof(uint64_t));
        if (tables->generator) {
            kc_ec_copy(tables->build->walker.x, curve->gx, ND);
            kc_ec_copy(tables->build->walker.y, curve->gy, ND);
            build(tables->build, curve, tables->generator);
        }
    }
    return tables->generator;
}

/* --- adding */

/* Rows become columns: word w of line i to lane i of column w. */
KC_EC_INLINE void transpose(__m512i *to, const uint64_t *const line[KC_EC_LANES])
{
    __m512i a[8], b[8];
    KC_EC_UNROLL for (unsigned i = 0; i < 4; i++)
    {
        const __m512i low = _mm512_load_si512(line[2 * i]);
        const __m512i high = _mm512_load_si512(line[2 * i + 1]);
        a[2 * i] = _mm512_unpacklo_epi64(low, high);
        a[2 * i + 1] = _mm512_unpackhi_epi64(low, high);
    }
    KC_EC_UNROLL for (unsigned i = 0; i < 2; i++)
    {
        KC_EC_UNROLL for (unsigned odd = 0; odd < 2; odd++)
        {
            const __m512i low = a[4 * i + odd], high = a[4 * i + 2 + odd];
            b[4 * i + odd] = _mm512_shuffle_i64x2(low, high, 0x88);
            b[4 * i + 2 + odd] = _mm512_shuffle_i64x2(low, high, 0xdd);
        }
    }
    KC_EC_UNROLL for (unsigned i = 0; i < 4; i++)
    {
        to[i] = _mm512_shuffle_i64x2(b[i], b[4 + i], 0x88);
        to[4 + i] = _mm512_shuffle_i64x2(b[i], b[4 + i], 0xdd);
    }
}

/* Four words a lane to five digits. */
KC_EC_INLINE void unpack(__m512i *to, const __m512i *words)
{
    const __m512i mask = _mm512_set1_epi64(KC_EC_MASK);
    to[0] = _mm512_and_si512(words[0], mask);
    to[1] = _mm512_and_si512(
        _mm512_or_si512(_mm512_srli_epi64(words[0], 52), _mm512_slli_epi64(words[1], 12)), mask);
    to[2] = _mm512_and_si512(
        _mm512_or_si512(_mm512_srli_epi64(words[1], 40), _mm512_slli_epi64(words[2], 24)), mask);
    to[3] = _mm512_and_si512(
        _mm512_or_si512(_mm512_srli_epi64(words[2], 28), _mm512_slli_epi64(words[3], 36)), mask);
    to[4] = _mm512_srli_epi64(words[3], 16);
}

/* The points of eight lines, y turned where `negative`. */
KC_EC_INLINE void load_points(const struct kc_ec_curve *curve, __m512i *x, __m512i *y,
                              const uint64_t *const line[KC_EC_LANES], __mmask8 negative)
{
    __m512i words[8], t[KC_EC_DIGITS];
    transpose(words, line);
    unpack(x, words);
    unpack(t, words + 4);
    KC_EC_UNROLL for (unsigned d = 0; d < ND; d++) t[d] =
        _mm512_mask_sub_epi64(t[d], negative, curve->p.m[d], t[d]);
    kc_ec_carry(y, t, ND);
}

KC_EC void kc_ec_table_add(const struct kc_ec_curve *curve, struct kc_ec_point *r, const __m512i *k,
                           const uint64_t *const tables[KC_EC_LANES])
{
    __m512i recoded[KC_EC_DIGITS], x[KC_EC_DIGITS], y[KC_EC_DIGITS];
    const __mmask8 even = kc_ec_recode(curve, recoded, k, WINDOWS * W - 1);
    for (unsigned i = 0; i < WINDOWS; i++) {
        __m512i bits = kc_ec_bits(recoded, ND, i * W, W), index;
        /* upper half: 2 (b - 2^(W-1)) + 1; lower half: the negative of the mirror image */
        const __mmask8 negative = _mm512_testn_epi64_mask(bits, _mm512_set1_epi64(ENTRIES));
        bits = _mm512_mask_xor_epi64(bits, negative, bits, _mm512_set1_epi64(-1));
        index = _mm512_and_si512(bits, _mm512_set1_epi64(ENTRIES - 1));
        const uint64_t *line[KC_EC_LANES];
        for (unsigned lane = 0; lane < KC_EC_LANES; lane++)
            line[lane] = tables[lane] + ((size_t)i * ENTRIES + kc_ec_rows(&index)[0][lane]) * 8;
        load_points(curve, x, y, line, (__mmask8)(negative ^ even));
        kc_point_add_affine(curve, r, x, y, ND);
    }
}

/* --- a few requests over all lanes: a term of the sum is a window of one of the two scalars */

#define TERMS (2 * WINDOWS)

struct term {
    const uint64_t *line;
    bool negative;
};

static void terms_of(struct term *terms, uint64_t (*recoded)[KC_EC_LANES], bool even, unsigned lane,
                     const uint64_t *table)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        const unsigned at = i * W, digit = at / KC_EC_DIGIT, shift = at % KC_EC_DIGIT;
        uint64_t bits = recoded[digit][lane] >> shift;
        if (shift + W > KC_EC_DIGIT && digit + 1 < ND)
            bits |= recoded[digit + 1][lane] << (KC_EC_DIGIT - shift);
        const bool low = (bits & ENTRIES) == 0;
        const uint64_t index = (low ? ~bits : bits) & (ENTRIES - 1);
        terms[i] = (struct term){table + ((size_t)i * ENTRIES + index) * 8, low != even};
    }
}

/* Lane l of the result is lane from[l] of the point. */
KC_EC_INLINE void permute(struct kc_ec_point *to, const struct kc_ec_point *point, __m512i from)
{
    KC_EC_UNROLL for (unsigned d = 0; d < ND; d++)
    {
        to->x[d] = _mm512_permutexvar_epi64(from, point->x[d]);
        to->y[d] = _mm512_permutexvar_epi64(from, point->y[d]);
        to->z[d] = _mm512_permutexvar_epi64(from, point->z[d]);
    }
}

/* The points of round `round`; the lanes that have one. */
static KC_EC __mmask8 round_points(const struct kc_ec_curve *curve, __m512i *x, __m512i *y,
                                   const struct term (*terms)[TERMS], unsigned count,
                                   unsigned share, unsigned round)
{
    const uint64_t *line[KC_EC_LANES];
    unsigned negative = 0, there = 0;
    for (unsigned lane = 0; lane < KC_EC_LANES; lane++) {
        const unsigned request = lane / share < count ? lane / share : 0;
        const unsigned at = round * share + lane % share;
        const struct term *term = &terms[request][at < TERMS ? at : 0];
        line[lane] = term->line;
        negative |= (unsigned)term->negative << lane;
        there |= (unsigned)(at < TERMS) << lane;
    }
    load_points(curve, x, y, line, (__mmask8)negative);
    return (__mmask8)there;
}

KC_EC void kc_ec_table_split(const struct kc_ec_curve *curve, struct kc_ec_point *r, __m512i *u1,
                             __m512i *u2, const uint64_t *generator, const uint64_t *const *tables,
                             unsigned count)
{
    struct term terms[KC_EC_SPLIT_MAX][TERMS];
    __m512i recoded[2][KC_EC_DIGITS], x[KC_EC_DIGITS], y[KC_EC_DIGITS];
    struct kc_ec_point other;
    const unsigned share = count == 1 ? 8 : count == 2 ? 4 : 2;
    const __mmask8 even1 = kc_ec_recode(curve, recoded[0], u1, WINDOWS * W - 1);
    const __mmask8 even2 = kc_ec_recode(curve, recoded[1], u2, WINDOWS * W - 1);
    for (unsigned i = 0; i < count; i++) {
        terms_of(terms[i], kc_ec_rows(recoded[0]), even1 >> i & 1, i, generator);
        terms_of(terms[i] + WINDOWS, kc_ec_rows(recoded[1]), even2 >> i & 1, i, tables[i]);
    }
    (void)round_points(curve, r->x, r->y, terms, count, share, 0);
    kc_ec_copy(r->z, curve->p.one, ND);
    for (unsigned round = 1; round * share < TERMS; round++) {
        const __mmask8 there = round_points(curve, x, y, terms, count, share, round);
        other = *r;
        kc_point_add_affine(curve, &other, x, y, ND);
        KC_EC_UNROLL for (unsigned d = 0; d < ND; d++)
        {
            r->x[d] = _mm512_mask_mov_epi64(r->x[d], there, other.x[d]);
            r->y[d] = _mm512_mask_mov_epi64(r->y[d], there, other.y[d]);
            r->z[d] = _mm512_mask_mov_epi64(r->z[d], there, other.z[d]);
        }
    }
    const __m512i own = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    for (unsigned step = share / 2; step > 0; step /= 2) {
        permute(&other, r, _mm512_add_epi64(own, _mm512_set1_epi64(step)));
        kc_ec_point_add(curve, r, r, &other);
    }
    permute(&other, r, _mm512_mullo_epi64(own, _mm512_set1_epi64(share)));
    *r = other;
}

#endif

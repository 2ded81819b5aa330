#include "tests/support/batch.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST_WIDTH   4
#define SHOWN         10
#define OUT_ROOM(len) ((len) + 1024)

struct chunk {
    struct chunk *next;
    uint8_t data[];
};

struct kt_set {
    struct kt_case *cases;
    size_t count, room;
    struct chunk *chunks;
};

static void *must(void *memory)
{
    if (!memory) {
        abort();
    }
    return memory;
}

struct kt_set *kt_set_create(void)
{
    return must(calloc(1, sizeof(struct kt_set)));
}

void kt_set_free(struct kt_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        kc_key_unref((struct kc_key *)(uintptr_t)set->cases[i].op.key);
    }
    while (set->chunks) {
        struct chunk *chunk = set->chunks;
        set->chunks = chunk->next;
        free(chunk);
    }
    free(set->cases);
    free(set);
}

static uint8_t *room(struct kt_set *set, size_t len)
{
    struct chunk *chunk = must(malloc(sizeof(*chunk) + len + 1));
    chunk->next = set->chunks;
    set->chunks = chunk;
    return chunk->data;
}

static uint8_t nibble(char c)
{
    return (uint8_t)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

struct kw_span kt_hex(struct kt_set *set, const char *text)
{
    size_t digits = strspn(text, "0123456789abcdefABCDEF"), len = (digits + 1) / 2;
    uint8_t *out = room(set, len);
    memset(out, 0, len);
    for (size_t i = 0; i < digits; i++) {
        size_t place = i + (digits & 1);
        out[place / 2] = (uint8_t)(out[place / 2] << 4 | nibble(text[i]));
    }
    return kw_span_of(out, len);
}

struct kw_span kt_copy(struct kt_set *set, struct kw_span from)
{
    uint8_t *out = room(set, from.len);
    if (from.len != 0) {
        memcpy(out, from.data, from.len);
    }
    return kw_span_of(out, from.len);
}

struct kw_span kt_digest(struct kt_set *set, enum kw_hash hash, struct kw_span message)
{
    static const char *const names[] = {"", "SHA1", "SHA256", "SHA384", "SHA512"};
    size_t len = 0;
    uint8_t *out = room(set, EVP_MAX_MD_SIZE);
    if (EVP_Q_digest(NULL, names[hash], NULL, message.data, message.len, out, &len) != 1) {
        abort();
    }
    return kw_span_of(out, len);
}

void kt_add(struct kt_set *set, const struct kt_case *add)
{
    if (set->count == set->room) {
        set->room = set->room ? set->room * 2 : 256;
        set->cases = must(realloc(set->cases, set->room * sizeof(*set->cases)));
    }
    set->cases[set->count++] = *add;
}

size_t kt_count(const struct kt_set *set)
{
    return set->count;
}

static bool as_expected(const struct kt_case *want, const struct kc_lane_op *got)
{
    if (want->refused) {
        return (got->status == KW_E_CRYPTO || got->status == KW_E_INPUT) && got->out.len == 0;
    }
    if (got->status != KW_OK) {
        return false;
    }
    if (got->kind == KW_KIND_VERIFY) {
        return got->valid == want->valid;
    }
    return got->out.len == want->want.len &&
           (got->out.len == 0 || memcmp(got->out.data, want->want.data, got->out.len) == 0) &&
           (want->tag.len == 0 || memcmp(got->tag, want->tag.data, want->tag.len) == 0);
}

static bool judge(const struct kt_case *want, const struct kc_lane_op *got, size_t position,
                  size_t *failures)
{
    if (as_expected(want, got)) {
        return true;
    }
    if ((*failures)++ < SHOWN) {
        printf("FAILED %s at position %zu: status %s, valid %d, %zu bytes (want %s %d, %zu)\n",
               want->name, position, kw_status_name(got->status), got->valid, got->out.len,
               want->refused ? "refusal" : "ok", want->valid, want->want.len);
    }
    return false;
}

/* One window of neighbours. Every lane has its own copy of the operation and its own output. */
static void run_window(const struct kt_case *const *group, size_t n, size_t start, size_t width,
                       enum kc_shape shape, struct kc_scratch *scratch, size_t *failures)
{
    struct kc_lane_op ops[64], *pointers[64];
    for (size_t i = 0; i < width; i++) {
        const struct kt_case *c = group[(start + i) % n];
        size_t cap = OUT_ROOM(c->op.in.len);
        ops[i] = c->op;
        ops[i].out = (struct kw_buf){must(malloc(cap)), 0, cap};
        pointers[i] = &ops[i];
    }
    kc_lanes_run(pointers, width, shape, scratch);
    for (size_t i = 0; i < width; i++) {
        judge(group[(start + i) % n], &ops[i], i, failures);
        free(ops[i].out.data);
    }
}

static void shuffle(const struct kt_case **group, size_t n)
{
    uint64_t state = 0x9e3779b97f4a7c15ull;
    for (size_t i = n; i > 1; i--) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        size_t j = (size_t)(state >> 33) % i;
        const struct kt_case *swap = group[i - 1];
        group[i - 1] = group[j];
        group[j] = swap;
    }
}

/* Splits by shape; a case that has no shape is judged by the refusal itself. */
static size_t gather(const struct kt_case **group, struct kt_set *set, enum kc_shape shape,
                     size_t *failures)
{
    uint8_t byte;
    size_t n = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct kc_lane_op op = set->cases[i].op;
        enum kc_shape own;
        op.out = (struct kw_buf){&byte, 0, SIZE_MAX};
        op.status = kc_lanes_shape(&op, &own);
        op.out.len = 0;
        if (op.status == KW_OK && own == shape) {
            group[n++] = &set->cases[i];
        } else if (op.status != KW_OK && shape == 0) {
            judge(&set->cases[i], &op, 0, failures);
        }
    }
    return n;
}

size_t kt_set_run(struct kt_set *set)
{
    size_t failures = 0;
    const struct kt_case **group = must(calloc(set->count + 1, sizeof(const struct kt_case *)));
    for (int s = 0; s < KC_SHAPE_COUNT; s++) {
        enum kc_shape shape = (enum kc_shape)s;
        size_t n = gather(group, set, shape, &failures);
        size_t width = kc_lanes_width(shape);
        width = width < LEAST_WIDTH ? LEAST_WIDTH : width > 64 ? 64 : width;
        struct kc_scratch *scratch = must(kc_scratch_create());
        shuffle(group, n);
        for (size_t start = 0; start < n; start++) {
            run_window(group, n, start, width, shape, scratch, &failures);
        }
        kc_scratch_destroy(scratch);
    }
    free(group);
    return failures;
}

struct kc_key *kt_oct_key(struct kw_span bytes, bool pad)
{
    uint8_t padded[32] = {0};
    size_t len = bytes.len;
    if (pad && len <= sizeof(padded)) {
        len = len <= 16 ? 16 : len <= 24 ? 24 : 32;
        if (bytes.len != 0) {
            memcpy(padded, bytes.data, bytes.len);
        }
        bytes = kw_span_of(padded, len);
    }
    struct kc_key *key = NULL;
    struct kc_private_parts parts = {.k = bytes};
    return kc_key_import(&key, KW_KTY_OCT, KW_CURVE_NONE, &parts) == KW_OK ? key : NULL;
}

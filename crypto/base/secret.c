#include "crypto/base/secret.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The arena. Secrets live in regions of their own, never beside ordinary heap data:
 *
 *   | guard page | head page (bookkeeping) | blocks of one size class ... | guard page |
 *
 * A region is aligned to its size, so a block's region is found by masking its address. Blocks are
 * 64-byte aligned powers of two. What is too large for a class gets a region of its own, whose head
 * page carries the length. Guard pages stop an overrun from walking in or out. */

#define PAGE        ((size_t)4096)
#define REGION      ((size_t)128 * 1024)
#define DATA_OFFSET (2 * PAGE)
#define DATA_LEN    (REGION - 3 * PAGE)
#define MIN_SHIFT   6  /* 64 bytes */
#define MAX_SHIFT   13 /* 8 KiB */
#define CLASSES     (MAX_SHIFT - MIN_SHIFT + 1)
#define MAP_WORDS   (DATA_LEN / 64 / 64 + 1)
#define MAGIC       0x6b77736563726574ull

struct region {
    uint64_t magic;
    size_t map_len;   /* bytes from guard page to guard page, both included */
    size_t block_len; /* of the class; of the one block of a large region */
    unsigned blocks, used;
    int class;                  /* -1: large */
    struct region *next, *prev; /* regions of the class that have a free block */
    uint64_t taken[MAP_WORDS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *with_room[CLASSES];
static size_t in_use;

static uint8_t *region_base(const struct region *region)
{
    return (uint8_t *)region - PAGE;
}

/* Maps `len` bytes aligned to REGION, everything inaccessible but what lies between the guards. */
static struct region *region_map(size_t len)
{
    size_t wide = len + REGION;
    uint8_t *raw = mmap(NULL, wide, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
        return NULL;
    }
    uint8_t *base = (uint8_t *)(((uintptr_t)raw + REGION - 1) & ~(uintptr_t)(REGION - 1));
    if (base > raw) {
        munmap(raw, (size_t)(base - raw));
    }
    if (base + len < raw + wide) {
        munmap(base + len, (size_t)(raw + wide - (base + len)));
    }
    uint8_t *inner = base + PAGE;
    size_t inner_len = len - 2 * PAGE;
    if (mprotect(inner, inner_len, PROT_READ | PROT_WRITE) != 0) {
        munmap(base, len);
        return NULL;
    }
    /* Both are best effort: a small RLIMIT_MEMLOCK must not stop the service, and then the
     * operator's means are encrypted swap or none. */
    (void)mlock(inner, inner_len);
    (void)madvise(inner, inner_len, MADV_DONTDUMP);
    struct region *region = (struct region *)inner;
    region->magic = MAGIC;
    region->map_len = len;
    return region;
}

static void list_push(struct region *region)
{
    region->prev = NULL;
    region->next = with_room[region->class];
    if (region->next) {
        region->next->prev = region;
    }
    with_room[region->class] = region;
}

static void list_remove(struct region *region)
{
    if (region->prev) {
        region->prev->next = region->next;
    } else {
        with_room[region->class] = region->next;
    }
    if (region->next) {
        region->next->prev = region->prev;
    }
    region->next = region->prev = NULL;
}

static void *take_small(int class)
{
    struct region *region = with_room[class];
    if (!region) {
        region = region_map(REGION);
        if (!region) {
            return NULL;
        }
        region->class = class;
        region->block_len = (size_t)1 << (class + MIN_SHIFT);
        region->blocks = (unsigned)(DATA_LEN / region->block_len);
        list_push(region);
    }
    unsigned word = 0;
    while (region->taken[word] == UINT64_MAX) {
        word++;
    }
    unsigned bit = (unsigned)__builtin_ctzll(~region->taken[word]);
    region->taken[word] |= 1ull << bit;
    region->used++;
    if (region->used == region->blocks) {
        list_remove(region);
    }
    return region_base(region) + DATA_OFFSET + (size_t)(word * 64 + bit) * region->block_len;
}

static void *take_large(size_t len)
{
    if (len > SIZE_MAX / 2) {
        return NULL;
    }
    size_t data = (len + PAGE - 1) & ~(PAGE - 1);
    struct region *region = region_map(data + 3 * PAGE);
    if (!region) {
        return NULL;
    }
    region->class = -1;
    region->block_len = data;
    region->blocks = region->used = 1;
    return region_base(region) + DATA_OFFSET;
}

void *kw_secret_alloc(size_t len)
{
    void *block;
    pthread_mutex_lock(&lock);
    if (len <= (size_t)1 << MAX_SHIFT) {
        int class = 0;
        while (((size_t)1 << (class + MIN_SHIFT)) < len) {
            class ++;
        }
        block = take_small(class);
    } else {
        block = take_large(len);
    }
    if (block) {
        in_use++;
    }
    pthread_mutex_unlock(&lock);
    return block;
}

static void give_small(struct region *region, size_t offset)
{
    size_t index = offset / region->block_len;
    if (offset % region->block_len != 0 || index >= region->blocks ||
        !(region->taken[index / 64] >> (index % 64) & 1)) {
        abort(); /* not ours, or freed twice */
    }
    kw_wipe(region_base(region) + DATA_OFFSET + offset, region->block_len);
    region->taken[index / 64] &= ~(1ull << (index % 64));
    if (region->used == region->blocks) {
        list_push(region);
    }
    region->used--;
    /* One empty region per class stays, so that a key that comes and goes does not map each time.
     */
    bool only = with_room[region->class] == region && !region->next;
    if (region->used == 0 && !only) {
        list_remove(region);
        munmap(region_base(region), region->map_len);
    }
}

void kw_secret_free(void *secret)
{
    if (!secret) {
        return;
    }
    uint8_t *base = (uint8_t *)((uintptr_t)secret & ~(uintptr_t)(REGION - 1));
    struct region *region = (struct region *)(base + PAGE);
    size_t offset = (size_t)((uint8_t *)secret - base);
    pthread_mutex_lock(&lock);
    if (offset < DATA_OFFSET || region->magic != MAGIC) {
        abort();
    }
    if (region->class < 0) {
        kw_wipe(secret, region->block_len);
        munmap(base, region->map_len);
    } else {
        give_small(region, offset - DATA_OFFSET);
    }
    in_use--;
    pthread_mutex_unlock(&lock);
}

size_t kw_secret_in_use(void)
{
    pthread_mutex_lock(&lock);
    size_t count = in_use;
    pthread_mutex_unlock(&lock);
    return count;
}

void kw_wipe(void *data, size_t len)
{
    if (len != 0) {
        explicit_bzero(data, len);
    }
}

int kw_ct_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

kw_status kw_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        int part = len > INT_MAX ? INT_MAX : (int)len;
        if (RAND_bytes(at, part) != 1) {
            return KW_E_INTERNAL;
        }
        at += part;
        len -= (size_t)part;
    }
    return KW_OK;
}

kw_status kw_secret_copy(struct kw_secret *out, struct kw_span from)
{
    *out = (struct kw_secret){0};
    if (from.len == 0) {
        return KW_OK;
    }
    out->data = kw_secret_alloc(from.len);
    if (!out->data) {
        return KW_E_NOMEM;
    }
    memcpy(out->data, from.data, from.len);
    out->len = from.len;
    return KW_OK;
}

void kw_secret_clear(struct kw_secret *secret)
{
    kw_secret_free(secret->data);
    *secret = (struct kw_secret){0};
}

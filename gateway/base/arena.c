#include "gateway/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/secret.h"

#define CHUNK_ROOM 4064 /* with its header: just under a page, a jemalloc size class */

struct chunk {
    struct chunk *next;
    size_t used, cap;
    _Alignas(16) unsigned char room[];
};

struct gw_arena {
    struct chunk *head;
};

static struct chunk *chunk_add(struct gw_arena *arena, size_t cap)
{
    struct chunk *chunk = malloc(sizeof *chunk + cap);
    if (!chunk)
        return NULL;
    chunk->used = 0;
    chunk->cap = cap;
    chunk->next = arena->head;
    arena->head = chunk;
    return chunk;
}

struct gw_arena *gw_arena_create(void)
{
    return calloc(1, sizeof(struct gw_arena));
}

void gw_arena_destroy(struct gw_arena *arena)
{
    if (!arena)
        return;
    while (arena->head) {
        struct chunk *chunk = arena->head;
        arena->head = chunk->next;
        /* requests carry plaintext: what was used is wiped, the rest was never written */
        kw_wipe(chunk->room, chunk->used);
        free(chunk);
    }
    free(arena);
}

void *gw_arena_alloc(struct gw_arena *arena, size_t len)
{
    if (len > SIZE_MAX / 2)
        return NULL;
    size_t need = (len + 15) & ~(size_t)15;
    struct chunk *chunk = arena->head;
    if (!chunk || chunk->cap - chunk->used < need) {
        chunk = chunk_add(arena, need > CHUNK_ROOM ? need : CHUNK_ROOM);
        if (!chunk)
            return NULL;
    }
    void *out = chunk->room + chunk->used;
    chunk->used += need;
    memset(out, 0, need);
    return out;
}

char *gw_arena_strndup(struct gw_arena *arena, const char *text, size_t len)
{
    if (len == SIZE_MAX)
        return NULL;
    char *out = gw_arena_alloc(arena, len + 1);
    if (out && len > 0)
        memcpy(out, text, len);
    return out;
}

char *gw_arena_printf(struct gw_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = len < 0 ? NULL : gw_arena_alloc(arena, (size_t)len + 1);
    if (out)
        vsnprintf(out, (size_t)len + 1, format, again);
    va_end(again);
    return out;
}

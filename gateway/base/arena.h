#pragma once
/* Memory of one request: bump allocation, freed and wiped as a whole. One thread. */

#include <stddef.h>

struct gw_arena;

struct gw_arena *gw_arena_create(void);
/** Wipes and frees everything that came from it. NULL is allowed. */
void gw_arena_destroy(struct gw_arena *arena);
/** 16-byte aligned, zeroed; NULL when memory is short. */
void *gw_arena_alloc(struct gw_arena *arena, size_t len);
/** NUL-terminated copy; NULL when memory is short. */
char *gw_arena_strndup(struct gw_arena *arena, const char *text, size_t len);
char *gw_arena_printf(struct gw_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

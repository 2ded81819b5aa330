#pragma once
/* A growing text. Once memory is short it stays failed and is given back as NULL. One thread. */

#include <stdbool.h>
#include <stddef.h>

struct gw_text {
    char *data;
    size_t len, cap;
    bool failed;
};

void gw_text_add(struct gw_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** The text, NUL-terminated and the caller's to free, or NULL when memory was short. */
char *gw_text_take(struct gw_text *text, size_t *len);

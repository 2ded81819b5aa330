#include "gateway/obs/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool grow(struct gw_text *text, size_t need)
{
    size_t cap = text->cap ? text->cap : 4096;
    while (cap - text->len <= need)
        cap *= 2;
    if (cap == text->cap)
        return true;
    char *data = realloc(text->data, cap);
    if (!data)
        return false;
    text->data = data;
    text->cap = cap;
    return true;
}

void gw_text_add(struct gw_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || text->failed || !grow(text, (size_t)n)) {
        text->failed = true;
    } else {
        vsnprintf(text->data + text->len, (size_t)n + 1, format, again);
        text->len += (size_t)n;
    }
    va_end(again);
}

char *gw_text_take(struct gw_text *text, size_t *len)
{
    if (text->failed) {
        free(text->data);
        text->data = NULL;
    }
    *len = text->data ? text->len : 0;
    return text->data;
}

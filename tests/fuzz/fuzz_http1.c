/* The strict HTTP/1.1 scanner and the chunk decoder. However a body is cut into reads, the same
 * bytes come out of it. */
#include "gateway/http/h1_strict.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct kw_span part, const uint8_t *data, size_t size)
{
    return part.len == 0 || (part.data >= data && part.data + part.len <= data + size);
}

static void head(const uint8_t *data, size_t size)
{
    struct gw_h1_fault fault = {0};
    struct gw_h1_head out = {0};
    size_t scanned = 0;
    size_t len = gw_h1_head_end(data, size, &scanned, &fault);
    if (len > size)
        abort();
    if (len == 0 || fault.status != 0)
        return;
    fault = gw_h1_check(data, len, &out);
    /* an absolute target without a path gets a "/" of the program's own */
    int root = out.target.len == 1 && out.target.data[0] == '/';
    if (fault.status == 0 &&
        (!inside(out.method, data, size) || (!root && !inside(out.target, data, size)) ||
         !inside(out.host, data, size) || (out.chunked && out.content_length >= 0)))
        abort();
}

/* Adds what a body comes to when read `step` bytes at a time. */
static enum gw_h1_step body(const uint8_t *data, size_t size, size_t step, uint64_t *sum)
{
    struct gw_h1_chunks chunks = {0};
    struct gw_h1_fault fault = {0};
    *sum = 1469598103934665603u;
    for (size_t at = 0; at < size;) {
        size_t len = size - at < step ? size - at : step, used = 0;
        struct kw_span piece = {0};
        enum gw_h1_step result = gw_h1_chunks_feed(&chunks, data + at, len, &used, &piece, &fault);
        if (used > len || (result == GW_H1_PIECE && !inside(piece, data + at, len)))
            abort();
        for (size_t i = 0; result == GW_H1_PIECE && i < piece.len; i++)
            *sum = (*sum ^ piece.data[i]) * 1099511628211u;
        if (result == GW_H1_BAD || result == GW_H1_END)
            return result;
        if (used == 0)
            abort(); /* no progress: a loop would spin */
        at += used;
    }
    return GW_H1_MORE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole, cut;
    head(data, size);
    enum gw_h1_step a = body(data, size, size, &whole), b = body(data, size, 1, &cut);
    if (a != b || (a != GW_H1_BAD && whole != cut))
        abort();
    return 0;
}

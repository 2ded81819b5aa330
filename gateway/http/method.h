#pragma once
#include <string.h>

#include "gateway/http/request.h"

/** Methods are compared by length and bytes; anything unknown is GW_METHOD_OTHER. */
static inline enum gw_method gw_method_of(struct kw_span name)
{
#define GW_METHOD_IS(text) (memcmp(name.data, text, sizeof(text) - 1) == 0)
    switch (name.len) {
    case 3:
        return GW_METHOD_IS("GET") ? GW_GET : GW_METHOD_IS("PUT") ? GW_PUT : GW_METHOD_OTHER;
    case 4:
        return GW_METHOD_IS("POST") ? GW_POST : GW_METHOD_IS("HEAD") ? GW_HEAD : GW_METHOD_OTHER;
    case 5:
        return GW_METHOD_IS("PATCH") ? GW_PATCH : GW_METHOD_OTHER;
    case 6:
        return GW_METHOD_IS("DELETE") ? GW_DELETE : GW_METHOD_OTHER;
    case 7:
        return GW_METHOD_IS("OPTIONS") ? GW_OPTIONS : GW_METHOD_OTHER;
    default:
        return GW_METHOD_OTHER;
    }
#undef GW_METHOD_IS
}

/** Copies bytes into the request's arena. False when memory is short. */
static inline bool gw_request_keep(struct gw_request *req, struct kw_span *out, const void *data,
                                   size_t len)
{
    char *copy = gw_arena_strndup(req->arena, data, len);
    *out = kw_span_of(copy, copy ? len : 0);
    return copy != NULL;
}

#include "gateway/http/reply_fields.h"

#include <string.h>

#define FIELD(n, v) ((struct gw_field){n, v, sizeof(n) - 1, sizeof(v) - 1, false})

/* snprintf costs more than the rest of an answer's head. */
static struct gw_field content_length(struct gw_request *req)
{
    struct gw_field field = {"content-length", "0", 14, 1, true};
    char *room = gw_arena_alloc(req->arena, 24);
    if (!room)
        return field;
    char *at = room + 23;
    size_t left = req->reply.body_len;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    field.value = at;
    field.value_len = (size_t)(room + 23 - at);
    return field;
}

static bool is_fresh(const char *name, size_t len)
{
    return len > 4 && memcmp(name, "x-ms", 4) == 0 && strstr(name, "request-id") != NULL;
}

size_t gw_reply_fields(struct gw_request *req, const char *date,
                       struct gw_field out[GW_REPLY_FIELDS_MAX])
{
    const struct gw_reply *reply = &req->reply;
    size_t n = 0;
    if (reply->content_type && gw_status_has_body(reply->status))
        out[n++] = (struct gw_field){"content-type", reply->content_type, 12,
                                     strlen(reply->content_type), false};
    if (gw_status_has_body(reply->status))
        out[n++] = content_length(req);
    out[n++] = FIELD("cache-control", "no-cache");
    out[n++] = FIELD("pragma", "no-cache");
    out[n++] = FIELD("expires", "-1");
    out[n++] = FIELD("x-content-type-options", "nosniff");
    if (req->peer->tls)
        out[n++] = FIELD("strict-transport-security", "max-age=31536000;includeSubDomains");
    out[n++] = (struct gw_field){"date", date, 4, strlen(date), false};
    for (size_t i = 0; i < reply->header_count && i < GW_MAX_REPLY_HEADERS; i++) {
        const struct gw_header *header = &reply->headers[i];
        size_t len = strlen(header->name);
        out[n++] = (struct gw_field){header->name, header->value, len, strlen(header->value),
                                     is_fresh(header->name, len)};
    }
    return n;
}

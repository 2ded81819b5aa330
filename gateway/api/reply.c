#include "gateway/api/reply.h"

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/api/error.h"
#include "gateway/api/route.h"
#include "gateway/app.h"
#include "gateway/base/guid.h"

void gw_request_id(char out[37])
{
    /* one draw from the generator serves 64 ids */
    static _Thread_local uint8_t pool[64 * 16];
    static _Thread_local size_t left;
    if (left == 0) {
        if (kw_random(pool, sizeof pool) != KW_OK)
            memset(pool, 0, sizeof pool);
        left = sizeof pool / 16;
    }
    uint8_t *id = pool + --left * 16;
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    gw_guid_write(out, id);
}

void gw_reply_header(struct gw_request *req, const char *name, const char *value)
{
    struct gw_reply *reply = &req->reply;
    if (reply->header_count < GW_MAX_REPLY_HEADERS)
        reply->headers[reply->header_count++] = (struct gw_header){name, value};
}

/* Sent back as it came, where it is a token that a header can carry. */
static const char *client_id(struct gw_request *req)
{
    struct kw_span id = req->client_request_id;
    if (id.len == 0 || id.len > 128)
        return NULL;
    for (size_t i = 0; i < id.len; i++) {
        if (id.data[i] <= 0x20 || id.data[i] >= 0x7f)
            return NULL;
    }
    return gw_arena_strndup(req->arena, (const char *)id.data, id.len);
}

/* The constant ones (cache-control and the like) are the protocol side's. */
static void common_headers(struct gw_request *req)
{
    gw_reply_header(req, "x-ms-request-id", req->id);
    const char *id = client_id(req);
    if (id)
        gw_reply_header(req, "x-ms-client-request-id", id);
    gw_reply_header(req, "x-ms-keyvault-service-version", KEYWARD_VERSION);
}

void gw_reply_owned(struct gw_request *req, int status, const char *content_type, void *body,
                    size_t len, void (*release)(void *))
{
    struct gw_reply *reply = &req->reply;
    if (req->replied) {
        /* a second answer is a bug of the caller; the first one stands */
        if (release)
            release(body);
        return;
    }
    req->replied = true;
    reply->status = status;
    reply->content_type = len > 0 ? content_type : NULL;
    reply->body = body;
    reply->body_len = len;
    reply->body_free = release;
    common_headers(req);
    gw_metrics_request(gw_loop_app(req->loop)->metrics, gw_loop_index(req->loop),
                       gw_route_index(req->route), status, kw_now_ns() - req->started_ns);
    if (!req->detached)
        req->transport->send(req);
}

void gw_reply(struct gw_request *req, int status, const char *content_type, const void *body,
              size_t len)
{
    gw_reply_owned(req, status, content_type, (void *)body, len, NULL);
}

void gw_reply_json(struct gw_request *req, int status, const struct gw_out *out)
{
    if (out->failed)
        gw_reply_nomem(req);
    else
        gw_reply(req, status, GW_JSON_TYPE, out->data, out->len);
}

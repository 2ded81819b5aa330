#include "gateway/http/request.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/app.h"
#include "gateway/http/fault.h"
#include "gateway/http/request_body.h"

#define BODY_START       1024
#define BODY_MAX_DEFAULT 262144

/* Lives in its own arena: a request is two allocations. */
struct box {
    struct gw_request req;
    struct gw_in_flight *in_flight;
};

struct gw_in_flight *gw_in_flight_create(void)
{
    return calloc(1, sizeof(struct gw_in_flight));
}

void gw_in_flight_drop(struct gw_in_flight *in_flight)
{
    if (!in_flight)
        return;
    in_flight->orphan = true;
    if (in_flight->count == 0)
        free(in_flight);
}

void gw_request_count_in(struct gw_request *req, struct gw_in_flight *in_flight)
{
    ((struct box *)req)->in_flight = in_flight;
    in_flight->count++;
}

struct gw_request *gw_request_create(struct gw_loop *loop, struct gw_peer *peer,
                                     const struct gw_transport *transport, void *stream)
{
    struct gw_arena *arena = gw_arena_create();
    struct box *box = arena ? gw_arena_alloc(arena, sizeof *box) : NULL;
    if (!box) {
        gw_arena_destroy(arena);
        return NULL;
    }
    struct gw_request *req = &box->req;
    struct gw_app *app = gw_loop_app(loop);
    const struct gw_limits *limits = app->config ? gw_app_limits(app) : NULL;
    req->loop = loop;
    req->peer = peer;
    req->transport = transport;
    req->stream = stream;
    req->arena = arena;
    req->refs = 1;
    req->content_length = -1;
    req->started_ns = kw_now_ns();
    req->body_max = limits && limits->max_body ? limits->max_body : BODY_MAX_DEFAULT;
    return req;
}

void gw_request_ref(struct gw_request *req)
{
    req->refs++;
}

void gw_request_unref(struct gw_request *req)
{
    if (--req->refs > 0)
        return;
    struct gw_in_flight *in_flight = ((struct box *)req)->in_flight;
    if (req->body.data) {
        kw_wipe(req->body.data, req->body.len);
        free(req->body.data);
    }
    if (req->reply.body && req->reply.body_free)
        req->reply.body_free(req->reply.body);
    gw_arena_destroy(req->arena);
    if (in_flight && --in_flight->count == 0 && in_flight->orphan)
        free(in_flight);
}

/* Not realloc: it could leave a copy of a secret behind. */
static kw_status body_grow(struct gw_request *req, size_t need)
{
    struct kw_buf *body = &req->body;
    size_t cap = body->cap ? body->cap * 2 : BODY_START;
    /* a declared length is believed only a little ahead of what has come */
    if (req->content_length > 0 && (uint64_t)req->content_length <= 65536)
        cap = (size_t)req->content_length;
    if (cap < need)
        cap = need * 2;
    if (cap > req->body_max)
        cap = req->body_max;
    uint8_t *data = malloc(cap);
    if (!data)
        return KW_E_NOMEM;
    if (body->data) {
        memcpy(data, body->data, body->len);
        kw_wipe(body->data, body->len);
        free(body->data);
    }
    body->data = data;
    body->cap = cap;
    return KW_OK;
}

kw_status gw_request_body_append(struct gw_request *req, struct kw_span piece)
{
    struct kw_buf *body = &req->body;
    if (piece.len == 0)
        return KW_OK;
    if (piece.len > req->body_max || body->len > req->body_max - piece.len)
        return KW_E_TOO_LARGE;
    if (body->cap - body->len < piece.len)
        KW_TRY(body_grow(req, body->len + piece.len));
    memcpy(body->data + body->len, piece.data, piece.len);
    body->len += piece.len;
    return KW_OK;
}

void gw_request_fault(struct gw_request *req, int status, const char *message)
{
    if (req->replied)
        return;
    char *body = gw_arena_alloc(req->arena, GW_FAULT_MAX);
    req->replied = true;
    req->reply.status = status;
    req->reply.header_count = 0;
    req->reply.content_type = GW_FAULT_TYPE;
    req->reply.body = (uint8_t *)body;
    req->reply.body_len = body ? gw_fault_body(body, status, message) : 0;
    req->reply.body_free = NULL;
    req->transport->send(req);
}

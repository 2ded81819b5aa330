#pragma once
/* A request, the same whether it came by HTTP/2 or HTTP/1.1. The protocol side (gateway/http) fills
 * it and sends its reply; everything after it (router, identity, access, api) sees only this.
 *
 * Life: headers complete -> gw_request_begin (route, identity, access; may answer at once: a 401
 * comes before the body is looked at) -> body gathered, or handed on in pieces where the route
 * streams -> gw_request_run (the route's handler) -> gw_reply (once, now or later, on the same loop
 * thread) -> the protocol side sends and drops its reference.
 *
 * The request outlives its stream: when the client goes away the protocol side only marks it
 * `detached`; whoever has an operation in flight holds a reference, so that its buffers stay. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"
#include "gateway/base/arena.h"
#include "gateway/net/loop.h"

enum gw_method {
    GW_GET,
    GW_HEAD,
    GW_POST,
    GW_PUT,
    GW_PATCH,
    GW_DELETE,
    GW_OPTIONS,
    GW_METHOD_OTHER
};

struct gw_route;
struct gw_identity;
struct gw_site;
struct gw_request;

/** Which set of routes a listener serves. */
enum gw_face { GW_FACE_API, GW_FACE_ADMIN, GW_FACE_CONTROL };

/** What the connection knows of its peer; lives as long as the connection. */
struct gw_peer {
    enum gw_face face;
    bool tls;
    bool local; /* Unix-domain socket: the credentials below are the kernel's */
    uint32_t uid, gid;
    char address[64]; /* numeric, for the log */
    /* the last verified bearer token of this connection, so that the same one is not hashed again
     */
    uint8_t token_hash_key[32];
    void *token_cache; /* gateway/auth's; freed by token_cache_free */
    void (*token_cache_free)(void *);
};

/** How the protocol side is reached from the request. */
struct gw_transport {
    /** The reply is complete in req->reply: send it. Called once, on the loop's thread. */
    void (*send)(struct gw_request *req);
    /** Stop, or go on, taking in body bytes (flow control of a streamed body). */
    void (*pause_body)(struct gw_request *req, bool pause);
};

#define GW_MAX_REPLY_HEADERS 12
#define GW_MAX_PARAMS        4

struct gw_header {
    const char *name; /* lower case, static or arena */
    const char *value;
};

struct gw_reply {
    int status;
    const char *content_type; /* NULL: no content-type */
    struct gw_header headers[GW_MAX_REPLY_HEADERS];
    size_t header_count;
    uint8_t *body; /* owned by the request: arena, or `body_free` is called on it at the end */
    size_t body_len;
    void (*body_free)(void *);
};

struct gw_request {
    struct gw_loop *loop;
    struct gw_peer *peer; /* valid until detached; copy what you need */
    const struct gw_transport *transport;
    void *stream; /* the protocol side's */
    struct gw_arena *arena;
    unsigned refs; /* gw_request_ref / _unref; loop thread only */
    bool detached; /* the client went away: replies are dropped */
    bool replied;
    bool http2;

    /* the head, borrowed from the arena */
    enum gw_method method;
    struct kw_span target;    /* path and query as received */
    struct kw_span authority; /* Host or :authority, port included; may be empty */
    struct kw_span authorization;
    struct kw_span client_request_id;
    struct kw_span via; /* gateways it came through (POOL_VIA_FIELD) */
    struct kw_span content_type;
    int64_t content_length; /* -1: not known */
    int64_t started_ns;
    char id[37]; /* x-ms-request-id: a GUID, made at begin */

    /* set by gw_request_begin */
    const struct gw_route *route;
    struct kw_span params[GW_MAX_PARAMS]; /* decoded path parameters, in order of the pattern */
    size_t param_count;
    struct kw_span query; /* raw, without '?' */
    const struct gw_identity *identity;
    const struct gw_site *site; /* which vault; face API only */

    /* the body when the route does not stream */
    struct kw_buf body;
    size_t body_max;

    /* a streaming route's own state */
    void *route_data;

    struct gw_reply reply;
};

/** What the protocol side does after gw_request_begin. */
enum gw_begin {
    GW_BEGIN_REPLIED, /* answered already: discard the body */
    GW_BEGIN_BUFFER,  /* gather the body into req->body (up to body_max), then gw_request_run */
    GW_BEGIN_STREAM   /* call gw_request_body for each piece, then gw_request_run */
};

/** Made by the protocol side with one reference. NULL when memory is short. */
struct gw_request *gw_request_create(struct gw_loop *loop, struct gw_peer *peer,
                                     const struct gw_transport *transport, void *stream);
void gw_request_ref(struct gw_request *req);
void gw_request_unref(struct gw_request *req);

/* Implemented by gateway/api/dispatch.c, called by gateway/http. */
enum gw_begin gw_request_begin(struct gw_request *req);
void gw_request_body(struct gw_request *req, struct kw_span piece);
void gw_request_run(struct gw_request *req);
/** Body larger than body_max, declared or received: answers 413 in the API's shape. */
void gw_request_too_large(struct gw_request *req);

/* Used by handlers. */
void gw_reply_header(struct gw_request *req, const char *name, const char *value);
/** Answers with a body that lives in the arena or is static. Once per request. */
void gw_reply(struct gw_request *req, int status, const char *content_type, const void *body,
              size_t len);
/** Answers with a body that is freed by `release` after it was sent. */
void gw_reply_owned(struct gw_request *req, int status, const char *content_type, void *body,
                    size_t len, void (*release)(void *));

/** Value of a query parameter, names compared after percent-decoding; decoded into the arena.
 *  False when it is absent. */
bool gw_query_get(struct gw_request *req, const char *name, struct kw_span *value);

/* HTTP/1.1 on one connection: one request at a time, what is pipelined behind it waits. */

#include <http_parser.h>
#include <stdlib.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/http/conn.h"
#include "gateway/http/fault.h"
#include "gateway/http/h1_reply.h"
#include "gateway/http/h1_strict.h"
#include "gateway/http/limits.h"
#include "gateway/http/method.h"
#include "gateway/http/request_body.h"

#define WAITING_MAX 16384 /* bytes taken in behind a request that is being served */

enum input { IN_HEAD, IN_BODY, IN_DONE };

struct h1 {
    struct gw_conn *conn;
    enum input input;
    struct kw_buf in; /* bytes that wait: a head in pieces, or what follows the request */
    size_t scanned;   /* of the head in `in` */
    bool blank_skipped;
    struct gw_request *req;
    struct gw_h1_head head; /* its spans are valid only while the head is read */
    struct gw_h1_chunks chunks;
    uint64_t body_left, body_got;
    bool stream, discard, paused;
    bool resume;  /* `in` has bytes that can be looked at again */
    bool interim; /* 100 Continue is to be sent */
    bool replied; /* the reply is complete in req->reply */
    bool head_sent;
    size_t sent; /* of the reply's body */
    bool close;  /* after this answer */
    bool over;   /* nothing will follow: close */
    uint64_t requests;
    int64_t opened_ns, active_ns, head_ns, body_ns;
};

static const struct gw_transport h1_transport;

static void next_request(struct h1 *h1);

void *gw_h1_create(struct gw_conn *conn)
{
    struct h1 *h1 = calloc(1, sizeof *h1);
    if (!h1)
        return NULL;
    h1->conn = conn;
    h1->opened_ns = h1->active_ns = gw_loop_now(conn->group->loop);
    return h1;
}

static void drop_in(struct h1 *h1)
{
    if (h1->in.data) {
        kw_wipe(h1->in.data, h1->in.len);
        free(h1->in.data);
    }
    h1->in = (struct kw_buf){0};
}

/* The client is gone or the answer is out: the request may live on, but no longer with us. */
static void let_go(struct h1 *h1)
{
    struct gw_request *req = h1->req;
    if (!req)
        return;
    h1->req = NULL;
    req->detached = true;
    req->stream = NULL;
    req->peer = NULL;
    gw_request_unref(req);
}

static void h1_destroy(void *proto)
{
    struct h1 *h1 = proto;
    let_go(h1);
    drop_in(h1);
    free(h1);
}

/* --- faults --- */

static struct gw_request *new_request(struct h1 *h1)
{
    struct gw_conn *conn = h1->conn;
    return gw_request_create(conn->group->loop, &conn->peer, &h1_transport, h1);
}

/* Answers with an error and reads nothing more: whatever follows could be anything. */
static void fail(struct h1 *h1, struct gw_h1_fault fault)
{
    h1->close = true;
    h1->input = IN_DONE;
    if (!h1->req) {
        h1->req = new_request(h1);
        if (h1->req)
            h1->req->method = GW_METHOD_OTHER;
    }
    if (!h1->req)
        h1->over = true;
    else
        gw_request_fault(h1->req, fault.status, fault.why);
}

/* --- the head --- */

/* What the parser's callbacks gather. */
struct gather {
    struct gw_request *req;
    struct kw_span name;
    bool complete, failed;
    unsigned authorizations;
};

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct gather *gather = parser->data;
    gather->name = kw_span_of(at, len);
    return 0;
}

static bool named(struct kw_span name, const char *lower)
{
    return gw_span_iequal(name, kw_span_str(lower));
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct gather *gather = parser->data;
    struct gw_request *req = gather->req;
    struct kw_span name = gather->name, *out = NULL;
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    switch (name.len) {
    case 12:
        out = named(name, "content-type") ? &req->content_type : NULL;
        break;
    case 13:
        out = named(name, "authorization") ? &req->authorization : NULL;
        if (out && ++gather->authorizations > 1)
            gather->failed = true;
        if (!out && named(name, "x-keyward-via"))
            out = &req->via;
        break;
    case 22:
        out = named(name, "x-ms-client-request-id") ? &req->client_request_id : NULL;
        break;
    default:
        break;
    }
    if (out && !gw_request_keep(req, out, at, len))
        gather->failed = true;
    return gather->failed ? -1 : 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct gather *gather = parser->data;
    gather->complete = true;
    return 1; /* the body is not the parser's */
}

/* The parser reads what the strict check let through; both must have understood the same. */
static struct gw_h1_fault parse_head(struct gw_request *req, const uint8_t *data, size_t len,
                                     const struct gw_h1_head *head)
{
    static const http_parser_settings settings = {.on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_headers_complete};
    struct gather gather = {.req = req};
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &gather;
    http_parser_execute(&parser, &settings, (const char *)data, len);
    if (HTTP_PARSER_ERRNO(&parser) == HPE_INVALID_METHOD)
        return (struct gw_h1_fault){501, "the method is not known here"};
    if (gather.authorizations > 1)
        return (struct gw_h1_fault){400, "Authorization is given more than once"};
    if (!gather.complete || gather.failed || HTTP_PARSER_ERRNO(&parser) != HPE_OK)
        return (struct gw_h1_fault){400, "the request's head is malformed"};
    bool chunked = (parser.flags & F_CHUNKED) != 0;
    bool length_differs = head->content_length >= 0
                              ? parser.content_length != (uint64_t)head->content_length
                              : (parser.flags & F_CONTENTLENGTH) != 0;
    if (chunked != head->chunked || (!chunked && length_differs))
        return (struct gw_h1_fault){400, "the request's framing is ambiguous"};
    return (struct gw_h1_fault){0, NULL};
}

static struct gw_h1_fault read_head(struct h1 *h1, const uint8_t *data, size_t len)
{
    struct gw_h1_fault fault = gw_h1_check(data, len, &h1->head);
    if (fault.status)
        return fault;
    struct gw_request *req = h1->req = new_request(h1);
    if (!req)
        return (struct gw_h1_fault){503, "out of memory"};
    const struct gw_h1_head *head = &h1->head;
    req->method = gw_method_of(head->method);
    req->content_length = head->chunked ? -1 : head->content_length < 0 ? 0 : head->content_length;
    if (!gw_request_keep(req, &req->target, head->target.data, head->target.len) ||
        !gw_request_keep(req, &req->authority, head->host.data, head->host.len))
        return (struct gw_h1_fault){503, "out of memory"};
    return parse_head(req, data, len, head);
}

static void go_on_reading(struct h1 *h1)
{
    h1->paused = false;
    h1->body_ns = gw_loop_now(h1->conn->group->loop);
    h1->body_got = 0;
    h1->resume = true;
    gw_conn_dirty(h1->conn);
}

/* A body that nobody wants: small ones are read away, for the sake of the connection. */
static void refuse_body(struct h1 *h1)
{
    h1->discard = true;
    h1->interim = false;
    if (h1->paused) /* by a handler that has answered: it takes nothing more, and nobody waits */
        go_on_reading(h1);
    if (h1->input != IN_BODY)
        return;
    if (h1->head.chunked || h1->head.expect_continue || h1->body_left > GW_DISCARD_MAX) {
        h1->close = true;
        h1->input = IN_DONE;
    }
}

static void begin_request(struct h1 *h1, bool bytes_follow)
{
    struct gw_request *req = h1->req;
    struct gw_conn *conn = h1->conn;
    const struct gw_h1_head *head = &h1->head;
    int64_t now = gw_loop_now(conn->group->loop);
    bool keep = head->http10 ? head->keep_alive : true;
    h1->close = !keep || head->close || gw_loop_draining(conn->group->loop) ||
                ++h1->requests >= GW_CONN_REQUESTS_MAX || now - h1->opened_ns > GW_CONN_AGE_NS;
    h1->body_left = head->content_length > 0 ? (uint64_t)head->content_length : 0;
    h1->body_got = 0;
    h1->body_ns = now;
    h1->chunks = (struct gw_h1_chunks){0};
    h1->input = head->chunked || h1->body_left > 0 ? IN_BODY : IN_DONE;
    enum gw_begin begin = gw_request_begin(req);
    h1->stream = begin == GW_BEGIN_STREAM;
    if (begin == GW_BEGIN_REPLIED) {
        refuse_body(h1);
    } else if (begin == GW_BEGIN_BUFFER && h1->body_left > req->body_max) {
        gw_request_too_large(req);
        refuse_body(h1);
    } else if (h1->input == IN_DONE) {
        gw_request_run(req);
    } else if (head->expect_continue && !bytes_follow) {
        h1->interim = true;
        gw_conn_dirty(conn);
    }
}

/* Returns how many bytes were used; 0 when the head is not there as a whole. */
static size_t take_head(struct h1 *h1, const uint8_t *data, size_t len)
{
    size_t skip = 0;
    struct gw_h1_fault fault;
    if (h1->head_ns == 0)
        h1->head_ns = gw_loop_now(h1->conn->group->loop);
    /* one empty line before a request is allowed (RFC 9112 section 2.2) */
    if (!h1->blank_skipped && data[0] == '\r') {
        if (len < 2)
            return 0;
        if (data[1] == '\n')
            skip = 2;
        h1->blank_skipped = true;
    }
    size_t size = gw_h1_head_end(data + skip, len - skip, &h1->scanned, &fault);
    if (!fault.status && size == 0)
        return skip;
    h1->scanned = 0;
    h1->head_ns = 0;
    h1->blank_skipped = false;
    if (!fault.status)
        fault = read_head(h1, data + skip, size);
    if (fault.status) {
        fail(h1, fault);
        return len;
    }
    begin_request(h1, skip + size < len);
    return skip + size;
}

/* --- the body --- */

static void body_piece(struct h1 *h1, struct kw_span piece)
{
    struct gw_request *req = h1->req;
    h1->body_got += piece.len;
    if (req->replied)
        h1->discard = true;
    if (h1->discard)
        return;
    if (h1->stream) {
        gw_request_body(req, piece);
        return;
    }
    kw_status status = gw_request_body_append(req, piece);
    if (status == KW_OK)
        return;
    if (status == KW_E_TOO_LARGE)
        gw_request_too_large(req);
    else
        gw_request_fault(req, 503, "out of memory");
    refuse_body(h1);
}

static void body_over(struct h1 *h1)
{
    h1->input = IN_DONE;
    h1->interim = false;
    if (!h1->discard && !h1->req->replied)
        gw_request_run(h1->req);
}

static size_t take_body(struct h1 *h1, const uint8_t *data, size_t len)
{
    size_t used = 0;
    struct kw_span piece = {0};
    struct gw_h1_fault fault;
    if (!h1->head.chunked) {
        used = len < h1->body_left ? len : (size_t)h1->body_left;
        h1->body_left -= used;
        body_piece(h1, kw_span_of(data, used));
        if (h1->input == IN_BODY && h1->body_left == 0)
            body_over(h1);
        return used;
    }
    switch (gw_h1_chunks_feed(&h1->chunks, data, len, &used, &piece, &fault)) {
    case GW_H1_PIECE:
        body_piece(h1, piece);
        break;
    case GW_H1_END:
        body_over(h1);
        break;
    case GW_H1_BAD:
        h1->discard = true;
        fail(h1, fault);
        break;
    default:
        break;
    }
    return used;
}

/* --- input --- */

static bool answered(const struct h1 *h1)
{
    return h1->req && h1->replied && h1->head_sent && h1->sent >= h1->req->reply.body_len;
}

/* Takes what can be taken now; returns how much. */
static size_t take(struct h1 *h1, const uint8_t *data, size_t len)
{
    size_t at = 0;
    for (;;) {
        size_t used = 0;
        /* an answered request whose body has now come in makes room for the next */
        if (h1->input == IN_DONE && answered(h1))
            next_request(h1);
        if (at == len || h1->input == IN_DONE || h1->over)
            break;
        if (h1->input == IN_HEAD)
            used = take_head(h1, data + at, len - at);
        else if (!h1->paused)
            used = take_body(h1, data + at, len - at);
        if (used == 0)
            break;
        at += used;
    }
    return at;
}

static bool in_append(struct h1 *h1, const uint8_t *data, size_t len)
{
    struct kw_buf *in = &h1->in;
    if (in->cap - in->len < len) {
        size_t cap = (in->len + len) * 2;
        uint8_t *grown = malloc(cap);
        if (!grown)
            return false;
        if (in->len)
            memcpy(grown, in->data, in->len);
        size_t kept = in->len;
        drop_in(h1);
        *in = (struct kw_buf){grown, kept, cap};
    }
    memcpy(in->data + in->len, data, len);
    in->len += len;
    return true;
}

static void take_waiting(struct h1 *h1)
{
    h1->resume = false;
    if (h1->in.len == 0)
        return;
    size_t used = take(h1, h1->in.data, h1->in.len);
    if (used == h1->in.len || (h1->close && h1->input == IN_DONE)) {
        drop_in(h1);
    } else if (used > 0) {
        memmove(h1->in.data, h1->in.data + used, h1->in.len - used);
        h1->in.len -= used;
    }
}

static bool h1_receive(void *proto, const uint8_t *data, size_t len)
{
    struct h1 *h1 = proto;
    if (h1->in.len > 0) {
        if (!in_append(h1, data, len))
            return false;
        take_waiting(h1);
    } else {
        size_t used = take(h1, data, len);
        if (used < len && !h1->over && !(h1->close && h1->input == IN_DONE) &&
            !in_append(h1, data + used, len - used))
            return false;
    }
    return !h1->over && !(h1->close && h1->input == IN_DONE);
}

static bool h1_wants_read(const void *proto)
{
    const struct h1 *h1 = proto;
    if (h1->input == IN_DONE || h1->paused)
        return h1->in.len < WAITING_MAX;
    return true;
}

static bool h1_end_of_input(void *proto)
{
    struct h1 *h1 = proto;
    h1->close = true;
    /* a request that came whole is still answered; half of one is not */
    return h1->req && (h1->input == IN_DONE || h1->replied);
}

/* --- output --- */

/* The answer is out and the request is in: on to the next. */
static void next_request(struct h1 *h1)
{
    let_go(h1);
    h1->replied = h1->head_sent = h1->stream = h1->discard = h1->paused = false;
    h1->sent = 0;
    h1->input = IN_HEAD;
    h1->active_ns = gw_loop_now(h1->conn->group->loop);
    if (h1->close) {
        h1->over = true;
        h1->input = IN_DONE;
        drop_in(h1);
    } else if (h1->in.len > 0) {
        h1->resume = true;
        gw_conn_dirty(h1->conn);
    }
}

static size_t produce_reply(struct h1 *h1, uint8_t *out, size_t cap)
{
    struct gw_request *req = h1->req;
    const struct gw_reply *reply = &req->reply;
    size_t len = 0;
    if (!h1->head_sent) {
        /* a body that is still coming when the answer is ready is not waited for at length */
        if (h1->input == IN_BODY)
            refuse_body(h1);
        enum gw_h1_persist persist = h1->close         ? GW_H1_CLOSE
                                     : h1->head.http10 ? GW_H1_KEEP_10
                                                       : GW_H1_KEEP;
        len = gw_h1_reply_head(req, persist, gw_conn_group_date(h1->conn->group), out, cap);
        h1->head_sent = true;
        if (len == 0) {
            h1->over = true;
            return 0;
        }
        if (req->method == GW_HEAD || !gw_status_has_body(reply->status))
            h1->sent = reply->body_len;
    }
    size_t piece = reply->body_len - h1->sent;
    piece = piece < cap - len ? piece : cap - len;
    if (piece > 0) {
        memcpy(out + len, reply->body + h1->sent, piece);
        h1->sent += piece;
        len += piece;
    }
    if (h1->sent >= reply->body_len && h1->input == IN_DONE)
        next_request(h1);
    return len;
}

static size_t h1_produce(void *proto, uint8_t *out, size_t cap)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct h1 *h1 = proto;
    size_t len = 0;
    if (h1->resume)
        take_waiting(h1);
    if (h1->interim && !h1->replied) {
        h1->interim = false;
        memcpy(out, go_on, sizeof go_on - 1);
        len = sizeof go_on - 1;
    }
    if (h1->req && h1->replied && (!h1->head_sent || h1->sent < h1->req->reply.body_len))
        len += produce_reply(h1, out + len, cap - len);
    return len;
}

static bool h1_finished(const void *proto)
{
    return ((const struct h1 *)proto)->over;
}

/* --- from the request --- */

static void h1_send(struct gw_request *req)
{
    struct h1 *h1 = req->stream;
    if (!h1)
        return;
    h1->replied = true;
    gw_conn_dirty(h1->conn);
}

static void h1_pause(struct gw_request *req, bool pause)
{
    struct h1 *h1 = req->stream;
    if (!h1 || h1->paused == pause)
        return;
    h1->paused = pause;
    if (!pause)
        go_on_reading(h1);
}

static const struct gw_transport h1_transport = {.send = h1_send, .pause_body = h1_pause};

/* --- time --- */

static void h1_drain(void *proto)
{
    struct h1 *h1 = proto;
    h1->close = true;
    if (h1->input == IN_HEAD && h1->in.len == 0)
        h1->over = true;
}

static bool h1_tick(void *proto, int64_t now)
{
    struct h1 *h1 = proto;
    const struct gw_limits *limits = h1->conn->group->limits;
    if (h1->input == IN_HEAD && h1->head_ns) {
        if (now - h1->head_ns >= KW_MS(limits->header_timeout_ms))
            fail(h1, (struct gw_h1_fault){408, "the request's head did not come in time"});
    } else if (h1->input == IN_HEAD) {
        if (now - h1->active_ns >= KW_MS(limits->idle_timeout_ms)) {
            h1->over = true;
            gw_conn_dirty(h1->conn);
        }
    } else if (h1->input == IN_BODY && !h1->paused) {
        if (now - h1->body_ns < gw_body_time(limits, h1->body_got))
            return true;
        if (h1->replied)
            return false;
        fail(h1, (struct gw_h1_fault){408, "the request's body did not come in time"});
    }
    return true;
}

const struct gw_protocol gw_h1_protocol = {
    .receive = h1_receive,
    .produce = h1_produce,
    .wants_read = h1_wants_read,
    .finished = h1_finished,
    .end_of_input = h1_end_of_input,
    .drain = h1_drain,
    .tick = h1_tick,
    .destroy = h1_destroy,
};

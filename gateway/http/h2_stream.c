#include "gateway/http/h2_stream.h"

#include <stdlib.h>
#include <strings.h>

#include "crypto/base/secret.h"
#include "gateway/http/h1_strict.h"
#include "gateway/http/limits.h"
#include "gateway/http/method.h"
#include "gateway/http/reply_fields.h"
#include "gateway/http/request_body.h"

#define SEND_RATE 16384 /* bytes a second at which a client must take an answer */

static void h2_send(struct gw_request *req);
static void h2_pause(struct gw_request *req, bool pause);

static const struct gw_transport h2_transport = {.send = h2_send, .pause_body = h2_pause};

struct gw_h2_stream *gw_h2_stream_create(struct gw_h2 *h2, int32_t id)
{
    struct gw_conn *conn = h2->conn;
    struct gw_request *req = gw_request_create(conn->group->loop, &conn->peer, &h2_transport, NULL);
    if (!req)
        return NULL;
    struct gw_h2_stream *stream = gw_arena_alloc(req->arena, sizeof *stream);
    if (!stream) {
        gw_request_unref(req);
        return NULL;
    }
    gw_request_count_in(req, h2->in_flight);
    req->http2 = true;
    req->stream = stream;
    stream->req = req;
    stream->h2 = h2;
    stream->id = id;
    stream->next = h2->streams;
    stream->link = &h2->streams;
    if (stream->next)
        stream->next->link = &stream->next;
    h2->streams = stream;
    h2->open++;
    return stream;
}

static void held_free(struct gw_h2_stream *stream)
{
    if (!stream->held.data)
        return;
    kw_wipe(stream->held.data, stream->held.len);
    free(stream->held.data);
    stream->held = (struct kw_buf){0};
}

void gw_h2_stream_close(struct gw_h2_stream *stream)
{
    struct gw_h2 *h2 = stream->h2;
    struct gw_request *req = stream->req;
    *stream->link = stream->next;
    if (stream->next)
        stream->next->link = stream->link;
    h2->open--;
    h2->active_ns = gw_loop_now(h2->conn->group->loop);
    if (req->replied && stream->reply_ns)
        h2->queued_bytes -= req->reply.body_len - stream->sent;
    held_free(stream);
    req->detached = true;
    req->stream = NULL;
    req->peer = NULL;
    gw_request_unref(req); /* the stream is in its arena */
}

/* --- the head --- */

static void wrong(struct gw_h2_stream *stream, int status, const char *why)
{
    if (stream->fault)
        return;
    stream->fault_status = status;
    stream->fault = why;
}

static void keep(struct gw_h2_stream *stream, struct kw_span *out, struct kw_span value)
{
    if (out->data)
        wrong(stream, 400, "a header field that may be given once is given twice");
    else if (!gw_request_keep(stream->req, out, value.data, value.len))
        wrong(stream, 503, "out of memory");
}

static void keep_length(struct gw_h2_stream *stream, struct kw_span value)
{
    int64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || i >= 18) {
            wrong(stream, 400, "content-length is not a number of 1 to 18 digits");
            return;
        }
        length = length * 10 + (value.data[i] - '0');
    }
    stream->req->content_length = length;
}

bool gw_h2_stream_header(struct gw_h2_stream *stream, struct kw_span name, struct kw_span value)
{
#define IS(text) (memcmp(name.data, text, sizeof(text) - 1) == 0)
    struct gw_request *req = stream->req;
    stream->header_bytes += name.len + value.len + 32;
    stream->fields++;
    if (stream->header_bytes > GW_H2_HEADER_BYTES_FATAL)
        return false;
    if (stream->header_bytes > GW_H2_HEADER_BYTES_MAX || stream->fields > GW_H2_HEADER_FIELDS_MAX) {
        wrong(stream, 431, "the request's header fields are more than 64 or larger than 32 KiB");
        return true;
    }
    if (stream->head_done)
        return true; /* trailers: counted, not used */
    switch (name.len) {
    case 4:
        if (IS("host"))
            keep(stream, &stream->host, value);
        break;
    case 5:
        if (IS(":path"))
            keep(stream, &req->target, value);
        break;
    case 6:
        if (IS("expect")) {
            stream->expect_continue = true;
            if (!gw_span_iequal(value, kw_span_str("100-continue")))
                wrong(stream, 417, "the only expectation known here is 100-continue");
        }
        break;
    case 7:
        if (IS(":method"))
            req->method = gw_method_of(value);
        break;
    case 10:
        if (IS(":authority"))
            keep(stream, &req->authority, value);
        break;
    case 12:
        if (IS("content-type"))
            keep(stream, &req->content_type, value);
        break;
    case 13:
        if (IS("authorization"))
            keep(stream, &req->authorization, value);
        else if (IS("x-keyward-via"))
            keep(stream, &req->via, value);
        break;
    case 14:
        if (IS("content-length"))
            keep_length(stream, value);
        break;
    case 22:
        if (IS("x-ms-client-request-id"))
            keep(stream, &req->client_request_id, value);
        break;
    default:
        break;
    }
    return true;
#undef IS
}

/* Host and :authority are one thing said twice: they must agree, and one of them must be there. */
static void check_address(struct gw_h2_stream *stream)
{
    struct gw_request *req = stream->req;
    if (stream->host.data && req->authority.data) {
        if (!gw_span_iequal(stream->host, req->authority))
            wrong(stream, 400, "host and :authority differ");
    } else if (stream->host.data) {
        req->authority = stream->host;
    }
    if (!gw_authority_valid(req->authority))
        wrong(stream, 400, ":authority is not a name or address with an optional port");
    if (!gw_target_valid(req->target))
        wrong(stream, req->target.len > GW_H1_TARGET_MAX ? 414 : 400, ":path is not a valid path");
}

/* What is still to come of the body is not wanted. */
static void refuse_body(struct gw_h2_stream *stream)
{
    stream->discard = true;
    held_free(stream);
}

static void send_continue(struct gw_h2_stream *stream)
{
    const nghttp2_nv status = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3,
                               NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, &status, 1,
                           NULL);
    gw_conn_dirty(stream->h2->conn);
}

void gw_h2_stream_head(struct gw_h2_stream *stream, bool end_stream)
{
    struct gw_request *req = stream->req;
    stream->head_done = true;
    stream->input_over = end_stream;
    stream->body_ns = gw_loop_now(stream->h2->conn->group->loop);
    if (end_stream && req->content_length < 0)
        req->content_length = 0;
    check_address(stream);
    if (stream->fault) {
        refuse_body(stream);
        gw_request_fault(req, stream->fault_status, stream->fault);
        return;
    }
    enum gw_begin begin = gw_request_begin(req);
    stream->stream_body = begin == GW_BEGIN_STREAM;
    if (begin == GW_BEGIN_REPLIED) {
        refuse_body(stream);
    } else if (begin == GW_BEGIN_BUFFER && req->content_length > 0 &&
               (uint64_t)req->content_length > req->body_max) {
        refuse_body(stream);
        gw_request_too_large(req);
    } else if (end_stream) {
        gw_request_run(req);
    } else if (stream->expect_continue) {
        send_continue(stream);
    }
}

/* --- the body --- */

static void consume(struct gw_h2_stream *stream, size_t len)
{
    if (len > 0)
        nghttp2_session_consume_stream(stream->h2->session, stream->id, len);
}

/* Takes over what a paused stream cannot take; the stream's window bounds it. */
static void hold(struct gw_h2_stream *stream, struct kw_span piece)
{
    struct kw_buf *held = &stream->held;
    if (!held->data) {
        held->data = malloc(GW_H2_STREAM_WINDOW);
        held->cap = held->data ? GW_H2_STREAM_WINDOW : 0;
    }
    if (held->cap - held->len < piece.len) {
        refuse_body(stream);
        gw_request_fault(stream->req, 503, "out of memory");
        return;
    }
    memcpy(held->data + held->len, piece.data, piece.len);
    held->len += piece.len;
}

static void deliver(struct gw_h2_stream *stream, struct kw_span piece)
{
    struct gw_request *req = stream->req;
    if (stream->stream_body) {
        gw_request_body(req, piece);
        return;
    }
    kw_status status = gw_request_body_append(req, piece);
    if (status == KW_OK)
        return;
    refuse_body(stream);
    if (status == KW_E_TOO_LARGE)
        gw_request_too_large(req);
    else
        gw_request_fault(req, 503, "out of memory");
}

void gw_h2_stream_data(struct gw_h2_stream *stream, struct kw_span piece)
{
    stream->body_got += piece.len;
    nghttp2_session_consume_connection(stream->h2->session, piece.len);
    if (stream->req->replied)
        refuse_body(stream);
    /* the window of an unwanted body is not opened again: the client stops by itself */
    if (stream->discard)
        return;
    if (stream->paused) {
        hold(stream, piece);
        return;
    }
    deliver(stream, piece);
    if (!stream->discard)
        consume(stream, piece.len);
}

void gw_h2_stream_end(struct gw_h2_stream *stream)
{
    stream->input_over = true;
    if (stream->discard || stream->req->replied)
        return;
    if (stream->paused)
        stream->over_pending = true;
    else
        gw_request_run(stream->req);
}

static void h2_pause(struct gw_request *req, bool pause)
{
    struct gw_h2_stream *stream = req->stream;
    if (!stream || stream->paused == pause)
        return;
    stream->paused = pause;
    if (pause)
        return;
    stream->body_ns = gw_loop_now(req->loop);
    stream->body_got = 0;
    struct kw_buf held = stream->held;
    stream->held = (struct kw_buf){0};
    gw_request_ref(req);
    if (held.data && !stream->discard) {
        deliver(stream, kw_buf_span(&held));
        consume(stream, held.len);
    }
    if (held.data) {
        kw_wipe(held.data, held.len);
        free(held.data);
    }
    if (stream->over_pending && !stream->paused && !req->replied) {
        stream->over_pending = false;
        gw_request_run(req);
    }
    gw_conn_dirty(stream->h2->conn);
    gw_request_unref(req);
}

/* --- the answer --- */

static ssize_t read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                          uint32_t *data_flags, nghttp2_data_source *source, void *user_data)
{
    struct gw_h2_stream *stream = source->ptr;
    const struct gw_reply *reply = &stream->req->reply;
    (void)session;
    (void)stream_id;
    (void)user_data;
    size_t left = reply->body_len - stream->sent;
    size_t piece = left < length ? left : length;
    memcpy(buf, reply->body + stream->sent, piece);
    stream->sent += piece;
    stream->h2->queued_bytes -= piece;
    if (stream->sent == reply->body_len)
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)piece;
}

static size_t reply_head(struct gw_h2_stream *stream, nghttp2_nv nv[GW_REPLY_FIELDS_MAX + 1])
{
    struct gw_request *req = stream->req;
    struct gw_field fields[GW_REPLY_FIELDS_MAX];
    const char *date = gw_conn_group_date(stream->h2->conn->group);
    size_t count = gw_reply_fields(req, date, fields);
    char *status = gw_arena_alloc(req->arena, 4);
    if (!status)
        return 0;
    status[0] = (char)('0' + req->reply.status / 100 % 10);
    status[1] = (char)('0' + req->reply.status / 10 % 10);
    status[2] = (char)('0' + req->reply.status % 10);
    const uint8_t borrowed = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    nv[0] = (nghttp2_nv){(uint8_t *)(uintptr_t) ":status", (uint8_t *)status, 7, 3, borrowed};
    for (size_t i = 0; i < count; i++) {
        const struct gw_field *field = &fields[i];
        uint8_t flags = borrowed;
        if (field->fresh)
            flags |= NGHTTP2_NV_FLAG_NO_INDEX;
        if (field->value == date) /* changes under the frame's feet */
            flags &= (uint8_t)~NGHTTP2_NV_FLAG_NO_COPY_VALUE;
        nv[i + 1] =
            (nghttp2_nv){(uint8_t *)(uintptr_t)field->name, (uint8_t *)(uintptr_t)field->value,
                         field->name_len, field->value_len, flags};
    }
    return count + 1;
}

static void h2_send(struct gw_request *req)
{
    struct gw_h2_stream *stream = req->stream;
    if (!stream)
        return;
    nghttp2_nv nv[GW_REPLY_FIELDS_MAX + 1];
    const struct gw_reply *reply = &req->reply;
    nghttp2_data_provider body = {.source = {.ptr = stream}, .read_callback = read_reply};
    bool with_body =
        reply->body_len > 0 && req->method != GW_HEAD && gw_status_has_body(reply->status);
    size_t count = reply_head(stream, nv);
    stream->reply_ns = gw_loop_now(req->loop);
    if (with_body)
        stream->h2->queued_bytes += reply->body_len;
    else
        stream->sent = reply->body_len;
    if (count == 0 || nghttp2_submit_response(stream->h2->session, stream->id, nv, count,
                                              with_body ? &body : NULL) != 0)
        nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_INTERNAL_ERROR);
    gw_conn_dirty(stream->h2->conn);
}

/* --- time --- */

bool gw_h2_stream_tick(struct gw_h2_stream *stream, int64_t now_ns)
{
    const struct gw_limits *limits = stream->h2->conn->group->limits;
    if (!stream->head_done)
        return true; /* the connection's own clock (block_ns) watches the head */
    if (stream->reply_ns) {
        int64_t allowed = KW_MS(limits->idle_timeout_ms) +
                          (int64_t)(stream->req->reply.body_len * (1000000000 / SEND_RATE));
        return now_ns - stream->reply_ns < allowed;
    }
    if (!stream->input_over && !stream->paused &&
        now_ns - stream->body_ns >= gw_body_time(limits, stream->body_got)) {
        refuse_body(stream);
        gw_request_fault(stream->req, 408, "the request's body did not come in time");
    }
    return true;
}

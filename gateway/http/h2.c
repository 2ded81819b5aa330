/* HTTP/2 on one connection: the library's session, its callbacks, and how the connection ends. */

#include <pthread.h>
#include <stdlib.h>

#include "gateway/http/h2_stream.h"
#include "gateway/http/limits.h"
#include "gateway/http/request_body.h"

#define FRAME_ROOM       (16384 + 9) /* the largest piece that mem_send gives */
#define QUEUED_BYTES_MAX (1u << 20)  /* answers waiting: beyond it, no more input is read */
#define NOTICE_NS        KW_MS(500)  /* between the two GOAWAYs of a graceful end */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

/* --- ends --- */

/* From within a callback: the session is told after the library has returned. */
static int fail(struct gw_h2 *h2, uint32_t error)
{
    if (!h2->failing) {
        h2->failing = true;
        h2->fatal = error;
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void terminate(struct gw_h2 *h2, uint32_t error)
{
    if (h2->terminated)
        return;
    h2->terminated = true;
    nghttp2_session_terminate_session(h2->session, error);
    gw_conn_dirty(h2->conn);
}

/* A graceful end in two steps (RFC 9113 section 6.8): "soon", then after what was on its way has
 * arrived, "this was the last". */
static void end_softly(struct gw_h2 *h2)
{
    if (h2->notice_sent || h2->terminated)
        return;
    h2->notice_sent = true;
    h2->notice_ns = gw_loop_now(h2->conn->group->loop);
    nghttp2_submit_shutdown_notice(h2->session);
    gw_conn_dirty(h2->conn);
}

static void end_finally(struct gw_h2 *h2)
{
    if (h2->final_sent || h2->terminated)
        return;
    h2->final_sent = true;
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    gw_conn_dirty(h2->conn);
}

/* --- what comes in --- */

static int64_t now_of(const struct gw_h2 *h2)
{
    return gw_loop_now(h2->conn->group->loop);
}

static struct gw_h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct gw_h2 *h2 = user;
    if (!gw_h2_limits_frame(&h2->limits, hd->type, hd->flags, hd->length, now_of(h2)))
        return fail(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    if (hd->type != NGHTTP2_HEADERS || hd->stream_id <= 0 || !(hd->stream_id & 1))
        return 0;
    if (stream_of(session, hd->stream_id))
        return 0;
    if (gw_h2_limits_headers(&h2->limits, hd->stream_id) == GW_H2_ID_SKIPPED)
        return fail(h2, NGHTTP2_PROTOCOL_ERROR);
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct gw_h2 *h2 = user;
    h2->block_ns = now_of(h2);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    uint64_t requests = h2->limits.streams;
    if (requests >= GW_CONN_REQUESTS_MAX || now_of(h2) - h2->opened_ns > GW_CONN_AGE_NS)
        end_softly(h2);
    /* streams that were reset still hold an operation's memory: they count until it is done */
    unsigned most =
        2 * nghttp2_session_get_local_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    struct gw_h2_stream *stream = NULL;
    if (h2->in_flight->count < most && requests < 2 * (uint64_t)GW_CONN_REQUESTS_MAX)
        stream = gw_h2_stream_create(h2, frame->hd.stream_id);
    if (!stream) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct gw_h2 *h2 = user;
    struct gw_h2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;
    if (stream &&
        !gw_h2_stream_header(stream, kw_span_of(name, name_len), kw_span_of(value, value_len)))
        return fail(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    (void)name;
    (void)name_len;
    (void)value;
    (void)value_len;
    (void)flags;
    (void)user;
    /* the library would ignore the field; a request with a NUL or a line end in it is not served */
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                              NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct gw_h2 *h2 = user;
    struct gw_h2_stream *stream = NULL;
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        h2->settings_came = true;
        break;
    case NGHTTP2_HEADERS:
        h2->block_ns = 0;
        stream = stream_of(session, frame->hd.stream_id);
        if (stream && !stream->head_done)
            gw_h2_stream_head(stream, end);
        else if (stream && end)
            gw_h2_stream_end(stream);
        break;
    case NGHTTP2_RST_STREAM:
        if (!gw_bucket_take(&h2->limits.client_resets, 1, now_of(h2)))
            return fail(h2, NGHTTP2_ENHANCE_YOUR_CALM);
        break;
    case NGHTTP2_DATA:
        /* nothing but padding is as empty as nothing */
        if (!end && frame->hd.length > 0 && frame->hd.length == frame->data.padlen &&
            !gw_bucket_take(&h2->limits.empty, 1, now_of(h2)))
            return fail(h2, NGHTTP2_ENHANCE_YOUR_CALM);
        stream = end ? stream_of(session, frame->hd.stream_id) : NULL;
        if (stream)
            gw_h2_stream_end(stream);
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    struct gw_h2_stream *stream = stream_of(session, id);
    (void)flags;
    (void)user;
    if (stream)
        gw_h2_stream_data(stream, kw_span_of(data, len));
    else
        nghttp2_session_consume_connection(session, len);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *user)
{
    struct gw_h2 *h2 = user;
    (void)session;
    (void)frame;
    h2->block_ns = 0;
    if (code != NGHTTP2_ERR_REFUSED_STREAM && !gw_bucket_take(&h2->limits.glitches, 1, now_of(h2)))
        return fail(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct gw_h2 *h2 = user;
    struct gw_h2_stream *stream = stream_of(session, id);
    (void)error;
    h2->block_ns = 0;
    if (stream) {
        nghttp2_session_set_stream_user_data(session, id, NULL);
        gw_h2_stream_close(stream);
    }
    return 0;
}

/* --- what goes out --- */

/* An answer that went out before its request's body was in: small bodies may still come (their
 * window is not opened again), anything else is told to stop. */
static void stop_body(nghttp2_session *session, int32_t id)
{
    struct gw_h2_stream *stream = stream_of(session, id);
    if (!stream || stream->input_over)
        return;
    stream->discard = true;
    if (stream->req->content_length > 0 && stream->req->content_length <= GW_DISCARD_MAX &&
        stream->req->reply.status != 408)
        return;
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct gw_h2 *h2 = user;
    uint8_t type = frame->hd.type;
    if (type == NGHTTP2_DATA)
        h2->limits.data_sent++;
    if ((type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        stop_body(session, frame->hd.stream_id);
    /* Resets that the client provokes cost as much as those it sends. */
    if (type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
        !gw_bucket_take(&h2->limits.resets, 1, now_of(h2)))
        fail(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

/* --- the session --- */

static void prepare(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0)
        return;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_max_outbound_ack(options, GW_H2_ACKS_QUEUED_MAX);
    nghttp2_option_set_max_settings(options, GW_H2_SETTINGS_ENTRIES_MAX);
    nghttp2_option_set_max_continuations(options, GW_H2_CONTINUATIONS_MAX);
    /* behind our own count, which ends the connection at once and with the right code */
    nghttp2_option_set_stream_reset_rate_limit(options, 2 * GW_H2_RESET_BURST, GW_H2_RESET_RATE);
}

static bool open_session(struct gw_h2 *h2)
{
    unsigned streams = h2->conn->group->limits->max_streams;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams ? streams : GW_H2_STREAMS_DEFAULT},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GW_H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GW_H2_HEADER_BYTES_MAX}};
    return nghttp2_session_server_new2(&h2->session, callbacks, h2, options) == 0 &&
           nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof *settings) == 0 &&
           nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                 GW_H2_CONNECTION_WINDOW) == 0;
}

static void h2_destroy(void *proto)
{
    struct gw_h2 *h2 = proto;
    while (h2->streams)
        gw_h2_stream_close(h2->streams);
    nghttp2_session_del(h2->session);
    gw_in_flight_drop(h2->in_flight);
    free(h2);
}

void *gw_h2_create(struct gw_conn *conn)
{
    pthread_once(&once, prepare);
    struct gw_h2 *h2 = calloc(1, sizeof *h2);
    if (!h2)
        return NULL;
    h2->conn = conn;
    h2->opened_ns = h2->active_ns = now_of(h2);
    gw_h2_limits_init(&h2->limits, h2->opened_ns);
    h2->in_flight = gw_in_flight_create();
    if (!callbacks || !options || !h2->in_flight || !open_session(h2)) {
        h2_destroy(h2);
        return NULL;
    }
    return h2;
}

static uint32_t error_of(int library_error)
{
    switch (library_error) {
    case NGHTTP2_ERR_FLOODED:
    case NGHTTP2_ERR_TOO_MANY_SETTINGS:
        return NGHTTP2_ENHANCE_YOUR_CALM;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        return NGHTTP2_PROTOCOL_ERROR;
    default:
        return NGHTTP2_INTERNAL_ERROR;
    }
}

static bool h2_receive(void *proto, const uint8_t *data, size_t len)
{
    struct gw_h2 *h2 = proto;
    ssize_t taken = nghttp2_session_mem_recv(h2->session, data, len);
    if (h2->failing)
        terminate(h2, h2->fatal);
    else if (taken < 0)
        terminate(h2, error_of((int)taken));
    else if (nghttp2_session_get_outbound_queue_size(h2->session) > GW_H2_FRAMES_QUEUED_MAX)
        terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    return !h2->terminated;
}

static size_t h2_produce(void *proto, uint8_t *out, size_t cap)
{
    struct gw_h2 *h2 = proto;
    size_t len = 0;
    while (cap - len >= FRAME_ROOM) {
        const uint8_t *data;
        ssize_t got = nghttp2_session_mem_send(h2->session, &data);
        if (got < 0 || (size_t)got > cap - len) {
            h2->terminated = h2->failing = true;
            break;
        }
        if (got == 0)
            break;
        memcpy(out + len, data, (size_t)got);
        len += (size_t)got;
    }
    if (h2->failing)
        terminate(h2, h2->fatal);
    return len;
}

static bool h2_wants_read(const void *proto)
{
    const struct gw_h2 *h2 = proto;
    /* only while the socket is full: where the client's windows are what holds answers back, its
     * window updates must get in (the number of streams bounds what waits then) */
    bool full = h2->conn->pending.len > 0 && h2->queued_bytes > QUEUED_BYTES_MAX;
    return !h2->terminated && !full;
}

static bool h2_finished(const void *proto)
{
    const struct gw_h2 *h2 = proto;
    if (h2->terminated)
        return true; /* asked only when nothing is left to be sent */
    if (h2->final_sent && h2->open == 0)
        return true;
    return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

static bool h2_end_of_input(void *proto)
{
    (void)proto;
    return false; /* without window updates and acknowledgements there is no going on */
}

static void h2_drain(void *proto)
{
    end_softly(proto);
}

static void tick_streams(struct gw_h2 *h2, int64_t now)
{
    for (struct gw_h2_stream *stream = h2->streams; stream; stream = stream->next) {
        if (gw_h2_stream_tick(stream, now))
            continue;
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        gw_conn_dirty(h2->conn);
        if (!gw_bucket_take(&h2->limits.glitches, 10, now))
            terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static bool h2_tick(void *proto, int64_t now)
{
    struct gw_h2 *h2 = proto;
    const struct gw_limits *limits = h2->conn->group->limits;
    if (!h2->settings_came && now - h2->opened_ns >= KW_MS(limits->header_timeout_ms))
        terminate(h2, NGHTTP2_SETTINGS_TIMEOUT);
    if (h2->block_ns && now - h2->block_ns >= KW_MS(limits->header_timeout_ms))
        terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    if (h2->open == 0 && now - h2->active_ns >= KW_MS(limits->idle_timeout_ms))
        terminate(h2, NGHTTP2_NO_ERROR);
    if (h2->notice_sent && now - h2->notice_ns >= NOTICE_NS)
        end_finally(h2);
    tick_streams(h2, now);
    return true;
}

const struct gw_protocol gw_h2_protocol = {
    .receive = h2_receive,
    .produce = h2_produce,
    .wants_read = h2_wants_read,
    .finished = h2_finished,
    .end_of_input = h2_end_of_input,
    .drain = h2_drain,
    .tick = h2_tick,
    .destroy = h2_destroy,
};

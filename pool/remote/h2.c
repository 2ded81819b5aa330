/* HTTP/2 on one connection: the library's session and its callbacks. An answer is taken as it
 * comes, bounded, and judged when its stream has closed. */

#include <stdio.h>
#include <stdlib.h>

#include "pool/remote/remote.h"
#include "pool/remote/via.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

/* --- streams --- */

struct pool_remote_stream *pool_remote_stream_new(enum pool_remote_what what, size_t answer_max)
{
    struct pool_remote_stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL) {
        stream->what = what;
        stream->answer_max = answer_max;
        stream->retry_after_s = -1;
    }
    return stream;
}

void pool_remote_stream_free(struct pool_remote_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    if (stream->at != NULL) {
        *stream->at = stream->next;
        if (stream->next != NULL) {
            stream->next->at = stream->at;
        }
        stream->conn->stream_count--;
    }
    pool_key_unref(stream->key);
    kw_secret_free(stream->body.data);
    kw_secret_free(stream->answer.data);
    free(stream);
}

static bool keep_answer(struct pool_remote_stream *stream, const uint8_t *data, size_t len)
{
    struct kw_buf *answer = &stream->answer;
    if (len > stream->answer_max - answer->len) {
        return false;
    }
    if (len > answer->cap - answer->len) {
        size_t cap = answer->cap > 0 ? answer->cap : 2048;
        while (cap - answer->len < len) {
            cap *= 2;
        }
        uint8_t *grown = kw_secret_alloc(cap);
        if (grown == NULL) {
            return false;
        }
        if (answer->len > 0) {
            memcpy(grown, answer->data, answer->len);
        }
        kw_secret_free(answer->data);
        answer->data = grown;
        answer->cap = cap;
    }
    memcpy(answer->data + answer->len, data, len);
    answer->len += len;
    return true;
}

/* --- callbacks --- */

static struct pool_remote_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static bool is(const uint8_t *name, size_t len, const char *text)
{
    return kw_span_equal(kw_span_of(name, len), kw_span_str(text));
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct pool_remote_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (stream == NULL || frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    if (is(name, name_len, ":status") && value_len == 3) {
        stream->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
    } else if (is(name, name_len, "retry-after")) {
        stream->retry_after_s = pool_remote_retry_after(kw_span_of(value, value_len));
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    struct pool_remote_stream *stream = stream_of(session, id);
    (void)flags;
    (void)user;
    if (stream != NULL && !stream->overflow && !keep_answer(stream, data, len)) {
        stream->overflow = true;
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pool_remote_conn *conn = user;
    switch (frame->hd.type) {
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
            conn->ping_ns = 0;
        }
        break;
    case NGHTTP2_GOAWAY:
        pool_remote_conn_drain(conn);
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
        struct pool_remote_stream *stream = stream_of(session, frame->hd.stream_id);
        if (stream != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
            stream->ended = true;
        }
        break;
    }
    default:
        break;
    }
    return 0;
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pool_remote_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)user;
    if (stream != NULL && frame->hd.type == NGHTTP2_HEADERS) {
        stream->sent = true;
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct pool_remote_conn *conn = user;
    struct pool_remote_stream *stream = stream_of(session, id);
    if (stream != NULL) {
        nghttp2_session_set_stream_user_data(session, id, NULL);
        pool_remote_link_finished(conn, stream, error);
        pool_remote_stream_free(stream);
    }
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct pool_remote_stream *stream = source->ptr;
    size_t left = stream->body.len - stream->body_sent;
    (void)session;
    (void)id;
    (void)user;
    len = len < left ? len : left;
    memcpy(buf, stream->body.data + stream->body_sent, len);
    stream->body_sent += len;
    if (len == left) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

static void make_tables(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0) {
        return;
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_option_set_max_reserved_remote_streams(options, 0);
    nghttp2_option_set_peer_max_concurrent_streams(options, POOL_REMOTE_STREAMS);
}

/* --- use --- */

kw_status pool_remote_h2_begin(struct pool_remote_conn *conn)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1u << 19},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384},
    };
    pthread_once(&once, make_tables);
    if (callbacks == NULL || options == NULL ||
        nghttp2_session_client_new2(&conn->session, callbacks, conn, options) != 0) {
        return KW_E_NOMEM;
    }
    bool ok =
        nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof settings / sizeof settings[0]) == 0 &&
        nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, 1 << 24) == 0;
    return ok ? KW_OK : KW_E_NOMEM;
}

static nghttp2_nv field(const char *name, const char *value, uint8_t flags)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), flags};
}

static kw_status authorization(const struct pool_remote_conn *conn, char **out)
{
    size_t room = conn->token.len + 8;
    *out = kw_secret_alloc(room);
    if (*out == NULL) {
        return KW_E_NOMEM;
    }
    snprintf(*out, room, "Bearer %.*s", (int)conn->token.len, (const char *)conn->token.data);
    return KW_OK;
}

kw_status pool_remote_h2_request(struct pool_remote_conn *conn, struct pool_remote_stream *stream,
                                 const char *path, const char *via)
{
    const struct pool_remote *remote = conn->link->remote;
    char vias[POOL_VIA_TEXT_MAX + 1], length[24], *bearer;
    KW_TRY(pool_via_append(vias, via, pool_instance(remote->member->pool)));
    KW_TRY(authorization(conn, &bearer));
    bool post = stream->body.len > 0;
    size_t n = 0;
    nghttp2_nv fields[10];
    fields[n++] = field(":method", post ? "POST" : "GET", 0);
    fields[n++] = field(":scheme", "https", 0);
    fields[n++] = field(":authority", remote->url.authority, 0);
    fields[n++] = field(":path", path, 0);
    fields[n++] = field("authorization", bearer, NGHTTP2_NV_FLAG_NO_INDEX);
    fields[n++] = field("accept", "application/json", 0);
    fields[n++] = field(POOL_VIA_FIELD, vias, 0);
    if (post) {
        snprintf(length, sizeof length, "%zu", stream->body.len);
        fields[n++] = field("content-type", "application/json", 0);
        fields[n++] = field("content-length", length, 0);
    }
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
    int32_t id =
        nghttp2_submit_request(conn->session, NULL, fields, n, post ? &body : NULL, stream);
    kw_secret_free(bearer);
    if (id < 0) {
        return KW_E_UNAVAILABLE; /* identifiers are used up, or memory */
    }
    stream->id = id;
    stream->conn = conn;
    stream->sent_ns = kw_now_ns();
    stream->next = conn->streams;
    stream->at = &conn->streams;
    if (stream->next != NULL) {
        stream->next->at = &stream->next;
    }
    conn->streams = stream;
    conn->stream_count++;
    return KW_OK;
}

void pool_remote_h2_probe(struct pool_remote_conn *conn)
{
    char path[POOL_REMOTE_PATH_MAX];
    struct pool_remote_stream *stream =
        pool_remote_stream_new(POOL_REMOTE_PROBE, POOL_REMOTE_ANSWER_MAX);
    conn->probed_ns = kw_now_ns();
    if (stream == NULL || pool_remote_key_path(path, "keyward-probe", NULL) != KW_OK ||
        pool_remote_h2_request(conn, stream, path, NULL) != KW_OK) {
        pool_remote_stream_free(stream);
        pool_remote_conn_fail(conn, "a probe could not be sent");
        return;
    }
    conn->probe_out = true;
}

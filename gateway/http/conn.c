#include "gateway/http/conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/obs/metrics.h"

#define READS_PER_EVENT  2  /* then the others have their turn */
#define WRITES_PER_TURN  16 /* produce calls */
#define RECORD           16384
#define LINGER_NS        KW_S(2) /* how long input is dropped after the last word */
#define LINGER_DRAIN_NS  KW_MS(400)
#define LINGER_BYTES_MAX (4u << 20)

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FAILED };

static void flush_run(struct gw_turn_task *task);
static void release_run(struct gw_turn_task *task);

/* --- events --- */

static void set_reading(struct gw_conn *conn, bool on)
{
    if (conn->reading == on)
        return;
    conn->reading = on;
    if (on)
        event_add(&conn->read_event, NULL);
    else
        event_del(&conn->read_event);
}

static void set_writing(struct gw_conn *conn, bool on)
{
    if (conn->writing == on)
        return;
    conn->writing = on;
    if (on)
        event_add(&conn->write_event, NULL);
    else
        event_del(&conn->write_event);
}

/* What the events should be, from the state: the one place that decides it. */
static void update_events(struct gw_conn *conn)
{
    if (conn->state == GW_CONN_CLOSED)
        return;
    bool read = !conn->input_over;
    if (conn->state == GW_CONN_OPEN)
        read = read && conn->protocol->wants_read(conn->proto);
    else if (conn->state == GW_CONN_CLOSING)
        read = true;
    bool resumed = read && !conn->reading;
    set_reading(conn, read);
    set_writing(conn, conn->want_write || conn->pending.len > 0);
    /* bytes that TLS holds already make no event of their own */
    if (resumed && conn->ssl && SSL_has_pending(conn->ssl))
        event_active(&conn->read_event, EV_READ, 0);
}

/* --- the socket --- */

static enum io ssl_outcome(struct gw_conn *conn, int result)
{
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return IO_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        conn->want_write = true;
        return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return IO_EOF;
    default:
        return IO_FAILED;
    }
}

static enum io conn_read(struct gw_conn *conn, uint8_t *out, size_t cap, size_t *len)
{
    *len = 0;
    if (conn->ssl) {
        ERR_clear_error();
        int got = SSL_read(conn->ssl, out, (int)cap);
        if (got <= 0)
            return ssl_outcome(conn, got);
        *len = (size_t)got;
        return IO_OK;
    }
    ssize_t got = recv(conn->fd, out, cap, 0);
    if (got == 0)
        return IO_EOF;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_FAILED;
    *len = (size_t)got;
    return IO_OK;
}

/* Writes in records of at most 16 KiB. `done` counts what was taken, also when not IO_OK. */
static enum io conn_write(struct gw_conn *conn, const uint8_t *data, size_t len, size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t put;
        if (conn->ssl) {
            size_t piece = len - *done < RECORD ? len - *done : RECORD;
            ERR_clear_error();
            put = SSL_write(conn->ssl, data + *done, (int)piece);
            if (put <= 0) {
                enum io outcome = ssl_outcome(conn, (int)put);
                return outcome == IO_EOF ? IO_FAILED : outcome;
            }
        } else {
            put = send(conn->fd, data + *done, len - *done, MSG_NOSIGNAL);
            if (put < 0)
                return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_FAILED;
        }
        *done += (size_t)put;
    }
    return IO_OK;
}

/* --- states --- */

static void pending_free(struct gw_conn *conn)
{
    if (conn->pending.data) {
        kw_wipe(conn->pending.data, conn->pending.len);
        free(conn->pending.data);
    }
    conn->pending = (struct kw_buf){0};
    conn->pending_at = 0;
}

static void close_down(struct gw_conn *conn)
{
    struct gw_conn_group *group = conn->group;
    set_reading(conn, false);
    set_writing(conn, false);
    gw_wheel_set(gw_loop_wheel(group->loop), &conn->timer, 0);
    if (conn->proto)
        conn->protocol->destroy(conn->proto);
    conn->proto = NULL;
    if (conn->peer.token_cache && conn->peer.token_cache_free)
        conn->peer.token_cache_free(conn->peer.token_cache);
    pending_free(conn);
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    close(conn->fd);
    conn->fd = -1;
    *conn->link = conn->next;
    if (conn->next)
        conn->next->link = conn->link;
    group->counts[conn->peer.face]--;
    gw_metrics_connection(group->metrics, gw_loop_index(group->loop), -1);
    gw_loop_unhold(group->loop);
    gw_loop_release(group->loop, &conn->release);
    group->on_close(group);
}

/* The one setter of the state. States only go forward. */
static void set_state(struct gw_conn *conn, enum gw_conn_state state)
{
    if (state <= conn->state)
        return;
    conn->state = state;
    switch (state) {
    case GW_CONN_CLOSING:
        conn->closing_ns = gw_loop_now(conn->group->loop);
        if (conn->ssl) {
            ERR_clear_error();
            SSL_shutdown(conn->ssl);
        }
        shutdown(conn->fd, SHUT_WR);
        update_events(conn);
        break;
    case GW_CONN_CLOSED:
        close_down(conn);
        break;
    default:
        break;
    }
}

void gw_conn_cut(struct gw_conn *conn)
{
    set_state(conn, GW_CONN_CLOSED);
}

static void release_run(struct gw_turn_task *task)
{
    struct gw_conn *conn = (struct gw_conn *)((char *)task - offsetof(struct gw_conn, release));
    if (conn->flush.queued) {
        gw_loop_release(conn->group->loop, task);
        return;
    }
    kw_wipe(&conn->peer, sizeof conn->peer);
    free(conn);
}

static void open_protocol(struct gw_conn *conn, bool http2)
{
    conn->protocol = http2 ? &gw_h2_protocol : &gw_h1_protocol;
    conn->proto = http2 ? gw_h2_create(conn) : gw_h1_create(conn);
    set_state(conn, conn->proto ? GW_CONN_OPEN : GW_CONN_CLOSED);
    if (conn->state == GW_CONN_OPEN && gw_loop_draining(conn->group->loop))
        conn->protocol->drain(conn->proto);
    if (conn->state == GW_CONN_OPEN)
        gw_conn_dirty(conn);
}

/* --- input --- */

static void take_in(struct gw_conn *conn, const uint8_t *data, size_t len)
{
    if (conn->state != GW_CONN_OPEN || len == 0)
        return;
    if (!conn->protocol->receive(conn->proto, data, len))
        conn->input_over = true;
    gw_conn_dirty(conn);
}

/* Cleartext: the client's first bytes are the HTTP/2 preface, or this is HTTP/1.1. */
static void detect(struct gw_conn *conn, const uint8_t *data, size_t len)
{
    size_t at = 0;
    bool same = true;
    while (same && at < len && conn->preface_len < sizeof conn->preface) {
        same = data[at] == (uint8_t)h2_preface[conn->preface_len];
        conn->preface[conn->preface_len++] = data[at++];
    }
    if (same && conn->preface_len < sizeof conn->preface)
        return;
    open_protocol(conn, same);
    take_in(conn, conn->preface, conn->preface_len);
    if (!conn->input_over)
        take_in(conn, data + at, len - at);
}

static void on_eof(struct gw_conn *conn)
{
    conn->input_over = true;
    if (conn->state != GW_CONN_OPEN || !conn->protocol->end_of_input(conn->proto))
        set_state(conn, GW_CONN_CLOSED);
    else
        gw_conn_dirty(conn);
}

static void handshake(struct gw_conn *conn)
{
    conn->want_write = false;
    ERR_clear_error();
    int result = SSL_accept(conn->ssl);
    if (result != 1) {
        if (ssl_outcome(conn, result) != IO_AGAIN)
            set_state(conn, GW_CONN_CLOSED);
        return;
    }
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    SSL_get0_alpn_selected(conn->ssl, &alpn, &alpn_len);
    open_protocol(conn, alpn_len == 2 && memcmp(alpn, "h2", 2) == 0);
}

static void drop_input(struct gw_conn *conn)
{
    /* raw: what TLS would make of it does not matter any more */
    ssize_t got = recv(conn->fd, conn->group->in, sizeof conn->group->in, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        set_state(conn, GW_CONN_CLOSED);
        return;
    }
    conn->dropped += got > 0 ? (size_t)got : 0;
    if (conn->dropped > LINGER_BYTES_MAX)
        set_state(conn, GW_CONN_CLOSED);
}

static void read_some(struct gw_conn *conn)
{
    for (int i = 0; i < READS_PER_EVENT; i++) {
        if (conn->input_over || conn->state == GW_CONN_CLOSED)
            return;
        if (conn->state == GW_CONN_OPEN && !conn->protocol->wants_read(conn->proto))
            return;
        size_t len;
        enum io outcome = conn_read(conn, conn->group->in, sizeof conn->group->in, &len);
        if (outcome == IO_AGAIN)
            return;
        if (outcome == IO_FAILED) {
            set_state(conn, GW_CONN_CLOSED);
            return;
        }
        if (outcome == IO_EOF) {
            on_eof(conn);
            return;
        }
        if (conn->state == GW_CONN_DETECT)
            detect(conn, conn->group->in, len);
        else
            take_in(conn, conn->group->in, len);
        kw_wipe(conn->group->in, len);
        /* a plain socket that gave less than asked for is empty */
        if (!conn->ssl && len < sizeof conn->group->in)
            return;
    }
    if (conn->state != GW_CONN_CLOSED && conn->ssl && SSL_has_pending(conn->ssl))
        event_active(&conn->read_event, EV_READ, 0);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct gw_conn *conn = arg;
    (void)fd;
    (void)what;
    if (conn->state == GW_CONN_HANDSHAKE)
        handshake(conn);
    if (conn->state == GW_CONN_DETECT || conn->state == GW_CONN_OPEN)
        read_some(conn);
    else if (conn->state == GW_CONN_CLOSING)
        drop_input(conn);
    update_events(conn);
}

/* --- output --- */

/* Keeps what the socket did not take. False: no memory. */
static bool keep_pending(struct gw_conn *conn, const uint8_t *data, size_t len)
{
    conn->pending.data = malloc(len);
    if (!conn->pending.data)
        return false;
    memcpy(conn->pending.data, data, len);
    conn->pending.len = conn->pending.cap = len;
    conn->pending_at = 0;
    conn->stalled_ns = gw_loop_now(conn->group->loop);
    return true;
}

static enum io write_pending(struct gw_conn *conn)
{
    size_t done;
    enum io outcome = conn_write(conn, conn->pending.data + conn->pending_at,
                                 conn->pending.len - conn->pending_at, &done);
    if (done > 0)
        conn->stalled_ns = gw_loop_now(conn->group->loop);
    conn->pending_at += done;
    if (outcome == IO_OK) {
        pending_free(conn);
        conn->stalled_ns = 0;
    }
    return outcome;
}

/* Everything the protocol has now, until the socket is full. */
static enum io write_out(struct gw_conn *conn)
{
    uint8_t *out = conn->group->out;
    if (conn->pending.len > 0) {
        enum io outcome = write_pending(conn);
        if (outcome != IO_OK)
            return outcome;
    }
    for (int i = 0; i < WRITES_PER_TURN; i++) {
        size_t done, len = conn->protocol->produce(conn->proto, out, GW_CONN_WRITE_MAX);
        if (len == 0) {
            if (conn->protocol->finished(conn->proto))
                set_state(conn, GW_CONN_CLOSING);
            return IO_OK;
        }
        enum io outcome = conn_write(conn, out, len, &done);
        if (outcome == IO_AGAIN && !keep_pending(conn, out + done, len - done))
            outcome = IO_FAILED;
        kw_wipe(out, len); /* answers may be plaintext of a decryption */
        if (outcome != IO_OK)
            return outcome;
    }
    gw_conn_dirty(conn);
    return IO_OK;
}

static void flush_run(struct gw_turn_task *task)
{
    struct gw_conn *conn = (struct gw_conn *)((char *)task - offsetof(struct gw_conn, flush));
    if (conn->state != GW_CONN_OPEN)
        return;
    if (write_out(conn) == IO_FAILED)
        set_state(conn, GW_CONN_CLOSED);
    update_events(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct gw_conn *conn = arg;
    (void)fd;
    (void)what;
    bool wanted = conn->want_write;
    conn->want_write = false;
    if (conn->state == GW_CONN_HANDSHAKE)
        handshake(conn);
    else if (conn->state == GW_CONN_OPEN)
        gw_conn_dirty(conn);
    if (wanted && (conn->state == GW_CONN_OPEN || conn->state == GW_CONN_DETECT))
        read_some(conn);
    update_events(conn);
}

void gw_conn_dirty(struct gw_conn *conn)
{
    gw_loop_flush(conn->group->loop, &conn->flush);
}

/* --- time --- */

static bool still_in_time(struct gw_conn *conn, int64_t now)
{
    const struct gw_limits *limits = conn->group->limits;
    switch (conn->state) {
    case GW_CONN_HANDSHAKE:
        return now - conn->opened_ns < KW_MS(limits->handshake_timeout_ms);
    case GW_CONN_DETECT:
        return now - conn->opened_ns < KW_MS(limits->header_timeout_ms);
    case GW_CONN_OPEN:
        if (conn->stalled_ns && now - conn->stalled_ns >= KW_MS(limits->body_timeout_ms))
            return false;
        return conn->protocol->tick(conn->proto, now);
    case GW_CONN_CLOSING:
        return now - conn->closing_ns <
               (gw_loop_draining(conn->group->loop) ? LINGER_DRAIN_NS : LINGER_NS);
    default:
        return true;
    }
}

static void on_timer(struct gw_timer *timer)
{
    struct gw_conn *conn = (struct gw_conn *)((char *)timer - offsetof(struct gw_conn, timer));
    int64_t now = gw_loop_now(conn->group->loop);
    if (!still_in_time(conn, now)) {
        set_state(conn, GW_CONN_CLOSED);
        return;
    }
    gw_wheel_set(gw_loop_wheel(conn->group->loop), timer, now + KW_MS(GW_CONN_TICK_MS));
    update_events(conn);
}

/* --- the group --- */

void gw_conn_open(struct gw_conn_group *group, int fd, SSL *ssl, const struct gw_peer *peer,
                  bool detect_h2)
{
    struct gw_conn *conn = calloc(1, sizeof *conn);
    if (!conn || (ssl && SSL_set_fd(ssl, fd) != 1)) {
        free(conn);
        SSL_free(ssl);
        close(fd);
        return;
    }
    struct event_base *base = gw_loop_base(group->loop);
    conn->group = group;
    conn->fd = fd;
    conn->ssl = ssl;
    conn->peer = *peer;
    conn->flush.run = flush_run;
    conn->release.run = release_run;
    conn->timer.expired = on_timer;
    conn->opened_ns = gw_loop_now(group->loop);
    event_assign(&conn->read_event, base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    event_assign(&conn->write_event, base, fd, EV_WRITE | EV_PERSIST, on_writable, conn);
    conn->next = group->conns;
    conn->link = &group->conns;
    if (conn->next)
        conn->next->link = &conn->next;
    group->conns = conn;
    group->counts[peer->face]++;
    gw_loop_hold(group->loop);
    gw_metrics_connection(group->metrics, gw_loop_index(group->loop), 1);
    gw_wheel_set(gw_loop_wheel(group->loop), &conn->timer,
                 conn->opened_ns + KW_MS(GW_CONN_TICK_MS));
    if (!ssl && detect_h2)
        set_state(conn, GW_CONN_DETECT);
    else if (!ssl)
        open_protocol(conn, false);
    update_events(conn);
}

void gw_conn_group_drain(struct gw_conn_group *group)
{
    for (struct gw_conn *conn = group->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->state == GW_CONN_OPEN) {
            conn->protocol->drain(conn->proto);
            gw_conn_dirty(conn);
        } else if (conn->state == GW_CONN_HANDSHAKE || conn->state == GW_CONN_DETECT) {
            set_state(conn, GW_CONN_CLOSED);
        }
    }
}

void gw_conn_group_cut(struct gw_conn_group *group)
{
    while (group->conns)
        set_state(group->conns, GW_CONN_CLOSED);
}

const char *gw_conn_group_date(struct gw_conn_group *group)
{
    int64_t now = kw_wall_s();
    if (now != group->date_s) {
        time_t seconds = (time_t)now;
        struct tm tm;
        gmtime_r(&seconds, &tm);
        strftime(group->date, sizeof group->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        group->date_s = now;
    }
    return group->date;
}

/* One connection: TCP, TLS, then HTTP/2. Nothing blocks; what fails marks the connection dead with
 * a reason, and the link buries it when no callback of the library is on the stack. */

#include "pool/remote/remote.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ROOM_LEN       16384u /* one TLS record */
#define READS_PER_TURN 64

void pool_remote_conn_fail(struct pool_remote_conn *conn, const char *format, ...)
{
    if (conn->state == POOL_REMOTE_DEAD) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(conn->why, sizeof conn->why, format, args);
    va_end(args);
    conn->state = POOL_REMOTE_DEAD;
}

static void end_quietly(struct pool_remote_conn *conn)
{
    conn->state = POOL_REMOTE_DEAD;
    conn->why[0] = 0;
}

static void close_socket(struct pool_remote_conn *conn)
{
    if (conn->fd >= 0) {
        pool_port_unwatch(conn->link->port, conn->fd);
        close(conn->fd);
        conn->fd = -1;
    }
}

void pool_remote_conn_free(struct pool_remote_conn *conn)
{
    while (conn->streams != NULL) {
        pool_remote_stream_free(conn->streams);
    }
    nghttp2_session_del(conn->session);
    SSL_free(conn->ssl);
    close_socket(conn);
    kw_secret_clear(&conn->token);
    kw_secret_free(conn->room);
    free(conn);
}

static bool watch(struct pool_remote_conn *conn, bool write)
{
    if (conn->wants_write == write && conn->state != POOL_REMOTE_CONNECTING) {
        return true;
    }
    conn->wants_write = write;
    if (pool_port_watch(conn->link->port, conn->fd, EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0),
                        conn->link->remote->member, conn->link) != KW_OK) {
        pool_remote_conn_fail(conn, "the connection cannot be watched");
        return false;
    }
    return true;
}

/* --- opening --- */

/* Tries the next address; dead when there is none left. `error` is what the last one said. */
static void next_address(struct pool_remote_conn *conn, int error)
{
    while (conn->tried < conn->addresses.count) {
        unsigned at = conn->tried++;
        const struct sockaddr_storage *address = &conn->addresses.list[at];
        close_socket(conn);
        conn->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (conn->fd < 0) {
            error = errno;
            continue;
        }
        int on = 1;
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        conn->address_ns = kw_now_ns();
        if (connect(conn->fd, (const struct sockaddr *)address, conn->addresses.lens[at]) == 0 ||
            errno == EINPROGRESS) {
            watch(conn, true);
            return;
        }
        error = errno;
    }
    char text[64] = "";
    pool_remote_conn_fail(conn, "unreachable: %s",
                          error == ETIMEDOUT ? "no answer to connecting"
                                             : strerror_r(error, text, sizeof text));
}

struct pool_remote_conn *pool_remote_conn_open(struct pool_remote_link *link,
                                               const struct pool_remote_addresses *addresses,
                                               struct kw_span token, uint32_t token_generation)
{
    struct pool_remote_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    conn->link = link;
    conn->fd = -1;
    conn->addresses = *addresses;
    conn->token_generation = token_generation;
    conn->begun_ns = kw_now_ns();
    conn->room = kw_secret_alloc(ROOM_LEN);
    uint8_t noise = 128;
    if (conn->room == NULL || kw_secret_copy(&conn->token, token) != KW_OK ||
        kw_random(&noise, sizeof noise) != KW_OK) {
        pool_remote_conn_free(conn);
        return NULL;
    }
    /* a tenth earlier or later, so that the connections of several loops do not all change at once
     */
    conn->age_ns = POOL_REMOTE_AGE_NS / 10 * 9 + POOL_REMOTE_AGE_NS / 5 / 256 * noise;
    next_address(conn, EADDRNOTAVAIL);
    return conn;
}

static void shake_hands(struct pool_remote_conn *conn)
{
    int r = pool_remote_tls_handshake(conn);
    if (r < 0 || !watch(conn, r == 0 && SSL_want_write(conn->ssl))) {
        return;
    }
    if (r == 1 && pool_remote_barred(conn->link)) {
        pool_remote_conn_fail(conn, "it refuses this gateway"); /* as another port found out */
    } else if (r == 1) {
        conn->state = POOL_REMOTE_PROBING;
        conn->heard_ns = kw_now_ns();
        if (pool_remote_h2_begin(conn) != KW_OK) {
            pool_remote_conn_fail(conn, "out of memory");
            return;
        }
        pool_remote_h2_probe(conn);
        pool_remote_conn_send(conn);
    }
}

static void connected(struct pool_remote_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;
    struct pollfd wait = {.fd = conn->fd, .events = POLLOUT};
    if (poll(&wait, 1, 0) <= 0) {
        return; /* another connection of the link woke it */
    }
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        next_address(conn, error);
        return;
    }
    if (pool_remote_tls_open(conn) != KW_OK) {
        pool_remote_conn_fail(conn, "out of memory");
        return;
    }
    conn->state = POOL_REMOTE_HANDSHAKE;
    shake_hands(conn);
}

/* --- out --- */

/* Moves pieces of the library into the room until it is full or there are no more. */
static bool fill_room(struct pool_remote_conn *conn)
{
    while (conn->room_len < ROOM_LEN) {
        if (conn->piece_len == 0) {
            ssize_t n = nghttp2_session_mem_send(conn->session, &conn->piece);
            if (n < 0) {
                pool_remote_conn_fail(conn, "HTTP/2: %s", nghttp2_strerror((int)n));
                return false;
            }
            if (n == 0) {
                return true;
            }
            conn->piece_len = (size_t)n;
        }
        size_t room = ROOM_LEN - conn->room_len;
        size_t n = conn->piece_len < room ? conn->piece_len : room;
        memcpy(conn->room + conn->room_len, conn->piece, n);
        conn->room_len += n;
        conn->piece += n;
        conn->piece_len -= n;
    }
    return true;
}

/* 1: the room is empty again; 0: the socket takes no more; -1: dead. */
static int empty_room(struct pool_remote_conn *conn)
{
    while (conn->room_done < conn->room_len) {
        ERR_clear_error();
        int r = SSL_write(conn->ssl, conn->room + conn->room_done,
                          (int)(conn->room_len - conn->room_done));
        if (r > 0) {
            conn->room_done += (size_t)r;
            continue;
        }
        int error = SSL_get_error(conn->ssl, r);
        if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
            return 0;
        }
        ERR_clear_error();
        pool_remote_conn_fail(conn, "the connection broke");
        return -1;
    }
    kw_wipe(conn->room, conn->room_len);
    conn->room_len = conn->room_done = 0;
    return 1;
}

void pool_remote_conn_send(struct pool_remote_conn *conn)
{
    if (conn->session == NULL || conn->state == POOL_REMOTE_DEAD) {
        return;
    }
    int r = 1;
    do {
        if (!fill_room(conn)) {
            break;
        }
        if (conn->room_len == 0) {
            break;
        }
        r = empty_room(conn);
    } while (r == 1);
    if (conn->state != POOL_REMOTE_DEAD) {
        watch(conn, r == 0);
    }
}

/* --- in --- */

static void ended(struct pool_remote_conn *conn)
{
    if (conn->state == POOL_REMOTE_DRAINING && conn->stream_count == 0) {
        end_quietly(conn);
    } else {
        pool_remote_conn_fail(conn, "the endpoint closed the connection");
    }
}

static void receive(struct pool_remote_conn *conn)
{
    uint8_t data[ROOM_LEN];
    for (int i = 0; i < READS_PER_TURN && conn->state != POOL_REMOTE_DEAD; i++) {
        ERR_clear_error();
        int r = SSL_read(conn->ssl, data, sizeof data);
        if (r <= 0) {
            int error = SSL_get_error(conn->ssl, r);
            ERR_clear_error();
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
                ended(conn);
            }
            break;
        }
        conn->heard_ns = kw_now_ns();
        ssize_t n = nghttp2_session_mem_recv(conn->session, data, (size_t)r);
        if (n < 0) {
            pool_remote_conn_fail(conn, "HTTP/2: %s", nghttp2_strerror((int)n));
        }
    }
    kw_wipe(data, sizeof data);
    if (conn->state != POOL_REMOTE_DEAD && !nghttp2_session_want_read(conn->session) &&
        !nghttp2_session_want_write(conn->session)) {
        ended(conn); /* the library has seen a fault of the protocol, or the end */
    }
}

void pool_remote_conn_ready(struct pool_remote_conn *conn, uint32_t events)
{
    (void)events;
    switch (conn->state) {
    case POOL_REMOTE_CONNECTING:
        connected(conn);
        return;
    case POOL_REMOTE_HANDSHAKE:
        shake_hands(conn);
        return;
    case POOL_REMOTE_DEAD:
        return;
    default:
        receive(conn);
        pool_remote_conn_send(conn);
    }
}

/* --- time --- */

void pool_remote_conn_drain(struct pool_remote_conn *conn)
{
    if (conn->state == POOL_REMOTE_PROBING) {
        pool_remote_conn_fail(conn, "unreachable: the endpoint is going away");
    } else if (conn->state == POOL_REMOTE_OPEN) {
        conn->state = POOL_REMOTE_DRAINING;
        conn->drain_ns = kw_now_ns();
    }
}

static void tick_open(struct pool_remote_conn *conn, int64_t now_ns)
{
    bool suspect = pool_member_health(conn->link->remote->member) == POOL_HEALTH_SUSPECT;
    if (conn->ping_ns != 0 && now_ns - conn->ping_ns > POOL_REMOTE_PING_NS) {
        pool_remote_conn_fail(conn, "unreachable: no answer to PING");
        return;
    }
    if (conn->probe_out && now_ns - conn->probed_ns > POOL_REMOTE_OPEN_NS) {
        pool_remote_conn_fail(conn, "unreachable: a probe got no answer");
        return;
    }
    if (conn->ping_ns == 0 && now_ns - conn->heard_ns > POOL_REMOTE_QUIET_NS &&
        nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL) == 0) {
        conn->ping_ns = now_ns;
    }
    if (!conn->probe_out && now_ns - conn->probed_ns > (suspect ? KW_S(1) : POOL_REMOTE_PROBE_NS)) {
        pool_remote_h2_probe(conn);
    }
    if (now_ns - conn->opened_ns > conn->age_ns && now_ns - conn->link->wants_ns > KW_S(1)) {
        pool_remote_link_want(conn->link);
    }
    pool_remote_conn_send(conn);
}

void pool_remote_conn_tick(struct pool_remote_conn *conn, int64_t now_ns)
{
    switch (conn->state) {
    case POOL_REMOTE_CONNECTING:
        if (now_ns - conn->begun_ns > POOL_REMOTE_OPEN_NS) {
            conn->tried = conn->addresses.count;
        }
        if (now_ns - conn->address_ns > POOL_REMOTE_ADDRESS_NS) {
            next_address(conn, ETIMEDOUT);
        }
        return;
    case POOL_REMOTE_HANDSHAKE:
    case POOL_REMOTE_PROBING:
        if (now_ns - conn->begun_ns > POOL_REMOTE_OPEN_NS) {
            pool_remote_conn_fail(conn, "unreachable: no answer within %d s",
                                  (int)(POOL_REMOTE_OPEN_NS / KW_S(1)));
        }
        return;
    case POOL_REMOTE_OPEN:
        tick_open(conn, now_ns);
        return;
    case POOL_REMOTE_DRAINING:
        if (conn->stream_count == 0) {
            /* a word of farewell; whether it arrives matters to nobody */
            nghttp2_session_terminate_session(conn->session, NGHTTP2_NO_ERROR);
            pool_remote_conn_send(conn);
            end_quietly(conn);
        } else if (now_ns - conn->drain_ns > POOL_REMOTE_DRAIN_NS) {
            pool_remote_conn_fail(conn, "the endpoint went away without answering");
        }
        return;
    case POOL_REMOTE_DEAD:
        return;
    }
}

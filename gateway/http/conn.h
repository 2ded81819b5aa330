#pragma once
/* One connection: a socket, TLS on it or not, and the protocol above. Bytes go up through
 * gw_protocol.receive and come down through .produce; nothing below the protocol knows requests. */

#include <event2/event_struct.h>
#include <openssl/ssl.h>

#include "gateway/config/config.h"
#include "gateway/http/request.h"
#include "gateway/net/wheel.h"

#define GW_CONN_READ_MAX  16384            /* one TLS record */
#define GW_CONN_WRITE_MAX (4 * 16384 + 64) /* room for what one produce call writes */
#define GW_CONN_TICK_MS   500

struct gw_conn;

struct gw_protocol {
    /** Takes in all `len` bytes. False: take nothing more; close once the output is out. */
    bool (*receive)(void *proto, const uint8_t *data, size_t len);
    /** Writes output into `out`; returns how much. 0: nothing now. Called at the flush of a turn.
     */
    size_t (*produce)(void *proto, uint8_t *out, size_t cap);
    /** Whether more input is welcome (back-pressure). */
    bool (*wants_read)(const void *proto);
    /** Nothing more will be sent: close. Asked when produce gave nothing. */
    bool (*finished)(const void *proto);
    /** The client sends no more. False: close at once. */
    bool (*end_of_input)(void *proto);
    /** Finish what is there, take in nothing new. */
    void (*drain)(void *proto);
    /** Every GW_CONN_TICK_MS. False: cut the connection. */
    bool (*tick)(void *proto, int64_t now_ns);
    /** Detaches the requests and frees. */
    void (*destroy)(void *proto);
};

extern const struct gw_protocol gw_h1_protocol, gw_h2_protocol;
void *gw_h1_create(struct gw_conn *conn);
void *gw_h2_create(struct gw_conn *conn);

enum gw_conn_state {
    GW_CONN_HANDSHAKE, /* TLS */
    GW_CONN_DETECT,    /* cleartext: HTTP/2 by its preface, or HTTP/1.1 */
    GW_CONN_OPEN,
    GW_CONN_CLOSING, /* all is said; input is read and dropped so that the answer is not lost */
    GW_CONN_CLOSED
};

/** The connections of one loop. */
struct gw_conn_group {
    struct gw_loop *loop;
    const struct gw_limits *limits;
    struct gw_metrics *metrics;
    struct gw_conn *conns;
    unsigned counts[3]; /* by face */
    void (*on_close)(struct gw_conn_group *group);
    void *owner;
    int64_t date_s;
    char date[32];
    uint8_t in[GW_CONN_READ_MAX];
    uint8_t out[GW_CONN_WRITE_MAX];
};

struct gw_conn {
    struct gw_conn_group *group;
    struct gw_conn *next, **link;
    enum gw_conn_state state;
    int fd;
    SSL *ssl;
    struct event read_event, write_event;
    bool reading, writing; /* which events are added */
    bool input_over;       /* EOF was seen, or the protocol wants nothing more */
    bool want_write;       /* SSL_read or the handshake waits for the socket to be writable */
    const struct gw_protocol *protocol;
    void *proto;
    struct gw_peer peer;
    struct gw_timer timer;
    struct gw_turn_task flush, release;
    struct kw_buf pending; /* output that the socket did not take, from `pending_at` */
    size_t pending_at;
    int64_t opened_ns, closing_ns, stalled_ns; /* stalled: since when the socket takes nothing */
    size_t dropped;                            /* bytes discarded while closing */
    uint8_t preface[24];
    size_t preface_len;
};

/** Takes over `fd` (and `ssl`, may be NULL) in every case. */
void gw_conn_open(struct gw_conn_group *group, int fd, SSL *ssl, const struct gw_peer *peer,
                  bool detect_h2);
/** There is output: produce is called in this turn's flush. */
void gw_conn_dirty(struct gw_conn *conn);
/** Ends it now. Not from within a call of its protocol's (those return false instead). */
void gw_conn_cut(struct gw_conn *conn);
/** Drains, or cuts, all connections of the group. */
void gw_conn_group_drain(struct gw_conn_group *group);
void gw_conn_group_cut(struct gw_conn_group *group);
/** IMF-fixdate of now. */
const char *gw_conn_group_date(struct gw_conn_group *group);

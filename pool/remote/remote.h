#pragma once
/* Inside pool/remote: a member that is another keyward, or any Key-Vault-compatible endpoint.
 *
 * Each port has a link with one connection that takes requests, and beside it those that are being
 * opened or end. Everything of a link runs on its port's thread. What several threads share
 * (addresses, credential, what is known of keys, the health that follows from connections) is in
 * struct pool_remote. The supervisor resolves names, reads files and decides when to try again. */

#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "pool/member.h"
#include "pool/remote/message.h"
#include "pool/remote/resolve.h"
#include "pool/remote/url.h"

#define POOL_REMOTE_CONNS      4u
#define POOL_REMOTE_KEYS       2048u
#define POOL_REMOTE_STREAMS    128u /* requests on one connection at a time, if the peer allows it */
#define POOL_REMOTE_TOKEN_MAX  16384u
#define POOL_REMOTE_AGE_NS     KW_S(60) /* then a new connection takes over */
#define POOL_REMOTE_OPEN_NS    KW_S(5)  /* for connecting, the handshake and the first answer */
#define POOL_REMOTE_ADDRESS_NS KW_S(2)  /* for one address to take the connection */
#define POOL_REMOTE_QUIET_NS   KW_S(10) /* without a sign of life: PING */
#define POOL_REMOTE_PING_NS    KW_S(5)  /* for its answer */
#define POOL_REMOTE_PROBE_NS   KW_S(10) /* between probes of a connection */
#define POOL_REMOTE_DRAIN_NS   KW_S(30) /* for what is on its way on a connection that ends */

enum pool_remote_knows { POOL_REMOTE_UNKNOWN, POOL_REMOTE_HOLDS, POOL_REMOTE_LACKS_KEY };

struct pool_remote_key {
    uint8_t id[KW_KEY_ID_LEN];
    enum pool_remote_knows knows;
    int64_t until_ns; /* LACKS_KEY: when to ask again */
    char version[POOL_REMOTE_VERSION_MAX + 1];
};

struct pool_remote {
    struct pool_member *member;
    struct pool_remote_url url;
    SSL_CTX *tls; /* under the lock: it changes with the file of `ca` */

    _Atomic int open;              /* links with a connection that takes requests */
    _Atomic int64_t busy_until_ns; /* it asked for a pause */
    _Atomic int64_t unable_until_ns[KW_KIND_COUNT][KW_ALG_COUNT];
    _Atomic bool able[KW_KIND_COUNT]
                     [KW_ALG_COUNT]; /* it has done so: a refusal is of one request */
    _Atomic bool wanted;             /* a link wants a new connection */

    pthread_mutex_t lock;
    struct pool_remote_addresses addresses;
    struct kw_secret token;
    uint32_t token_generation;   /* counts changes of `token` */
    uint32_t refused_generation; /* the token that was refused last; under the lock */
    struct pool_remote_key keys[POOL_REMOTE_KEYS];
    int64_t not_after; /* of its certificate, seconds since 1970; 0: not seen yet */

    /* the supervisor's */
    struct pool_remote_resolve *resolve;
    enum pool_health seen;
    int64_t opening_ns; /* when the attempt under way began */
    int64_t token_ctime_ns, ca_ctime_ns;
    uint64_t token_inode, ca_inode;
    int warned_days;
    int64_t warned_of; /* the not_after the last warning was about */
};

/* --- one request --- */

enum pool_remote_what { POOL_REMOTE_PROBE, POOL_REMOTE_LOOKUP, POOL_REMOTE_OP };

struct pool_remote_stream {
    struct pool_remote_stream *next, **at; /* of the connection's list */
    struct pool_remote_conn *conn;
    enum pool_remote_what what;
    int32_t id;
    struct pool_op *op;   /* OP; NULL when it was given up */
    struct pool_key *key; /* LOOKUP: a reference */
    bool latest;          /* LOOKUP: of the latest version */
    int64_t sent_ns;
    struct kw_buf body; /* secret memory */
    size_t body_sent;
    int status;           /* 0: none yet */
    int retry_after_s;    /* -1: no such field */
    struct kw_buf answer; /* secret memory */
    size_t answer_max;
    bool sent, overflow, ended;
};

/* --- a connection --- */

enum pool_remote_state {
    POOL_REMOTE_CONNECTING,
    POOL_REMOTE_HANDSHAKE,
    POOL_REMOTE_PROBING, /* the first probe is on its way */
    POOL_REMOTE_OPEN,
    POOL_REMOTE_DRAINING, /* takes no new requests */
    POOL_REMOTE_DEAD      /* to be freed by the link */
};

struct pool_remote_conn {
    struct pool_remote_link *link;
    enum pool_remote_state state;
    int fd;
    struct pool_remote_addresses addresses;
    unsigned tried;
    SSL *ssl;
    nghttp2_session *session;
    struct kw_secret token;
    uint32_t token_generation; /* of `token`: which of the member's tokens it is */
    struct pool_remote_stream *streams;
    unsigned stream_count;
    bool probe_out, wants_write;
    int64_t begun_ns, address_ns, opened_ns, heard_ns, ping_ns, probed_ns, drain_ns, age_ns;
    const uint8_t *piece; /* what the library gave and the socket has not taken */
    size_t piece_len;
    uint8_t *room; /* gathers pieces into full TLS records */
    size_t room_len, room_done;
    char why[128]; /* why it is dead */
};

struct pool_remote_link {
    struct pool_remote *remote;
    struct pool_port *port;
    struct pool_remote_conn *conns[POOL_REMOTE_CONNS];
    struct pool_op *waiting, *waiting_last;
    struct pool_op *parked; /* wait for a lookup of their key */
    bool counted;           /* in remote->open */
    bool wants;             /* asked for a new connection */
    int64_t wants_ns;
};

/* conn.c */
/** Starts connecting. NULL when memory is short. `addresses` is not empty. */
struct pool_remote_conn *pool_remote_conn_open(struct pool_remote_link *link,
                                               const struct pool_remote_addresses *addresses,
                                               struct kw_span token, uint32_t token_generation);
/** Frees it; its streams must be gone or are dropped without a word. */
void pool_remote_conn_free(struct pool_remote_conn *conn);
void pool_remote_conn_ready(struct pool_remote_conn *conn, uint32_t events);
/** Sends what is there to be sent. */
void pool_remote_conn_send(struct pool_remote_conn *conn);
/** Time limits: opening, age, PING, probes, draining. */
void pool_remote_conn_tick(struct pool_remote_conn *conn, int64_t now_ns);
/** No new requests; it ends when those on their way have ended. */
void pool_remote_conn_drain(struct pool_remote_conn *conn);
void pool_remote_conn_fail(struct pool_remote_conn *conn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* h2.c */
KW_MUST_CHECK kw_status pool_remote_h2_begin(struct pool_remote_conn *conn);
/** Sends a request; `stream` is filled in but for its connection, list and id, and stays the
 *  caller's on failure. */
KW_MUST_CHECK kw_status pool_remote_h2_request(struct pool_remote_conn *conn,
                                               struct pool_remote_stream *stream, const char *path,
                                               const char *via);
struct pool_remote_stream *pool_remote_stream_new(enum pool_remote_what what, size_t answer_max);
void pool_remote_stream_free(struct pool_remote_stream *stream);
/** A probe: asks for a key that need not exist. */
void pool_remote_h2_probe(struct pool_remote_conn *conn);

/* tls.c */
/** `ca`: file of more trusted certificates beside the system's; NULL: none. */
KW_MUST_CHECK kw_status pool_remote_tls_create(SSL_CTX **out, const char *ca);
KW_MUST_CHECK kw_status pool_remote_tls_open(struct pool_remote_conn *conn);
/** One step of the handshake: 1 done, 0 more to come, -1 failed and said so. */
int pool_remote_tls_handshake(struct pool_remote_conn *conn);

/* link.c */
kw_status pool_remote_attach(struct pool_member *member, struct pool_port *port, void **link);
void pool_remote_detach(struct pool_member *member, struct pool_port *port, void *link);
void pool_remote_submit(struct pool_member *member, void *link, struct pool_op *op);
void pool_remote_flush(struct pool_member *member, void *link);
void pool_remote_ready(struct pool_member *member, void *link, uint32_t events);
int64_t pool_remote_expire(struct pool_member *member, void *link, int64_t now_ns);
/** Port's thread, through pool_port_call: new addresses are there. */
void pool_remote_take_addresses(struct pool_port *port, void *member);
/** Gives an operation back to the group. */
void pool_remote_give(struct pool_remote_link *link, struct pool_op *op, enum pool_verdict verdict,
                      const char *reason);
/** Puts an operation at the end of those that wait for a connection. */
void pool_remote_push_waiting(struct pool_remote_link *link, struct pool_op *op);
/** What waited for news of `key`: with `reason` NULL it goes on; else it is given back. */
void pool_remote_unpark(struct pool_remote_link *link, const struct pool_key *key,
                        enum pool_verdict verdict, const char *reason);
/** Asks for a key's description. False when that cannot be sent. */
bool pool_remote_lookup(struct pool_remote_conn *conn, struct pool_key *key, bool latest);
/** The member refuses this gateway: nothing is sent until that has changed. */
bool pool_remote_barred(const struct pool_remote_link *link);
/** A connection's state has changed: counts this link among the open ones, or no more. */
void pool_remote_recount(struct pool_remote_link *link);
void pool_remote_link_want(struct pool_remote_link *link);

/* answer.c */
/** The stream ended with this code of HTTP/2; it is freed by the caller. */
void pool_remote_link_finished(struct pool_remote_conn *conn, struct pool_remote_stream *stream,
                               uint32_t error);

/* member.c */
/** The connection is usable: the member comes up, or stays so. */
void pool_remote_opened(struct pool_remote *remote);
/** The credential of a connection was refused. When the member has another one since, that says
 *  nothing of it: the connection alone ends. */
void pool_remote_refused(struct pool_remote_conn *conn, const char *why);
int64_t pool_remote_supervise(struct pool_member *member, int64_t now_ns);

/* keys.c */
/** What is known of a key; `version` is filled in for HOLDS. Any thread. */
enum pool_remote_knows pool_remote_key_find(struct pool_remote *remote, const struct pool_key *key,
                                            char version[POOL_REMOTE_VERSION_MAX + 1]);
void pool_remote_key_set(struct pool_remote *remote, const struct pool_key *key,
                         enum pool_remote_knows knows, const char *version);
void pool_remote_keys_forget(struct pool_remote *remote);

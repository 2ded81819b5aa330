/* A port's side of a remote member: what waits, what is on its way, and which connection takes it.
 *
 * An operation that never left, was refused unprocessed, or was lost with its connection goes
 * elsewhere at no cost: the fault, if it is one, is charged once, through the member's health. */

#include "pool/remote/remote.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_NS  KW_MS(100)
#define AGAIN_NS KW_S(1) /* between requests for a connection while other links have one */

/* --- lists --- */

void pool_remote_give(struct pool_remote_link *link, struct pool_op *op, enum pool_verdict verdict,
                      const char *reason)
{
    op->member_data = NULL;
    pool_op_return(link->remote->member, op, verdict, reason);
}

void pool_remote_push_waiting(struct pool_remote_link *link, struct pool_op *op)
{
    op->next = NULL;
    *(link->waiting_last != NULL ? &link->waiting_last->next : &link->waiting) = op;
    link->waiting_last = op;
}

static struct pool_op *pop_waiting(struct pool_remote_link *link)
{
    struct pool_op *op = link->waiting;
    link->waiting = op->next;
    link->waiting_last = link->waiting == NULL ? NULL : link->waiting_last;
    op->next = NULL;
    return op;
}

/* A list taken off the link first: what is given back may come in again. */
static void give_list(struct pool_remote_link *link, struct pool_op *op, const char *reason)
{
    while (op != NULL) {
        struct pool_op *next = op->next;
        op->next = NULL;
        pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, reason);
        op = next;
    }
}

static void give_waiting(struct pool_remote_link *link, const char *reason)
{
    struct pool_op *waiting = link->waiting, *parked = link->parked;
    link->waiting = link->waiting_last = link->parked = NULL;
    give_list(link, waiting, reason);
    give_list(link, parked, reason);
}

/* What waited for news of `key`: `reason` NULL: it can go on; else it goes elsewhere. */
void pool_remote_unpark(struct pool_remote_link *link, const struct pool_key *key,
                        enum pool_verdict verdict, const char *reason)
{
    struct pool_op *mine = NULL, **at = &link->parked;
    while (*at != NULL) {
        struct pool_op *op = *at;
        if (memcmp(pool_key_id(op->key), pool_key_id(key), KW_KEY_ID_LEN) != 0) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        op->next = mine;
        mine = op;
    }
    while (mine != NULL) {
        struct pool_op *op = mine;
        mine = op->next;
        if (reason == NULL) {
            pool_remote_push_waiting(link, op);
        } else {
            op->next = NULL;
            pool_remote_give(link, op, verdict, reason);
        }
    }
}

/* --- connections --- */

static struct pool_remote_conn *usable(const struct pool_remote_link *link)
{
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        if (link->conns[i] != NULL && link->conns[i]->state == POOL_REMOTE_OPEN) {
            return link->conns[i];
        }
    }
    return NULL;
}

static bool opening(const struct pool_remote_link *link)
{
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        if (link->conns[i] != NULL && link->conns[i]->state < POOL_REMOTE_OPEN) {
            return true;
        }
    }
    return false;
}

void pool_remote_recount(struct pool_remote_link *link)
{
    bool now = usable(link) != NULL;
    if (now != link->counted) {
        link->counted = now;
        atomic_fetch_add(&link->remote->open, now ? 1 : -1);
    }
}

void pool_remote_link_want(struct pool_remote_link *link)
{
    if (!link->wants && !opening(link)) {
        link->wants = true;
        link->wants_ns = kw_now_ns();
        atomic_store(&link->remote->wanted, true);
        pool_supervisor_wake(link->remote->member->pool);
    }
}

/* The ends of requests that were lost with their connection. */
static void give_streams(struct pool_remote_link *link, struct pool_remote_conn *conn,
                         const char *why)
{
    for (struct pool_remote_stream *stream = conn->streams; stream != NULL; stream = stream->next) {
        if (stream->what == POOL_REMOTE_LOOKUP) {
            pool_remote_unpark(link, stream->key, POOL_VERDICT_ELSEWHERE, why);
        }
        if (stream->op != NULL) {
            struct pool_op *op = stream->op;
            stream->op = NULL;
            pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, why);
        }
    }
}

static void bury(struct pool_remote_link *link, struct pool_remote_conn *conn)
{
    const char *why = conn->why[0] != 0 ? conn->why : "the connection ended";
    pool_remote_recount(link);
    if (conn->why[0] != 0 && !link->counted && !opening(link)) {
        if (atomic_load(&link->remote->open) == 0) {
            pool_member_transition(link->remote->member, POOL_EV_LOST, why);
        }
        link->wants = false;
        link->wants_ns = kw_now_ns();
        give_waiting(link, why);
    }
    give_streams(link, conn, why);
    pool_remote_conn_free(conn);
}

static void sweep(struct pool_remote_link *link)
{
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        struct pool_remote_conn *conn = link->conns[i];
        if (conn != NULL && conn->state == POOL_REMOTE_DEAD) {
            link->conns[i] = NULL;
            bury(link, conn);
        }
    }
    pool_remote_recount(link);
}

/* --- sending --- */

bool pool_remote_lookup(struct pool_remote_conn *conn, struct pool_key *key, bool latest)
{
    char path[POOL_REMOTE_PATH_MAX], version[POOL_REMOTE_VERSION_MAX + 1];
    struct pool_remote_stream *stream =
        pool_remote_stream_new(POOL_REMOTE_LOOKUP, POOL_REMOTE_ANSWER_MAX);
    if (stream == NULL) {
        return false;
    }
    stream->key = pool_key_ref(key);
    stream->latest = latest;
    pool_remote_version_of(key, version);
    if (pool_remote_key_path(path, pool_key_name(key), latest ? NULL : version) != KW_OK ||
        pool_remote_h2_request(conn, stream, path, NULL) != KW_OK) {
        pool_remote_stream_free(stream);
        return false;
    }
    return true;
}

static void park(struct pool_remote_link *link, struct pool_remote_conn *conn, struct pool_op *op)
{
    bool asked = false;
    for (const struct pool_op *at = link->parked; at != NULL && !asked; at = at->next) {
        asked = memcmp(pool_key_id(at->key), pool_key_id(op->key), KW_KEY_ID_LEN) == 0;
    }
    if (!asked && !pool_remote_lookup(conn, op->key, false)) {
        pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, "the key could not be asked for");
        return;
    }
    op->next = link->parked;
    link->parked = op;
}

static kw_status send_op(struct pool_remote_conn *conn, struct pool_op *op, const char *version)
{
    char path[POOL_REMOTE_PATH_MAX];
    const char *name = op->key != NULL ? pool_key_name(op->key) : NULL;
    KW_TRY(pool_remote_path(path, op, name, version));
    struct pool_remote_stream *stream =
        pool_remote_stream_new(POOL_REMOTE_OP, pool_remote_answer_max(op));
    if (stream == NULL) {
        return KW_E_NOMEM;
    }
    stream->body.cap = pool_remote_body_size(op);
    stream->body.data = kw_secret_alloc(stream->body.cap);
    kw_status status = stream->body.data == NULL ? KW_E_NOMEM : pool_remote_body(&stream->body, op);
    if (status == KW_OK) {
        status = pool_remote_h2_request(conn, stream, path, op->via);
    }
    if (status != KW_OK) {
        pool_remote_stream_free(stream);
        return status;
    }
    stream->op = op;
    return KW_OK;
}

static void start(struct pool_remote_link *link, struct pool_remote_conn *conn, struct pool_op *op)
{
    char version[POOL_REMOTE_VERSION_MAX + 1] = "";
    if (op->key != NULL) {
        switch (pool_remote_key_find(link->remote, op->key, version)) {
        case POOL_REMOTE_UNKNOWN:
            park(link, conn, op);
            return;
        case POOL_REMOTE_LACKS_KEY:
            pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, "it does not hold the key");
            return;
        case POOL_REMOTE_HOLDS:
            break;
        }
    }
    if (send_op(conn, op, version) != KW_OK) {
        pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, "the request could not be sent");
    }
}

bool pool_remote_barred(const struct pool_remote_link *link)
{
    enum pool_health health = pool_member_health(link->remote->member);
    return health == POOL_HEALTH_AUTH_FAILED || health == POOL_HEALTH_MISMATCHED;
}

static bool has_room(const struct pool_remote_conn *conn)
{
    uint32_t most =
        nghttp2_session_get_remote_settings(conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    most = most < POOL_REMOTE_STREAMS ? most : POOL_REMOTE_STREAMS;
    return conn->stream_count < most;
}

static void pump(struct pool_remote_link *link)
{
    sweep(link);
    if (pool_remote_barred(link)) {
        for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
            if (link->conns[i] != NULL) {
                pool_remote_conn_drain(link->conns[i]);
            }
        }
        pool_remote_recount(link);
        give_waiting(link, "it refuses this gateway");
    }
    struct pool_remote_conn *conn = usable(link);
    while (conn != NULL && link->waiting != NULL && has_room(conn)) {
        start(link, conn, pop_waiting(link));
    }
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        if (link->conns[i] != NULL) {
            pool_remote_conn_send(link->conns[i]);
        }
    }
    sweep(link);
    if (usable(link) == NULL && !pool_remote_barred(link) &&
        pool_member_accepts(link->remote->member)) {
        pool_remote_link_want(link);
    }
}

void pool_remote_submit(struct pool_member *member, void *arg, struct pool_op *op)
{
    (void)member;
    op->member_data = NULL;
    pool_remote_push_waiting(arg, op);
}

void pool_remote_flush(struct pool_member *member, void *arg)
{
    (void)member;
    pump(arg);
}

void pool_remote_ready(struct pool_member *member, void *arg, uint32_t events)
{
    struct pool_remote_link *link = arg;
    (void)member;
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        if (link->conns[i] != NULL) {
            pool_remote_conn_ready(link->conns[i], events);
        }
    }
    pump(link);
}

/* --- time --- */

static void expire_streams(struct pool_remote_link *link, struct pool_remote_conn *conn,
                           int64_t now_ns)
{
    int64_t soft_ns = pool_config(link->remote->member->pool)->soft_deadline_ns;
    for (struct pool_remote_stream *stream = conn->streams; stream != NULL; stream = stream->next) {
        struct pool_op *op = stream->op;
        bool late = now_ns - stream->sent_ns >= soft_ns;
        if (op == NULL || (!late && now_ns < op->deadline_ns)) {
            continue;
        }
        stream->op = NULL;
        nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        if (late) {
            pool_member_transition(link->remote->member, POOL_EV_LATE, "an answer is late");
        }
        pool_remote_give(link, op, late ? POOL_VERDICT_OTHER : POOL_VERDICT_OTHER_FREE,
                         "no answer in time");
    }
}

static void expire_list(struct pool_remote_link *link, struct pool_op **at, int64_t now_ns)
{
    int64_t soft_ns = pool_config(link->remote->member->pool)->soft_deadline_ns;
    struct pool_op *late = NULL;
    while (*at != NULL) {
        struct pool_op *op = *at;
        if (now_ns - op->sent_ns < soft_ns && now_ns < op->deadline_ns) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        op->next = late;
        late = op;
    }
    give_list(link, late, "it waited too long");
}

static void expire_waiting(struct pool_remote_link *link, int64_t now_ns)
{
    expire_list(link, &link->parked, now_ns);
    expire_list(link, &link->waiting, now_ns);
    link->waiting_last = link->waiting;
    while (link->waiting_last != NULL && link->waiting_last->next != NULL) {
        link->waiting_last = link->waiting_last->next;
    }
}

int64_t pool_remote_expire(struct pool_member *member, void *arg, int64_t now_ns)
{
    struct pool_remote_link *link = arg;
    bool any = false;
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        if (link->conns[i] != NULL) {
            expire_streams(link, link->conns[i], now_ns);
            pool_remote_conn_tick(link->conns[i], now_ns);
        }
    }
    expire_waiting(link, now_ns);
    if (link->wants && now_ns - link->wants_ns > POOL_REMOTE_OPEN_NS) {
        link->wants = false; /* the addresses did not come: ask again */
    }
    if (usable(link) == NULL && !link->wants && atomic_load(&link->remote->open) > 0 &&
        now_ns - link->wants_ns > AGAIN_NS) {
        pool_remote_link_want(link);
    }
    if (usable(link) == NULL && !pool_member_accepts(member)) {
        give_waiting(link, "the member is not there");
    }
    pump(link);
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        any = any || link->conns[i] != NULL;
    }
    return any || link->wants || atomic_load(&link->remote->open) > 0 ? now_ns + TICK_NS
                                                                      : INT64_MAX;
}

/* --- life --- */

kw_status pool_remote_attach(struct pool_member *member, struct pool_port *port, void **out)
{
    struct pool_remote_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return KW_E_NOMEM;
    }
    link->remote = member->impl;
    link->port = port;
    *out = link;
    /* not yet listed: the supervisor is woken once more when it is */
    atomic_store(&link->remote->wanted, true);
    return KW_OK;
}

void pool_remote_detach(struct pool_member *member, struct pool_port *port, void *arg)
{
    struct pool_remote_link *link = arg;
    (void)member;
    (void)port;
    give_waiting(link, "the port closes");
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        struct pool_remote_conn *conn = link->conns[i];
        if (conn != NULL) {
            link->conns[i] = NULL;
            give_streams(link, conn, "the port closes");
            pool_remote_conn_free(conn);
        }
    }
    pool_remote_recount(link);
    free(link);
}

void pool_remote_take_addresses(struct pool_port *port, void *arg)
{
    struct pool_member *member = arg;
    struct pool_remote *remote = member->impl;
    struct pool_remote_link *link = pool_port_link(port, member);
    if (link == NULL || pool_remote_barred(link) || opening(link)) {
        return;
    }
    struct pool_remote_conn *open = usable(link);
    if (open != NULL && !link->wants) {
        if (!open->probe_out) {
            pool_remote_h2_probe(open);
            pool_remote_conn_send(open);
        }
    } else {
        unsigned at = 0;
        while (at < POOL_REMOTE_CONNS && link->conns[at] != NULL) {
            at++;
        }
        link->wants = false;
        link->wants_ns = kw_now_ns();
        if (at < POOL_REMOTE_CONNS) {
            pthread_mutex_lock(&remote->lock);
            struct pool_remote_addresses addresses = remote->addresses;
            link->conns[at] = pool_remote_conn_open(
                link, &addresses, kw_span_of(remote->token.data, remote->token.len),
                remote->token_generation);
            pthread_mutex_unlock(&remote->lock);
        }
    }
    sweep(link);
    pool_port_expire_by(port, kw_now_ns() + TICK_NS);
}

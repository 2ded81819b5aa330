/* What an answer means for the operation, for what is known of keys, and for the member. */

#include "pool/remote/remote.h"

#include <stdio.h>

static char resent; /* marks an operation that was put back once */

static void finish_op(struct pool_remote_conn *conn, struct pool_remote_stream *stream,
                      enum pool_remote_meaning meaning, int pause_s, kw_status caller)
{
    struct pool_remote_link *link = conn->link;
    struct pool_remote *remote = link->remote;
    struct pool_op *op = stream->op;
    char reason[64];
    snprintf(reason, sizeof reason, "HTTP %d", stream->status);
    stream->op = NULL;
    switch (meaning) {
    case POOL_REMOTE_RESULT:
        op->lane.status = KW_OK;
        if (pool_remote_result(op, kw_buf_span(&stream->answer)) != KW_OK) {
            pool_remote_give(link, op, POOL_VERDICT_OTHER, "its answer is not one");
            return;
        }
        atomic_store_explicit(&remote->able[op->lane.kind][op->lane.alg], true,
                              memory_order_relaxed);
        pool_remote_give(link, op, POOL_VERDICT_DONE, NULL);
        return;
    case POOL_REMOTE_CALLER:
        op->lane.status = caller;
        pool_remote_give(link, op, POOL_VERDICT_DONE, NULL);
        return;
    case POOL_REMOTE_LACKS:
        /* one client's request must not close what it does for all the others */
        if (!atomic_load_explicit(&remote->able[op->lane.kind][op->lane.alg],
                                  memory_order_relaxed)) {
            atomic_store(&remote->unable_until_ns[op->lane.kind][op->lane.alg],
                         kw_now_ns() + KW_S(60));
        }
        pool_remote_give(link, op, POOL_VERDICT_UNSUPPORTED, reason);
        return;
    case POOL_REMOTE_NO_KEY:
        pool_remote_key_set(remote, op->key, POOL_REMOTE_LACKS_KEY, NULL);
        break;
    case POOL_REMOTE_NO_ENTRY:
        pool_remote_refused(conn, reason);
        break;
    case POOL_REMOTE_BUSY:
        atomic_store(&remote->busy_until_ns, kw_now_ns() + KW_S(1) * pause_s);
        break;
    case POOL_REMOTE_LOOP:
        break;
    case POOL_REMOTE_BROKEN:
        pool_remote_give(link, op, POOL_VERDICT_OTHER, reason);
        return;
    }
    pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, reason);
}

static void end_op(struct pool_remote_conn *conn, struct pool_remote_stream *stream, uint32_t error)
{
    struct pool_remote_link *link = conn->link;
    struct pool_op *op = stream->op;
    if (op == NULL) {
        return; /* given up before */
    }
    if (!stream->sent || error == NGHTTP2_REFUSED_STREAM) {
        stream->op = NULL;
        if (op->member_data == NULL) {
            op->member_data = &resent;
            pool_remote_push_waiting(link, op);
        } else {
            pool_remote_give(link, op, POOL_VERDICT_ELSEWHERE, "it does not take the request");
        }
        return;
    }
    if (stream->overflow || !stream->ended || stream->status == 0) {
        stream->op = NULL;
        pool_remote_give(link, op, POOL_VERDICT_OTHER,
                         stream->overflow ? "its answer is too large" : "its answer was cut short");
        return;
    }
    int pause_s;
    kw_status caller;
    enum pool_remote_meaning meaning =
        pool_remote_meaning(stream->status, op, stream->retry_after_s, &pause_s, &caller);
    finish_op(conn, stream, meaning, pause_s, caller);
}

static void end_lookup(struct pool_remote_conn *conn, struct pool_remote_stream *stream)
{
    struct pool_remote_link *link = conn->link;
    struct pool_remote *remote = link->remote;
    const struct kc_public *pub = pool_key_public(stream->key);
    char version[POOL_REMOTE_VERSION_MAX + 1], own[POOL_REMOTE_VERSION_MAX + 1];
    int pause_s;
    kw_status caller, status = KW_E_INPUT;
    if (!stream->ended || stream->overflow) {
        pool_remote_unpark(link, stream->key, POOL_VERDICT_OTHER,
                           "the key's description was cut short");
        return;
    }
    switch (pool_remote_meaning(stream->status, NULL, stream->retry_after_s, &pause_s, &caller)) {
    case POOL_REMOTE_RESULT:
        pool_remote_version_of(stream->key, own);
        status = pool_remote_bundle(kw_buf_span(&stream->answer), pub, own, version);
        break;
    case POOL_REMOTE_NO_KEY:
        /* the same key imported there has another version */
        if (stream->status == 404 && !stream->latest && pub->kty != KW_KTY_OCT &&
            conn->state == POOL_REMOTE_OPEN && pool_remote_lookup(conn, stream->key, true)) {
            return;
        }
        status = KW_E_NOT_FOUND;
        break;
    case POOL_REMOTE_NO_ENTRY:
        pool_remote_refused(conn, "HTTP 401");
        pool_remote_unpark(link, stream->key, POOL_VERDICT_ELSEWHERE, "HTTP 401");
        return;
    case POOL_REMOTE_BUSY:
        atomic_store(&remote->busy_until_ns, kw_now_ns() + KW_S(1) * pause_s);
        pool_remote_unpark(link, stream->key, POOL_VERDICT_ELSEWHERE, "it asked for a pause");
        return;
    default:
        break;
    }
    if (status == KW_OK) {
        pool_remote_key_set(remote, stream->key, POOL_REMOTE_HOLDS, version);
        pool_remote_unpark(link, stream->key, POOL_VERDICT_ELSEWHERE, NULL);
    } else if (status == KW_E_NOT_FOUND) {
        pool_remote_key_set(remote, stream->key, POOL_REMOTE_LACKS_KEY, NULL);
        pool_remote_unpark(link, stream->key, POOL_VERDICT_ELSEWHERE, "it does not hold the key");
    } else {
        pool_remote_unpark(link, stream->key, POOL_VERDICT_OTHER, "it does not describe the key");
    }
}

static void take_over(struct pool_remote_conn *conn)
{
    struct pool_remote_link *link = conn->link;
    for (unsigned i = 0; i < POOL_REMOTE_CONNS; i++) {
        if (link->conns[i] != NULL && link->conns[i] != conn) {
            pool_remote_conn_drain(link->conns[i]);
        }
    }
    conn->state = POOL_REMOTE_OPEN;
    conn->opened_ns = kw_now_ns();
    pool_remote_recount(link);
}

static void end_probe(struct pool_remote_conn *conn, struct pool_remote_stream *stream)
{
    struct pool_remote *remote = conn->link->remote;
    int pause_s;
    kw_status caller;
    conn->probe_out = false;
    if (conn->state != POOL_REMOTE_PROBING && conn->state != POOL_REMOTE_OPEN) {
        return;
    }
    if (stream->status == 0) {
        pool_remote_conn_fail(conn, "a probe was not answered");
        return;
    }
    if (stream->status == 403) {
        pool_remote_refused(conn, "HTTP 403: the token has no right to read keys");
        return;
    }
    switch (pool_remote_meaning(stream->status, NULL, stream->retry_after_s, &pause_s, &caller)) {
    case POOL_REMOTE_BUSY:
        atomic_store(&remote->busy_until_ns, kw_now_ns() + KW_S(1) * pause_s);
        break;
    case POOL_REMOTE_RESULT:
    case POOL_REMOTE_NO_KEY:
        break;
    case POOL_REMOTE_NO_ENTRY:
        pool_remote_refused(conn, "HTTP 401: the token is not valid there");
        return;
    case POOL_REMOTE_LOOP:
        pool_member_transition(remote->member, POOL_EV_WRONG_DOMAIN,
                               "loop: the endpoint is this gateway itself");
        return;
    default:
        pool_remote_conn_fail(conn, "the endpoint answers a probe with HTTP %d", stream->status);
        return;
    }
    if (conn->state == POOL_REMOTE_PROBING) {
        take_over(conn);
    }
    pool_remote_opened(remote);
}

void pool_remote_link_finished(struct pool_remote_conn *conn, struct pool_remote_stream *stream,
                               uint32_t error)
{
    switch (stream->what) {
    case POOL_REMOTE_PROBE:
        end_probe(conn, stream);
        return;
    case POOL_REMOTE_LOOKUP:
        end_lookup(conn, stream);
        return;
    case POOL_REMOTE_OP:
        end_op(conn, stream, error);
        return;
    }
}

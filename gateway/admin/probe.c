/* One signature by one member, asked for by an operator: the way a client's request takes, but for
 * the choice of the member. The pool verifies the signature before it gives it out. */

#include <stdio.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/admin/admin.h"
#include "gateway/api/error.h"
#include "gateway/app.h"

#define PROBE_DEADLINE_NS KW_S(8) /* below the control client's own limit */

struct probe {
    struct pool_op op;
    struct gw_request *req;
    int64_t started_ns;
    uint8_t digest[32], signature[64];
};

#define TEXT_ROOM 192

static void answer(struct gw_request *req, int http, bool ok, const char *reason, int64_t ns)
{
    char *text = gw_arena_alloc(req->arena, TEXT_ROOM); /* a reply borrows its body */
    if (!text) {
        gw_reply_nomem(req);
        return;
    }
    int len = snprintf(text, TEXT_ROOM, "{\"ok\":%s,\"reason\":\"%s\",\"microseconds\":%lld}",
                       ok ? "true" : "false", reason, (long long)(ns / 1000));
    gw_reply_header(req, "cache-control", "no-store");
    gw_reply(req, http, "application/json; charset=utf-8", text, (size_t)len);
}

static const char *reason_of(kw_status status)
{
    switch (status) {
    case KW_OK:
        return "";
    case KW_E_UNAVAILABLE:
        return "the member takes no work now or failed the operation";
    case KW_E_DEADLINE:
        return "no answer in time";
    case KW_E_BUSY:
        return "the member's queue is full";
    default:
        return kw_status_name(status);
    }
}

static void on_done(struct pool_op *op)
{
    struct probe *probe = op->owner;
    struct gw_request *req = probe->req;
    pool_key_unref(op->key);
    answer(req, 200, op->lane.status == KW_OK, reason_of(op->lane.status),
           kw_now_ns() - probe->started_ns);
    gw_request_unref(req);
}

/* A P-256 key takes some tens of microseconds: not worth a thread. */
static kw_status make_key(struct pool *pool, struct pool_key **out)
{
    uint8_t room[512];
    struct kw_buf blob = {room, 0, sizeof room};
    struct kc_key *key = NULL;
    struct pool_key_desc desc = {.hsm = true};
    KW_TRY(kw_random(desc.id, sizeof desc.id));
    KW_TRY(kc_key_generate(&key, KW_KTY_EC, 256, KW_CURVE_P256, 0));
    kw_status status = pool_key_wrap(pool, desc.id, key, true, &blob);
    if (status == KW_OK) {
        desc.pub = *kc_key_public(key);
        desc.blob = kw_buf_span(&blob);
        status = pool_key_create(out, pool, &desc);
    }
    kc_key_unref(key);
    return status;
}

static kw_status begin(struct gw_request *req, const char *member)
{
    struct probe *probe = gw_arena_alloc(req->arena, sizeof *probe);
    struct pool_key *key = NULL;
    if (!probe)
        return KW_E_NOMEM;
    KW_TRY(make_key(gw_loop_app(req->loop)->pool, &key));
    memset(probe, 0, sizeof *probe);
    probe->req = req;
    probe->started_ns = kw_now_ns();
    kw_status status = kw_random(probe->digest, sizeof probe->digest);
    if (status == KW_OK) {
        probe->op.key = key;
        probe->op.lane.kind = KW_KIND_SIGN;
        probe->op.lane.alg = KW_ALG_ES256;
        probe->op.lane.in = kw_span_of(probe->digest, sizeof probe->digest);
        probe->op.lane.out = (struct kw_buf){probe->signature, 0, sizeof probe->signature};
        probe->op.deadline_ns = probe->started_ns + PROBE_DEADLINE_NS;
        probe->op.on_done = on_done;
        probe->op.owner = probe;
        gw_request_ref(req);
        status = pool_submit_to(gw_loop_port(req->loop), &probe->op, member);
        if (status != KW_OK)
            gw_request_unref(req);
    }
    if (status != KW_OK)
        pool_key_unref(key);
    return status;
}

void gw_admin_probe(struct gw_request *req)
{
    char name[POOL_NAME_MAX + 1] = "";
    if (req->param_count > 0 && req->params[0].len < sizeof name)
        memcpy(name, req->params[0].data, req->params[0].len);
    kw_status status = begin(req, name);
    if (status == KW_E_NOT_FOUND)
        answer(req, 404, false, "no member has this name", 0);
    else if (status != KW_OK)
        answer(req, 200, false, reason_of(status), 0);
}

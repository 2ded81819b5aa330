/* POST /keys/{name}/{version?}/sign, verify, encrypt, decrypt, wrapkey, unwrapkey */

#include "gateway/api/crypto/call.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/reply.h"
#include "gateway/api/url.h"
#include "gateway/app.h"
#include "gateway/auth/auth.h"

/* One request with its operation; in the request's arena, which a reference keeps. */
struct work {
    struct gw_call call;
    struct gw_request *req;
};

static void finish(struct work *work)
{
    struct gw_request *req = work->req;
    gw_call_drop(&work->call);
    gw_request_unref(req);
}

static void reply_result(struct work *work)
{
    struct gw_request *req = work->req;
    const struct kc_lane_op *lane = &work->call.op.lane;
    struct kw_span authority;
    struct gw_fault fault;
    struct gw_out out;
    if (lane->status != KW_OK) {
        gw_call_fault(&work->call, lane->status, &fault);
        gw_reply_fault(req, &fault);
        return;
    }
    if (!gw_authority(req, &authority))
        authority = kw_span_str("localhost");
    gw_out_init(&out, req->arena, 1024 + 2 * (lane->out.len + lane->aad.len), SIZE_MAX / 4);
    gw_out_text(&out, "{");
    gw_call_write(&work->call, authority, &out);
    gw_out_text(&out, "}");
    gw_reply_json(req, 200, &out);
}

static void on_done(struct pool_op *op)
{
    struct work *work = op->owner;
    reply_result(work);
    finish(work);
}

static void submit(struct work *work, struct vault_key *key)
{
    struct gw_request *req = work->req;
    struct gw_fault fault;
    if (!gw_call_prepare(&work->call, key, req->arena, &fault)) {
        gw_reply_fault(req, &fault);
        finish(work);
        return;
    }
    if (work->call.decided) {
        reply_result(work);
        finish(work);
        return;
    }
    if (req->via.len > 0)
        work->call.op.via = gw_arena_strndup(req->arena, (const char *)req->via.data, req->via.len);
    work->call.op.client = gw_auth_client(req);
    work->call.op.on_done = on_done;
    work->call.op.owner = work;
    kw_status status = pool_submit(gw_loop_port(req->loop), &work->call.op);
    if (status != KW_OK) {
        gw_call_fault(&work->call, status, &fault);
        gw_reply_fault(req, &fault);
        finish(work);
    }
}

static void on_key(void *ctx, kw_status status, struct vault_key *key)
{
    struct work *work = ctx;
    if (status != KW_OK) {
        gw_reply_status(work->req, status, gw_object_subject(work->req));
        finish(work);
        return;
    }
    submit(work, vault_key_ref(key));
}

static void run(struct gw_request *req, enum kw_kind kind)
{
    const struct gw_site *site = gw_site_of(req);
    struct work *work = gw_arena_alloc(req->arena, sizeof *work);
    struct gw_crypto_body body;
    struct gw_fault fault;
    struct kw_span version;
    if (!work) {
        gw_reply_nomem(req);
        return;
    }
    work->req = req;
    if (!gw_crypto_body_read(kw_buf_span(&req->body), false, req->arena, &body, &fault) ||
        !gw_call_read(&work->call, kind, &body, req->arena, &fault)) {
        gw_reply_fault(req, &fault);
        return;
    }
    if (!gw_version_param(req, 1, &version))
        return;
    gw_request_ref(req);
    struct vault_key *key = vault_key_peek(site->vault, site->name, req->params[0], version);
    if (key)
        submit(work, key);
    else
        vault_key_get(site->vault, req->loop, site->name, req->params[0], version, on_key, work);
}

void gw_keys_sign(struct gw_request *req)
{
    run(req, KW_KIND_SIGN);
}

void gw_keys_verify(struct gw_request *req)
{
    run(req, KW_KIND_VERIFY);
}

void gw_keys_encrypt(struct gw_request *req)
{
    run(req, KW_KIND_ENCRYPT);
}

void gw_keys_decrypt(struct gw_request *req)
{
    run(req, KW_KIND_DECRYPT);
}

void gw_keys_wrap(struct gw_request *req)
{
    run(req, KW_KIND_WRAP);
}

void gw_keys_unwrap(struct gw_request *req)
{
    run(req, KW_KIND_UNWRAP);
}

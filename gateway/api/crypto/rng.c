/* POST /rng: random bytes from a member of the group. */

#include "crypto/base/clock.h"
#include "gateway/api/crypto/call.h"
#include "gateway/api/json/read.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/reply.h"
#include "gateway/auth/auth.h"

struct work {
    struct pool_op op;
    struct gw_request *req;
    uint8_t bytes[KW_RNG_MAX];
};

static void on_done(struct pool_op *op)
{
    struct work *work = op->owner;
    struct gw_request *req = work->req;
    if (op->lane.status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 256, 4096);
        gw_out_text(&out, "{\"value\":");
        gw_out_b64(&out, kw_buf_span(&op->lane.out));
        gw_out_text(&out, "}");
        gw_reply_json(req, 200, &out);
    } else {
        gw_reply_status(req, op->lane.status, (struct kw_span){0});
    }
    gw_request_unref(req);
}

static bool read_count(struct gw_request *req, int64_t *count, struct gw_fault *fault)
{
    json_t *root = gw_json_parse(kw_buf_span(&req->body), fault);
    bool present = false;
    bool ok = root && gw_json_int(root, "count", INT64_MIN, INT64_MAX, count, &present, fault);
    json_decref(root);
    if (!ok)
        return false;
    if (!present)
        return gw_fault_bad(fault, "Property 'count' is missing.");
    if (*count < 1 || *count > KW_RNG_MAX)
        return gw_fault_bad(fault,
                            "GetRandomBytesRequest: count cannot be greater than %d or less "
                            "than 1 (Activity ID: %s)",
                            KW_RNG_MAX, req->id);
    return true;
}

void gw_rng(struct gw_request *req)
{
    struct gw_fault fault;
    int64_t count = 0;
    if (!read_count(req, &count, &fault)) {
        gw_reply_fault(req, &fault);
        return;
    }
    struct work *work = gw_arena_alloc(req->arena, sizeof *work);
    if (!work) {
        gw_reply_nomem(req);
        return;
    }
    work->req = req;
    work->op.lane.kind = KW_KIND_RANDOM;
    work->op.lane.out = (struct kw_buf){.data = work->bytes, .cap = (size_t)count};
    work->op.deadline_ns = kw_now_ns() + GW_CALL_DEADLINE_NS;
    if (req->via.len > 0)
        work->op.via = gw_arena_strndup(req->arena, (const char *)req->via.data, req->via.len);
    work->op.client = gw_auth_client(req);
    work->op.on_done = on_done;
    work->op.owner = work;
    gw_request_ref(req);
    kw_status status = pool_submit(gw_loop_port(req->loop), &work->op);
    if (status != KW_OK) {
        gw_reply_status(req, status, (struct kw_span){0});
        gw_request_unref(req);
    }
}

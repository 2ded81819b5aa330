/* POST /batch: many key operations in one request, an extension of keyward.
 *
 * Request:  {"operations":[OP, ...]}  or the bare array. Each OP:
 *     "id"      optional text of at most 128 bytes, given back with the result
 *     "op"      sign, verify, encrypt, decrypt, wrapKey or unwrapKey
 *     "key"     "name", "name/version" or the key's full identifier (its host is not looked at)
 *     "alg", "value", "digest", "iv", "aad", "tag"   as in the single request of that operation
 * Response: {"results":[RESULT, ...]}, in the order of the operations. Each RESULT holds "id" where
 *     one was given, and either the members of the single response ("kid", "value", ...; for verify
 *     "value": true or false) or "error": {"code","message","innererror"?}.
 *
 * The status is 200 whatever came of the operations. It is 400 when the JSON around the operations
 * is broken or there are more than 65536, and 413 when the body is larger than its limit; then no
 * result is given, though operations may have run.
 *
 * The body is read while it arrives and each operation is submitted at once. A window of operations
 * is on its way at a time; the body waits when it is full. Results leave the window in order. */

#include <malloc.h>
#include <stdlib.h>
#include <strings.h>

#include "crypto/base/clock.h"
#include "gateway/api/crypto/alg_names.h"
#include "gateway/api/crypto/batch_split.h"
#include "gateway/api/crypto/call.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/reply.h"
#include "gateway/api/url.h"
#include "gateway/app.h"
#include "gateway/auth/access.h"
#include "gateway/auth/auth.h"
#include "gateway/auth/rate.h"

#define WINDOW      1024  /* operations between the oldest without a result and the newest */
#define LOOKUPS_MAX 16    /* keys being fetched from the store */
#define OPS_MAX     65536 /* of one request: bounds the response */
#define ELEMENT_MAX 262144
#define RETRY_MS    2   /* between tries of a busy pool */
#define WATCH_MS    250 /* between looks whether the client is still there */

/* One operation, in an arena of its own. */
struct slot {
    struct gw_call call;
    struct gw_arena *arena;
    struct batch *batch;
    struct kw_span id; /* data NULL: none */
    enum kw_kind kind;
    struct kw_span name, version;
    bool done, failed;
    struct gw_fault fault;
    struct slot *next_stalled;
};

/* In the request's arena, of which it holds a reference from begin to `end_batch`: the client may
 * go, or the protocol side may answer for itself (a body that is cut short or late), while
 * operations are on their way. */
struct batch {
    struct gw_request *req;
    uint64_t client;
    struct gw_split split;
    struct gw_out out;
    struct kw_span authority;
    struct slot *ring[WINDOW]; /* operation i is at i % WINDOW, from `head` (oldest) to `tail` */
    size_t head, tail;
    unsigned outstanding; /* with the vault or the pool */
    unsigned lookups;
    struct slot *stalled_first, *stalled_last; /* the pool was busy: to be submitted again */
    struct event *timer;
    struct kw_span input; /* of the body, not cut yet */
    uint8_t *held;        /* what `input` points into when it outlives its piece */
    size_t received;
    bool ended, paused, pumping;
    bool stopped; /* no further operation is begun; `fault` is the answer */
    struct gw_fault fault;
};

static void pump(struct batch *batch);

/* Nobody waits for the answer any more. */
static bool gone(const struct batch *batch)
{
    return batch->req->detached || batch->req->replied;
}

/* --- memory --- */

static void wipe_free(void *data)
{
    if (data)
        kw_wipe(data, malloc_usable_size(data));
    free(data);
}

static void slot_free(struct slot *slot)
{
    gw_call_drop(&slot->call);
    gw_arena_destroy(slot->arena);
}

/* The end, whichever way it came. Nothing may be outstanding; the batch is gone after. */
static void end_batch(struct batch *batch)
{
    struct gw_request *req = batch->req;
    for (; batch->head < batch->tail; batch->head++)
        slot_free(batch->ring[batch->head % WINDOW]);
    gw_split_free(&batch->split);
    gw_out_free(&batch->out);
    wipe_free(batch->held);
    event_free(batch->timer);
    req->route_data = NULL;
    gw_request_unref(req);
}

static void stop(struct batch *batch)
{
    batch->stopped = true;
}

/* --- results --- */

static void write_result(struct batch *batch, const struct slot *slot)
{
    struct gw_out *out = &batch->out;
    gw_out_text(out, batch->head > 0 ? ",{" : "{");
    if (slot->id.data) {
        gw_out_text(out, "\"id\":");
        gw_out_string(out, (const char *)slot->id.data, slot->id.len);
        gw_out_text(out, ",");
    }
    if (slot->failed) {
        gw_out_text(out, "\"error\":");
        gw_fault_write(out, &slot->fault);
    } else {
        gw_call_write(&slot->call, batch->authority, out);
    }
    gw_out_text(out, "}");
}

static void emit(struct batch *batch)
{
    while (batch->head < batch->tail && batch->ring[batch->head % WINDOW]->done) {
        struct slot *slot = batch->ring[batch->head % WINDOW];
        write_result(batch, slot);
        slot_free(slot);
        batch->head++;
    }
}

static void slot_fail(struct slot *slot)
{
    slot->failed = true;
    slot->done = true;
}

static void slot_end(struct slot *slot, kw_status status)
{
    slot->done = true;
    if (status != KW_OK) {
        gw_call_fault(&slot->call, status, &slot->fault);
        slot_fail(slot);
    }
}

/* --- on the way to the pool and back --- */

static void stall(struct slot *slot)
{
    struct batch *batch = slot->batch;
    slot->next_stalled = NULL;
    if (batch->stalled_last)
        batch->stalled_last->next_stalled = slot;
    else
        batch->stalled_first = slot;
    batch->stalled_last = slot;
}

static void on_done(struct pool_op *op)
{
    struct slot *slot = op->owner;
    struct batch *batch = slot->batch;
    batch->outstanding--;
    if (op->lane.status == KW_E_BUSY && kw_now_ns() < op->deadline_ns)
        stall(slot);
    else
        slot_end(slot, op->lane.status);
    pump(batch);
}

/* False when the pool is busy: the slot is to wait. */
static bool submit(struct slot *slot)
{
    struct batch *batch = slot->batch;
    struct pool_op *op = &slot->call.op;
    /* the pool's part must be zero, also the second time */
    *op = (struct pool_op){.lane = op->lane,
                           .key = op->key,
                           .deadline_ns = op->deadline_ns,
                           .client = batch->client,
                           .on_done = on_done,
                           .owner = slot};
    op->lane.out.len = 0;
    op->lane.status = KW_OK;
    kw_status status = pool_submit(gw_loop_port(batch->req->loop), op);
    if (status == KW_OK) {
        batch->outstanding++;
        return true;
    }
    if (status == KW_E_BUSY && kw_now_ns() < op->deadline_ns)
        return false;
    slot_end(slot, status);
    return true;
}

static void with_key(struct slot *slot, struct vault_key *key)
{
    if (!gw_call_prepare(&slot->call, key, slot->arena, &slot->fault))
        slot_fail(slot);
    else if (slot->call.decided)
        slot->done = true;
    else if (!submit(slot))
        stall(slot);
}

static void on_key(void *ctx, kw_status status, struct vault_key *key)
{
    struct slot *slot = ctx;
    struct batch *batch = slot->batch;
    batch->lookups--;
    batch->outstanding--;
    if (status != KW_OK) {
        gw_fault_status(&slot->fault, status, slot->name);
        slot_fail(slot);
    } else if (!batch->stopped && !gone(batch)) {
        with_key(slot, vault_key_ref(key));
    }
    pump(batch);
}

static void look_up(struct slot *slot)
{
    struct batch *batch = slot->batch;
    const struct gw_site *site = gw_site_of(batch->req);
    struct vault_key *key = vault_key_peek(site->vault, site->name, slot->name, slot->version);
    if (key) {
        with_key(slot, key);
        return;
    }
    batch->lookups++;
    batch->outstanding++;
    vault_key_get(site->vault, batch->req->loop, site->name, slot->name, slot->version, on_key,
                  slot);
}

/* --- reading an element --- */

static const char *action_of(enum kw_kind kind)
{
    static const char *const actions[KW_KIND_COUNT] = {
        [KW_KIND_SIGN] = "keys/sign/action",       [KW_KIND_VERIFY] = "keys/verify/action",
        [KW_KIND_ENCRYPT] = "keys/encrypt/action", [KW_KIND_DECRYPT] = "keys/decrypt/action",
        [KW_KIND_WRAP] = "keys/wrap/action",       [KW_KIND_UNWRAP] = "keys/unwrap/action",
    };
    return actions[kind];
}

static bool read_op(struct slot *slot, const struct gw_crypto_body *body)
{
    struct kw_span op = body->op;
    if (!op.data)
        return gw_fault_bad(&slot->fault, "Property 'op' is missing.");
    if (op.len == 7 && strncasecmp((const char *)op.data, "wrapkey", 7) == 0)
        op = kw_span_str("wrapKey");
    else if (op.len == 9 && strncasecmp((const char *)op.data, "unwrapkey", 9) == 0)
        op = kw_span_str("unwrapKey");
    if (!gw_key_op_parse(op, &slot->kind))
        return gw_fault_bad(&slot->fault, "Property 'op' must be sign, verify, encrypt, decrypt, "
                                          "wrapKey or unwrapKey.");
    return true;
}

/* What stands after "/keys/" of a full identifier; any other text as it is. */
static struct kw_span strip_url(struct kw_span key)
{
    static const char scheme[] = "https://", collection[] = "/keys/";
    size_t at = sizeof scheme - 1;
    if (key.len < at || strncasecmp((const char *)key.data, scheme, at) != 0)
        return key;
    while (at < key.len && key.data[at] != '/')
        at++;
    if (key.len - at < sizeof collection - 1 ||
        strncasecmp((const char *)key.data + at, collection, sizeof collection - 1) != 0)
        return key;
    at += sizeof collection - 1;
    return kw_span_of(key.data + at, key.len - at);
}

static bool read_key(struct slot *slot, const struct gw_crypto_body *body)
{
    if (!body->key.data)
        return gw_fault_bad(&slot->fault, "Property 'key' is missing.");
    struct kw_span text = strip_url(body->key);
    const uint8_t *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.data) : text.len;
    slot->name = kw_span_of(text.data, len);
    if (slash)
        slot->version = kw_span_of(slash + 1, text.len - len - 1);
    if (!gw_object_name_ok(slot->name))
        return gw_fault_bad(&slot->fault, "Property 'key' must be a key's name, name/version or "
                                          "full identifier.");
    if (slot->version.len == 0)
        return true;
    char *lower = gw_arena_alloc(slot->arena, STORE_VERSION_LEN + 1);
    if (!lower)
        return gw_fault_status(&slot->fault, KW_E_NOMEM, slot->name);
    if (!gw_version_lower(slot->version, lower))
        return gw_fault_status(&slot->fault, KW_E_NOT_FOUND, text);
    slot->version = kw_span_of(lower, STORE_VERSION_LEN);
    return true;
}

static bool read_element(struct slot *slot, struct kw_span element)
{
    struct gw_crypto_body body = {0};
    if (!element.data)
        return gw_fault_set(&slot->fault, 413, "RequestBodyTooLarge", NULL,
                            "The operation is longer than %d bytes.", ELEMENT_MAX);
    /* the text goes back to the splitter: the operation keeps its own copy of id, name, version */
    char *copy = gw_arena_strndup(slot->arena, (const char *)element.data, element.len);
    if (!copy)
        return gw_fault_status(&slot->fault, KW_E_NOMEM, (struct kw_span){0});
    bool ok =
        gw_crypto_body_read(kw_span_of(copy, element.len), true, slot->arena, &body, &slot->fault);
    slot->id = body.id;
    return ok && read_op(slot, &body) && read_key(slot, &body) &&
           gw_call_read(&slot->call, slot->kind, &body, slot->arena, &slot->fault);
}

/* limits.rate counts operations; the request itself was counted, which is the first. */
static bool check_rate(struct slot *slot)
{
    const struct gw_request *req = slot->batch->req;
    struct gw_rate *rate = gw_loop_app(req->loop)->rate;
    if (!rate || slot->batch->tail <= 1)
        return true;
    unsigned wait_s = gw_rate_take(rate, req->identity->subject, kw_now_ns());
    if (wait_s == 0)
        return true;
    return gw_fault_set(&slot->fault, 429, "Throttled", NULL,
                        "The client asks for more operations than limits.rate allows. Try again "
                        "after %u s.",
                        wait_s);
}

/* The right to each operation is that of its own route. */
static bool check_access(struct slot *slot)
{
    const struct gw_request *req = slot->batch->req;
    if (req->identity->full)
        return true;
    const char *action = action_of(slot->kind);
    struct role_scope resource = {.level = ROLE_AT_KEY, .key = slot->name};
    enum vault_access access =
        gw_access(req->identity, gw_site_of(req), vault_action_find(action), resource);
    if (access == VAULT_ACCESS_UNKNOWN)
        vault_roles_prompt(gw_site_of(req)->roles, req->loop);
    return access == VAULT_ACCESS_YES ||
           gw_access_fault(&slot->fault, access, req->identity, action, resource);
}

/* False when there is no memory for it. */
static bool begin_op(struct batch *batch, struct kw_span element)
{
    struct gw_arena *arena = gw_arena_create();
    struct slot *slot = arena ? gw_arena_alloc(arena, sizeof *slot) : NULL;
    if (!slot) {
        gw_arena_destroy(arena);
        return false;
    }
    slot->arena = arena;
    slot->batch = batch;
    batch->ring[batch->tail++ % WINDOW] = slot;
    if (!check_rate(slot) || !read_element(slot, element) || !check_access(slot))
        slot_fail(slot);
    else
        look_up(slot);
    return true;
}

/* --- the flow --- */

static void submit_stalled(struct batch *batch)
{
    while (batch->stalled_first && submit(batch->stalled_first)) {
        batch->stalled_first = batch->stalled_first->next_stalled;
        if (!batch->stalled_first)
            batch->stalled_last = NULL;
    }
}

/* Takes the next element off the input. False: nothing more can be begun now. */
static bool advance(struct batch *batch)
{
    struct kw_span element;
    if (batch->stopped || batch->stalled_first || batch->lookups >= LOOKUPS_MAX ||
        batch->tail - batch->head >= WINDOW)
        return false;
    switch (gw_split_next(&batch->split, &batch->input, &element)) {
    case GW_SPLIT_ELEMENT:
        if (batch->tail == OPS_MAX) {
            gw_fault_bad(&batch->fault, "The batch has more than %d operations.", OPS_MAX);
            stop(batch);
        } else if (!begin_op(batch, element)) {
            gw_fault_status(&batch->fault, KW_E_NOMEM, (struct kw_span){0});
            stop(batch);
        }
        return true;
    case GW_SPLIT_BROKEN:
        gw_fault_bad(&batch->fault, "The batch is not valid JSON: %s.", batch->split.why);
        stop(batch);
        return false;
    case GW_SPLIT_NOMEM:
        gw_fault_status(&batch->fault, KW_E_NOMEM, (struct kw_span){0});
        stop(batch);
        return false;
    case GW_SPLIT_MORE:
        break;
    }
    if (batch->ended && !gw_split_end(&batch->split)) {
        gw_fault_bad(&batch->fault, "The batch is not whole: %s.", batch->split.why);
        stop(batch);
    }
    return false;
}

static void set_timer(struct batch *batch)
{
    int64_t ms = batch->stalled_first ? RETRY_MS : WATCH_MS;
    struct timeval wait = {.tv_usec = ms * 1000};
    evtimer_add(batch->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct batch *batch = arg;
    set_timer(batch);
    pump(batch);
}

static void answer(struct batch *batch)
{
    struct gw_request *req = batch->req;
    struct gw_out *out = &batch->out;
    gw_out_text(out, "]}");
    if (batch->stopped) {
        gw_reply_fault(req, &batch->fault);
    } else if (out->failed) {
        gw_reply_nomem(req);
    } else {
        char *data = out->data;
        size_t len = out->len;
        out->data = NULL; /* it is the reply's now */
        gw_reply_owned(req, 200, GW_JSON_TYPE, data, len, wipe_free);
    }
}

/* Answers when everything is back. True: the batch is gone. */
static bool finish(struct batch *batch)
{
    bool whole = batch->ended && batch->input.len == 0 && batch->head == batch->tail;
    if (batch->outstanding > 0 || (!batch->stopped && !whole && !gone(batch)))
        return false;
    if (!gone(batch))
        answer(batch);
    end_batch(batch);
    return true;
}

static void set_pause(struct batch *batch, bool pause)
{
    if (pause == batch->paused)
        return;
    batch->paused = pause;
    batch->req->transport->pause_body(batch->req, pause);
}

/* Brings everything forward that can move. May end the batch. */
static void pump(struct batch *batch)
{
    if (batch->pumping)
        return;
    batch->pumping = true;
    bool more = !gone(batch);
    while (more) {
        emit(batch);
        if (!batch->stopped)
            submit_stalled(batch);
        more = advance(batch);
    }
    emit(batch);
    bool stalled = batch->stalled_first && !batch->stopped;
    batch->pumping = false;
    if (finish(batch))
        return;
    if (stalled)
        set_timer(batch);
    if (!gone(batch))
        set_pause(batch, batch->input.len > 0 && !batch->stopped);
}

void gw_batch_begin(struct gw_request *req)
{
    struct batch *batch = gw_arena_alloc(req->arena, sizeof *batch);
    struct event *timer = batch ? evtimer_new(gw_loop_base(req->loop), on_timer, batch) : NULL;
    if (!timer) {
        gw_reply_nomem(req);
        return;
    }
    batch->req = req;
    batch->client = gw_auth_client(req);
    batch->timer = timer;
    if (!gw_authority(req, &batch->authority))
        batch->authority = kw_span_str("localhost");
    gw_split_init(&batch->split, ELEMENT_MAX);
    gw_out_init(&batch->out, NULL, 16384, SIZE_MAX / 4);
    gw_out_text(&batch->out, "{\"results\":[");
    gw_request_ref(req);
    req->route_data = batch;
    set_timer(batch);
}

/* Keeps what was not cut behind what was kept before. */
static bool keep(struct batch *batch, struct kw_span rest, struct kw_span more)
{
    uint8_t *held = NULL;
    if (rest.len + more.len > 0) {
        held = malloc(rest.len + more.len);
        if (!held)
            return false;
        if (rest.len > 0)
            memcpy(held, rest.data, rest.len);
        if (more.len > 0)
            memcpy(held + rest.len, more.data, more.len);
    }
    wipe_free(batch->held);
    batch->held = held;
    batch->input = kw_span_of(held, rest.len + more.len);
    return true;
}

void gw_batch_piece(struct gw_request *req, struct kw_span piece)
{
    struct batch *batch = req->route_data;
    if (!batch || batch->stopped)
        return;
    batch->received += piece.len;
    if (batch->received > req->body_max) {
        gw_batch_too_large(req);
        return;
    }
    gw_request_ref(req); /* an answer in the middle could be the protocol side's last use of it */
    bool direct = batch->input.len == 0 && !batch->pumping;
    if (direct) {
        batch->input = piece;
        pump(batch);
        piece = (struct kw_span){0};
    }
    /* the input borrows from the piece until it is kept */
    batch = req->route_data;
    if (batch && !keep(batch, batch->input, piece)) {
        batch->input = (struct kw_span){0};
        gw_fault_status(&batch->fault, KW_E_NOMEM, (struct kw_span){0});
        stop(batch);
        pump(batch);
    }
    gw_request_unref(req);
}

void gw_batch_end(struct gw_request *req)
{
    struct batch *batch = req->route_data;
    if (!batch)
        return;
    batch->ended = true;
    pump(batch);
}

void gw_batch_too_large(struct gw_request *req)
{
    struct batch *batch = req->route_data;
    if (!batch || batch->stopped)
        return;
    gw_fault_status(&batch->fault, KW_E_TOO_LARGE, (struct kw_span){0});
    stop(batch);
    pump(batch);
}

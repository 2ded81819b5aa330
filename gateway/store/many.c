/* Calls about many objects: changes as one, what is due, everything at one moment. */

#include <stdlib.h>

#include "gateway/store/calls.h"

#define LIST_LIMIT_MAX 1000

static const enum store_op op_of[] = {
    [STORE_CHANGE_PUT] = STORE_OP_PUT,         [STORE_CHANGE_ADD] = STORE_OP_ADD,
    [STORE_CHANGE_UPDATE] = STORE_OP_UPDATE,   [STORE_CHANGE_DELETE] = STORE_OP_DELETE,
    [STORE_CHANGE_RECOVER] = STORE_OP_RECOVER, [STORE_CHANGE_PURGE] = STORE_OP_PURGE,
    [STORE_CHANGE_REMOVE] = STORE_OP_REMOVE,   [STORE_CHANGE_WAKE] = STORE_OP_WAKE,
    [STORE_CHANGE_NEED] = STORE_OP_NEED,
};

static kw_status fill_new_version(struct store_request *part, const struct store_change *change)
{
    if (strlen(part->version) != STORE_VERSION_LEN)
        return KW_E_INPUT;
    part->created = change->created;
    return store_call_record(part, change->record);
}

static kw_status fill_part(struct store_request *part, const struct store_change *change)
{
    if ((size_t)change->op >= sizeof op_of / sizeof op_of[0])
        return KW_E_INPUT;
    part->op = op_of[change->op];
    part->optional = change->optional;
    part->sets_wake = change->sets_wake;
    part->wake_at = change->wake_at;
    part->checks_wake = change->checks_wake;
    part->was_wake = change->was_wake;
    part->has_base = change->base != NULL;
    part->purge_at = change->purge_at;
    part->deleted_at = change->deleted_at;
    KW_TRY(store_call_ref(part, &change->ref));
    KW_TRY(store_call_text(part->base, sizeof part->base, change->base));
    switch (part->op) {
    case STORE_OP_PUT:
    case STORE_OP_ADD:
        return fill_new_version(part, change);
    case STORE_OP_UPDATE:
        KW_TRY(store_call_expected(part, change->expected));
        return store_call_record(part, change->record);
    case STORE_OP_DELETE:
        return change->deleted_at > 0 ? KW_OK : KW_E_INPUT; /* 0 says "live" in the table */
    default:
        return KW_OK;
    }
}

/** Appends an empty part at `*end`. */
static struct store_request *add_part(struct store_request ***end)
{
    struct store_request *part = calloc(1, sizeof *part);
    if (part) {
        **end = part;
        *end = &part->next;
    }
    return part;
}

static kw_status fill_parts(struct store_request *req, const struct store_change *changes,
                            size_t count)
{
    struct store_request **end = &req->parts;
    size_t bytes = 0;
    if (count == 0)
        return KW_E_INPUT;
    for (size_t i = 0; i < count; i++) {
        struct store_request *part = i < STORE_CHANGES_MAX ? add_part(&end) : NULL;
        if (!part)
            return i < STORE_CHANGES_MAX ? KW_E_NOMEM : KW_E_TOO_LARGE;
        KW_TRY(fill_part(part, &changes[i]));
        bytes += part->record_len;
        if (bytes > STORE_CHANGES_MAX_BYTES)
            return KW_E_TOO_LARGE;
    }
    return KW_OK;
}

void store_apply(struct store *store, struct gw_loop *loop, const struct store_change *changes,
                 size_t count, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_APPLY, loop, done, ctx);
    if (req)
        store_call_submit(store, req, fill_parts(req, changes, count));
}

void store_due(struct store *store, struct gw_loop *loop, enum store_kind kind,
               enum store_due_what what, int64_t now, unsigned limit, store_done_fn *done,
               void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_DUE, loop, done, ctx);
    if (!req)
        return;
    req->kind = kind;
    req->due = what;
    req->created = now;
    req->limit = limit;
    store_call_submit(store, req, limit >= 1 && limit <= LIST_LIMIT_MAX ? KW_OK : KW_E_INPUT);
}

void store_read_all(struct store *store, struct gw_loop *loop, const struct store_ref *refs,
                    size_t count, size_t max_bytes, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_READ_ALL, loop, done, ctx);
    if (!req)
        return;
    struct store_request **end = &req->parts;
    kw_status status = count >= 1 && count <= STORE_REFS_MAX ? KW_OK : KW_E_INPUT;
    req->max_bytes = max_bytes;
    for (size_t i = 0; i < count && status == KW_OK; i++) {
        struct store_request *part = add_part(&end);
        status = part ? store_call_ref(part, &refs[i]) : KW_E_NOMEM;
    }
    store_call_submit(store, req, status);
}

kw_status store_post(struct store *store, struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
    return store->post(loop, fn, arg);
}

/* --- cursors --- */

struct store_cursor {
    struct store *store;
    struct store_snapshot *snapshot;
    struct store_request *close; /* made with the cursor, so that closing cannot fail */
    store_cursor_fn *opened;
    void *ctx;
};

static void cursor_free(struct store_cursor *cursor)
{
    free(cursor->close);
    free(cursor);
}

static void on_opened(void *ctx, struct store_result *result)
{
    struct store_cursor *cursor = ctx;
    store_cursor_fn *opened = cursor->opened;
    void *opened_ctx = cursor->ctx;
    kw_status status = result->status;
    if (status != KW_OK) {
        cursor_free(cursor);
        cursor = NULL;
    } else {
        cursor->snapshot = result->snapshot;
    }
    opened(opened_ctx, status, cursor);
}

static kw_status fill_open(struct store_request *req, const char *vault,
                           const struct store_cursor_start *start)
{
    if (!vault || !vault[0])
        return KW_E_INPUT;
    req->kind = start->kind;
    KW_TRY(store_call_text(req->vault, sizeof req->vault, vault));
    return store_call_text(req->name, sizeof req->name, start->name);
}

void store_cursor_open(struct store *store, struct gw_loop *loop, const char *vault,
                       const struct store_cursor_start *start, store_cursor_fn *done, void *ctx)
{
    struct store_cursor *cursor = calloc(1, sizeof *cursor);
    struct store_request *close = calloc(1, sizeof *close);
    if (!cursor || !close) {
        free(cursor);
        free(close);
        done(ctx, KW_E_NOMEM, NULL);
        return;
    }
    *cursor = (struct store_cursor){.store = store, .close = close, .opened = done, .ctx = ctx};
    struct store_request *req = store_call_new(STORE_OP_CURSOR_OPEN, loop, on_opened, cursor);
    if (req)
        store_call_submit(store, req, fill_open(req, vault, start));
}

void store_cursor_next(struct store_cursor *cursor, struct gw_loop *loop, unsigned max_rows,
                       size_t max_bytes, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_CURSOR_NEXT, loop, done, ctx);
    if (!req)
        return;
    req->cursor = cursor->snapshot;
    req->limit = max_rows;
    req->max_bytes = max_bytes;
    store_call_submit(cursor->store, req,
                      max_rows >= 1 && max_rows <= LIST_LIMIT_MAX ? KW_OK : KW_E_INPUT);
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (!cursor)
        return;
    struct store_request *req = cursor->close;
    cursor->close = NULL;
    req->op = STORE_OP_CURSOR_CLOSE;
    req->cursor = cursor->snapshot;
    /* a queue that is closed belongs to a store that closes, which ends its cursors itself */
    if (store_queue_put(&cursor->store->queries, req) != KW_OK)
        store_request_free(req);
    cursor_free(cursor);
}

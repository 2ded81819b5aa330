#include "gateway/store/store.h"

#include <signal.h>
#include <stdlib.h>

#include "gateway/store/calls.h"

#define QUEUE_MAX      4096
#define RECORD_MAX     (4u << 20)
#define LIST_LIMIT_MAX 1000

/* --- life --- */

static kw_status start_threads(struct store *store)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's business */
    kw_status status = KW_OK;
    if (pthread_create(&store->writer, NULL, store_worker_write, store) != 0) {
        status = KW_E_NOMEM;
    } else if (pthread_create(&store->reader, NULL, store_worker_read, store) != 0) {
        status = KW_E_NOMEM;
        store_queue_close(&store->changes);
        pthread_join(store->writer, NULL);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == KW_OK) {
        pthread_setname_np(store->writer, "store-write");
        pthread_setname_np(store->reader, "store-read");
    }
    return status;
}

kw_status store_create(struct store **out, struct store_engine *engine, store_post_fn *post)
{
    struct store *store = calloc(1, sizeof *store);
    kw_status status = store ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK) {
        store->engine = engine;
        store->post = post;
        status = store_queue_init(&store->changes, QUEUE_MAX);
    }
    if (status == KW_OK) {
        status = store_queue_init(&store->queries, QUEUE_MAX);
        if (status == KW_OK)
            status = start_threads(store);
        if (status != KW_OK)
            store_queue_destroy(&store->changes);
    }
    if (status != KW_OK) {
        free(store);
        engine->type->close(engine);
        return status;
    }
    *out = store;
    return KW_OK;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_queue_close(&store->changes);
    store_queue_close(&store->queries);
    pthread_join(store->writer, NULL);
    pthread_join(store->reader, NULL);
    store_queue_destroy(&store->changes);
    store_queue_destroy(&store->queries);
    store->engine->type->close(store->engine);
    free(store);
}

bool store_read_only(const struct store *store)
{
    return atomic_load(&store->medium) != STORE_MEDIUM_GOOD;
}

struct store_counters store_counters_read(const struct store *store)
{
    return (struct store_counters){.commits = atomic_load(&store->commits),
                                   .changes = atomic_load(&store->committed_changes)};
}

/* --- requests --- */

kw_status store_call_text(char *out, size_t room, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len >= room)
        return KW_E_INPUT;
    if (len > 0)
        memcpy(out, text, len);
    out[len] = '\0';
    return KW_OK;
}

kw_status store_call_record(struct store_request *req, struct kw_span record)
{
    if (record.len == 0 || record.len > RECORD_MAX)
        return record.len ? KW_E_TOO_LARGE : KW_E_INPUT;
    req->record = malloc(record.len);
    if (!req->record)
        return KW_E_NOMEM;
    memcpy(req->record, record.data, record.len);
    req->record_len = record.len;
    return KW_OK;
}

kw_status store_call_ref(struct store_request *req, const struct store_ref *ref)
{
    if (!ref->vault || !ref->vault[0] || !ref->name || !ref->name[0])
        return KW_E_INPUT;
    req->kind = ref->kind;
    KW_TRY(store_call_text(req->vault, sizeof req->vault, ref->vault));
    KW_TRY(store_call_text(req->name, sizeof req->name, ref->name));
    return store_call_text(req->version, sizeof req->version, ref->version);
}

kw_status store_call_expected(struct store_request *req, struct kw_span expected)
{
    if (expected.len == 0)
        return KW_OK;
    if (expected.len != STORE_HASH_LEN)
        return KW_E_INPUT;
    req->has_expected = true;
    memcpy(req->expected, expected.data, STORE_HASH_LEN);
    return KW_OK;
}

void store_call_submit(struct store *store, struct store_request *req, kw_status status)
{
    bool changes = store_op_changes(req->op);
    if (status == KW_OK && changes && store_read_only(store))
        status = KW_E_UNAVAILABLE;
    if (status == KW_OK)
        status = store_queue_put(changes ? &store->changes : &store->queries, req);
    if (status != KW_OK) {
        store_request_fail(req, status);
        req->done(req->ctx, &req->result);
        store_request_free(req);
    }
}

struct store_request *store_call_new(enum store_op op, struct gw_loop *loop, store_done_fn *done,
                                     void *ctx)
{
    struct store_request *req = calloc(1, sizeof *req);
    if (!req) {
        done(ctx, &(struct store_result){.status = KW_E_NOMEM});
        return NULL;
    }
    req->op = op;
    req->loop = loop;
    req->done = done;
    req->ctx = ctx;
    return req;
}

static void submit_ref(struct store *store, enum store_op op, struct gw_loop *loop,
                       const struct store_ref *ref, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(op, loop, done, ctx);
    if (req)
        store_call_submit(store, req, store_call_ref(req, ref));
}

void store_put(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
               int64_t created, struct kw_span record, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_PUT, loop, done, ctx);
    if (!req)
        return;
    kw_status status = store_call_ref(req, ref);
    if (status == KW_OK && strlen(req->version) != STORE_VERSION_LEN)
        status = KW_E_INPUT;
    if (status == KW_OK)
        status = store_call_record(req, record);
    req->created = created;
    store_call_submit(store, req, status);
}

void store_update(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                  struct kw_span record, struct kw_span expected, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_UPDATE, loop, done, ctx);
    if (!req)
        return;
    kw_status status = store_call_ref(req, ref);
    if (status == KW_OK)
        status = store_call_expected(req, expected);
    if (status == KW_OK)
        status = store_call_record(req, record);
    store_call_submit(store, req, status);
}

void store_get(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
               store_done_fn *done, void *ctx)
{
    submit_ref(store, STORE_OP_GET, loop, ref, done, ctx);
}

void store_get_deleted(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                       store_done_fn *done, void *ctx)
{
    submit_ref(store, STORE_OP_GET_DELETED, loop, ref, done, ctx);
}

static kw_status check_limit(unsigned limit)
{
    return limit >= 1 && limit <= LIST_LIMIT_MAX ? KW_OK : KW_E_INPUT;
}

void store_list(struct store *store, struct gw_loop *loop, const char *vault, enum store_kind kind,
                bool deleted, const char *after, unsigned limit, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_LIST, loop, done, ctx);
    if (!req)
        return;
    req->kind = kind;
    req->deleted = deleted;
    req->limit = limit;
    kw_status status = vault && vault[0] ? check_limit(limit) : KW_E_INPUT;
    if (status == KW_OK)
        status = store_call_text(req->vault, sizeof req->vault, vault);
    if (status == KW_OK)
        status = store_call_text(req->after, sizeof req->after, after);
    store_call_submit(store, req, status);
}

void store_list_versions(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                         const char *after, unsigned limit, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_LIST_VERSIONS, loop, done, ctx);
    if (!req)
        return;
    req->limit = limit;
    kw_status status = store_call_ref(req, ref);
    if (status == KW_OK)
        status = check_limit(limit);
    if (status == KW_OK)
        status = store_call_text(req->after, sizeof req->after, after);
    store_call_submit(store, req, status);
}

void store_delete(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                  int64_t deleted_at, int64_t purge_at, store_done_fn *done, void *ctx)
{
    struct store_request *req = store_call_new(STORE_OP_DELETE, loop, done, ctx);
    if (!req)
        return;
    req->deleted_at = deleted_at;
    req->purge_at = purge_at;
    /* 0 says "live" in the table */
    store_call_submit(store, req, deleted_at > 0 ? store_call_ref(req, ref) : KW_E_INPUT);
}

void store_recover(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                   store_done_fn *done, void *ctx)
{
    submit_ref(store, STORE_OP_RECOVER, loop, ref, done, ctx);
}

void store_purge(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                 store_done_fn *done, void *ctx)
{
    submit_ref(store, STORE_OP_PURGE, loop, ref, done, ctx);
}

#include "gateway/store/store.h"

#include <signal.h>
#include <stdlib.h>

#include "gateway/store/worker.h"

#define QUEUE_MAX      4096
#define RECORD_MAX     (4u << 20)
#define LIST_LIMIT_MAX 1000

/* --- life --------------------------------------------------------------------------------------
 */

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

/* --- requests ----------------------------------------------------------------------------------
 */

static kw_status copy_text(char *out, size_t room, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len >= room)
        return KW_E_INPUT;
    if (len > 0)
        memcpy(out, text, len);
    out[len] = '\0';
    return KW_OK;
}

static kw_status copy_record(struct store_request *req, struct kw_span record)
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

static kw_status fill_ref(struct store_request *req, const struct store_ref *ref)
{
    if (!ref->vault || !ref->vault[0] || !ref->name || !ref->name[0])
        return KW_E_INPUT;
    req->kind = ref->kind;
    KW_TRY(copy_text(req->vault, sizeof req->vault, ref->vault));
    KW_TRY(copy_text(req->name, sizeof req->name, ref->name));
    return copy_text(req->version, sizeof req->version, ref->version);
}

/** Hands the request over, or answers it here and now: `done` then runs inside the call. */
static void submit(struct store *store, struct store_request *req, kw_status status)
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

static struct store_request *new_request(enum store_op op, struct gw_loop *loop,
                                         store_done_fn *done, void *ctx)
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
    struct store_request *req = new_request(op, loop, done, ctx);
    if (req)
        submit(store, req, fill_ref(req, ref));
}

void store_put(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
               int64_t created, struct kw_span record, store_done_fn *done, void *ctx)
{
    struct store_request *req = new_request(STORE_OP_PUT, loop, done, ctx);
    if (!req)
        return;
    kw_status status = fill_ref(req, ref);
    if (status == KW_OK && strlen(req->version) != STORE_VERSION_LEN)
        status = KW_E_INPUT;
    if (status == KW_OK)
        status = copy_record(req, record);
    req->created = created;
    submit(store, req, status);
}

void store_update(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                  struct kw_span record, struct kw_span expected, store_done_fn *done, void *ctx)
{
    struct store_request *req = new_request(STORE_OP_UPDATE, loop, done, ctx);
    if (!req)
        return;
    kw_status status = fill_ref(req, ref);
    if (status == KW_OK && expected.len != 0 && expected.len != STORE_HASH_LEN)
        status = KW_E_INPUT;
    if (status == KW_OK)
        status = copy_record(req, record);
    if (status == KW_OK && expected.len != 0) {
        req->has_expected = true;
        memcpy(req->expected, expected.data, STORE_HASH_LEN);
    }
    submit(store, req, status);
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
    struct store_request *req = new_request(STORE_OP_LIST, loop, done, ctx);
    if (!req)
        return;
    req->kind = kind;
    req->deleted = deleted;
    req->limit = limit;
    kw_status status = vault && vault[0] ? check_limit(limit) : KW_E_INPUT;
    if (status == KW_OK)
        status = copy_text(req->vault, sizeof req->vault, vault);
    if (status == KW_OK)
        status = copy_text(req->after, sizeof req->after, after);
    submit(store, req, status);
}

void store_list_versions(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                         const char *after, unsigned limit, store_done_fn *done, void *ctx)
{
    struct store_request *req = new_request(STORE_OP_LIST_VERSIONS, loop, done, ctx);
    if (!req)
        return;
    req->limit = limit;
    kw_status status = fill_ref(req, ref);
    if (status == KW_OK)
        status = check_limit(limit);
    if (status == KW_OK)
        status = copy_text(req->after, sizeof req->after, after);
    submit(store, req, status);
}

void store_delete(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                  int64_t deleted_at, int64_t purge_at, store_done_fn *done, void *ctx)
{
    struct store_request *req = new_request(STORE_OP_DELETE, loop, done, ctx);
    if (!req)
        return;
    req->deleted_at = deleted_at;
    req->purge_at = purge_at;
    /* 0 says "live" in the table */
    submit(store, req, deleted_at > 0 ? fill_ref(req, ref) : KW_E_INPUT);
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

/* --- settings: blocking ------------------------------------------------------------------------
 */

static kw_status run_blocking(struct store *store, struct store_request *req)
{
    struct store_waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                  .ended = PTHREAD_COND_INITIALIZER};
    bool changes = store_op_changes(req->op);
    req->waiter = &waiter;
    if (changes && store_read_only(store))
        return KW_E_UNAVAILABLE;
    KW_TRY(store_queue_put(changes ? &store->changes : &store->queries, req));
    pthread_mutex_lock(&waiter.lock);
    while (!waiter.done)
        pthread_cond_wait(&waiter.ended, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    pthread_cond_destroy(&waiter.ended);
    pthread_mutex_destroy(&waiter.lock);
    return req->result.status;
}

static kw_status setting_request(struct store_request **out, enum store_op op, const char *name)
{
    struct store_request *req = calloc(1, sizeof *req);
    if (!req)
        return KW_E_NOMEM;
    req->op = op;
    if (!name || !name[0] || copy_text(req->name, sizeof req->name, name) != KW_OK) {
        free(req);
        return KW_E_INPUT;
    }
    *out = req;
    return KW_OK;
}

kw_status store_setting_get(struct store *store, const char *name, char *out, size_t out_len)
{
    struct store_request *req = NULL;
    KW_TRY(setting_request(&req, STORE_OP_SETTING_GET, name));
    kw_status status = run_blocking(store, req);
    if (status == KW_OK) {
        const struct store_row *row = &req->result.rows[0];
        if (row->record_len >= out_len)
            status = KW_E_TOO_LARGE;
        else
            memcpy(out, row->record, row->record_len + 1);
    }
    store_request_free(req);
    return status;
}

kw_status store_setting_put(struct store *store, const char *name, const char *value)
{
    struct store_request *req = NULL;
    KW_TRY(setting_request(&req, STORE_OP_SETTING_PUT, name));
    kw_status status = value ? copy_record(req, kw_span_str(value)) : KW_E_INPUT;
    if (status == KW_OK)
        status = run_blocking(store, req);
    store_request_free(req);
    return status;
}

/* A small table of settings in the same database: blocking, for start-up and the CLI. */

#include <stdlib.h>

#include "gateway/store/calls.h"

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
    if (!name || !name[0] || store_call_text(req->name, sizeof req->name, name) != KW_OK) {
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
    kw_status status = value ? store_call_record(req, kw_span_str(value)) : KW_E_INPUT;
    if (status == KW_OK)
        status = run_blocking(store, req);
    store_request_free(req);
    return status;
}

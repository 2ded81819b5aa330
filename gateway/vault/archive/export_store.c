/* A job's calls into the store: made on its own thread, answered on a loop, waited for. */

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/store/vaults.h"
#include "gateway/vault/archive/export_job.h"
#include "gateway/vault/roles/roles.h"
#include "gateway/vault/vault.h"

#define TICK_NS     100000000 /* between looks at whether the loops have ended */
#define SLICE_ROWS  64
#define SLICE_BYTES (256u << 10)

/* One at a time; lives as long as its job, which outlives the store: an answer that comes after the
 * job has given up finds it. */
struct transfer_call {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    kw_status status;
    struct store_result result;
    struct store_cursor *cursor;
};

static struct transfer_call *begin(struct transfer *t)
{
    if (!t->call) {
        t->call = calloc(1, sizeof *t->call);
        if (!t->call)
            return NULL;
        pthread_mutex_init(&t->call->lock, NULL);
        pthread_cond_init(&t->call->ended, NULL);
    }
    t->call->done = false;
    t->call->result = (struct store_result){.status = KW_OK};
    t->call->cursor = NULL;
    return t->call;
}

static void end(struct transfer_call *call, kw_status status)
{
    pthread_mutex_lock(&call->lock);
    call->status = status;
    call->done = true;
    pthread_cond_signal(&call->ended);
    pthread_mutex_unlock(&call->lock);
}

static kw_status wait_for(struct transfer *t, struct transfer_call *call)
{
    kw_status status = KW_E_UNAVAILABLE;
    pthread_mutex_lock(&call->lock);
    /* loops that have ended deliver nothing any more */
    while (!call->done && !atomic_load(&t->all->loops_ended)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&call->ended, &call->lock, &until);
    }
    if (call->done)
        status = call->status;
    pthread_mutex_unlock(&call->lock);
    return status;
}

static void on_cursor(void *ctx, kw_status status, struct store_cursor *cursor)
{
    struct transfer_call *call = ctx;
    call->cursor = cursor;
    end(call, status);
}

static void on_result(void *ctx, struct store_result *result)
{
    struct transfer_call *call = ctx;
    call->result = *result; /* taken over */
    *result = (struct store_result){.status = call->result.status};
    end(call, call->result.status);
}

kw_status transfer_cursor_open(struct transfer *t, const char *vault_name,
                               struct store_cursor **cursor)
{
    static const struct store_cursor_start start = {.name = NULL};
    struct transfer_call *call = begin(t);
    if (!call)
        return KW_E_NOMEM;
    store_cursor_open(t->all->vault->store, t->loop, vault_name, &start, on_cursor, call);
    KW_TRY(wait_for(t, call));
    *cursor = call->cursor;
    return KW_OK;
}

kw_status transfer_cursor_next(struct transfer *t, struct store_cursor *cursor,
                               struct store_result *result)
{
    struct transfer_call *call = begin(t);
    if (!call)
        return KW_E_NOMEM;
    store_cursor_next(cursor, t->loop, SLICE_ROWS, SLICE_BYTES, on_result, call);
    KW_TRY(wait_for(t, call));
    *result = call->result;
    return KW_OK;
}

static kw_status finish(struct transfer *t, struct transfer_call *call)
{
    kw_status status = wait_for(t, call);
    if (call->done)
        store_result_clear(&call->result);
    return status;
}

static void on_roles(void *ctx, kw_status status)
{
    end(ctx, status);
}

kw_status transfer_hold_roles(struct transfer *t)
{
    struct vault_roles *roles = vault_roles_of(t->all->vault, t->info.vault);
    struct transfer_call *call = roles ? begin(t) : NULL;
    if (!call)
        return KW_E_NOMEM;
    vault_roles_hold(roles, t->loop, on_roles, call);
    return wait_for(t, call);
}

kw_status transfer_release_roles(struct transfer *t)
{
    struct vault_roles *roles = vault_roles_of(t->all->vault, t->info.vault);
    struct transfer_call *call;
    /* a turn that is never given back would end all changes of roles: it waits for its memory */
    while (!(call = begin(t)))
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    vault_roles_release(roles, t->loop, on_roles, call);
    return wait_for(t, call);
}

kw_status transfer_apply(struct transfer *t, const struct store_change *changes, size_t count)
{
    struct transfer_call *call = begin(t);
    if (!call)
        return KW_E_NOMEM;
    store_apply(t->all->vault->store, t->loop, changes, count, on_result, call);
    return finish(t, call);
}

kw_status transfer_vault_move(struct transfer *t, const char *from, const char *to)
{
    struct transfer_call *call = begin(t);
    if (!call)
        return KW_E_NOMEM;
    store_vault_move(t->all->vault->store, t->loop, from, to, on_result, call);
    return finish(t, call);
}

kw_status transfer_vault_replace(struct transfer *t, const char *from, const char *to)
{
    struct transfer_call *call = begin(t);
    if (!call)
        return KW_E_NOMEM;
    store_vault_replace(t->all->vault->store, t->loop, from, to, on_result, call);
    return finish(t, call);
}

kw_status transfer_vault_drop(struct transfer *t, const char *vault_name)
{
    struct transfer_call *call = begin(t);
    if (!call)
        return KW_E_NOMEM;
    store_vault_drop(t->all->vault->store, t->loop, vault_name, on_result, call);
    return finish(t, call);
}

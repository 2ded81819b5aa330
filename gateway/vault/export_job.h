#pragma once
/* Inside the transfers: a job, what runs it, and its waiting calls into the store. */

#include <pthread.h>

#include "gateway/vault/export.h"

struct transfer_call;

struct transfer {
    struct transfer *next;
    struct vault_transfers *all;
    unsigned refs; /* under the lock of `all` */
    int fd;
    char path[4096];
    struct gw_loop *loop;
    atomic_bool dropped;
    struct vault_transfer_info info; /* under the lock of `all` */
    struct transfer_call *call;
};

struct vault_transfers {
    struct vault *vault;
    struct vault_pace pace;
    const atomic_bool *draining;
    atomic_bool loops_ended;
    char dir[3072];
    pthread_mutex_t lock;
    /* under lock */
    struct transfer *list;
    struct transfer *running;
    pthread_t thread;
    bool has_thread;
};

/** KW_E_UNAVAILABLE once the job has to end. */
KW_MUST_CHECK kw_status transfer_go_on(const struct transfer *t);

/** How long one stretch of work took; rests after it. */
struct transfer_stretch {
    int64_t cpu_ns, bytes;
};
void transfer_stretch_begin(struct transfer_stretch *stretch);
void transfer_rest(const struct transfer *t, struct transfer_stretch *stretch, uint64_t bytes);

/* Calls into the store that wait for their answer. A result is the caller's: transfer_rows_free. */
KW_MUST_CHECK kw_status transfer_cursor_open(struct transfer *t, const char *vault_name,
                                             struct store_cursor **cursor);
KW_MUST_CHECK kw_status transfer_cursor_next(struct transfer *t, struct store_cursor *cursor,
                                             struct store_result *result);
KW_MUST_CHECK kw_status transfer_apply(struct transfer *t, const struct store_change *changes,
                                       size_t count);
KW_MUST_CHECK kw_status transfer_vault_move(struct transfer *t, const char *from, const char *to);
KW_MUST_CHECK kw_status transfer_vault_drop(struct transfer *t, const char *vault_name);
void transfer_rows_free(struct store_result *result);

/** The kinds of work, each in its own file; on the thread of the job. They set what `info` says
 *  under the lock, but for state and status. */
KW_MUST_CHECK kw_status transfer_export(struct transfer *t);
KW_MUST_CHECK kw_status transfer_import(struct transfer *t, bool verify_only);

/** What a failure says to the operator; returns `status`. */
kw_status transfer_fail(struct transfer *t, kw_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

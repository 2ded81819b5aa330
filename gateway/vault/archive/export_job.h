#pragma once
/* Inside the transfers: a job, what runs it, and its waiting calls into the store. */

#include <pthread.h>

#include "gateway/vault/archive/export.h"
#include "gateway/vault/archive/full.h"

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
    struct vault_full_terms *terms; /* of a full backup or restore, else NULL; wiped at the end */
};

struct vault_transfers {
    struct vault *vault;
    struct vault_pace pace;
    const atomic_bool *draining;
    atomic_bool loops_ended;
    char dir[3072];
    _Atomic(const struct backup_rules *) rules;
    vault_transfer_watch_fn *watch;
    void *watch_ctx;
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

/* Calls into the store that wait for their answer. A result is the caller's: store_result_clear. */
KW_MUST_CHECK kw_status transfer_cursor_open(struct transfer *t, const char *vault_name,
                                             struct store_cursor **cursor);
KW_MUST_CHECK kw_status transfer_cursor_next(struct transfer *t, struct store_cursor *cursor,
                                             struct store_result *result);
KW_MUST_CHECK kw_status transfer_apply(struct transfer *t, const struct store_change *changes,
                                       size_t count);
KW_MUST_CHECK kw_status transfer_vault_move(struct transfer *t, const char *from, const char *to);
KW_MUST_CHECK kw_status transfer_vault_replace(struct transfer *t, const char *from,
                                               const char *to);
KW_MUST_CHECK kw_status transfer_vault_drop(struct transfer *t, const char *vault_name);
/** Nobody changes roles of the job's vault between the two; the second one reads them anew. */
KW_MUST_CHECK kw_status transfer_hold_roles(struct transfer *t);
KW_MUST_CHECK kw_status transfer_release_roles(struct transfer *t);

/** The kinds of work, each in its own file; on the thread of the job. They set what `info` says
 *  under the lock, but for state and status. */
KW_MUST_CHECK kw_status transfer_export(struct transfer *t);
KW_MUST_CHECK kw_status transfer_import(struct transfer *t);
KW_MUST_CHECK kw_status transfer_full(struct transfer *t);
/** Before it: a backup gets its name, and `info` says where it lies. */
void transfer_full_name(struct transfer *t);

/** Between the first and the second pass of an import: is the manifest that was fetched the one of
 *  what was read? */
KW_MUST_CHECK kw_status transfer_full_check(struct transfer *t);

/** Makes a job and starts it; KW_E_CONFLICT while another runs. Takes over `terms`. */
KW_MUST_CHECK kw_status transfer_begin(struct vault_transfers *all, struct gw_loop *loop,
                                       const char *vault_name, enum vault_transfer_kind kind,
                                       struct vault_full_terms *terms,
                                       struct vault_transfer_info *info);

/** Has a job that the gateway began by itself end early, and waits some seconds for it: what is
 * asked for goes first. Not on an event loop. */
void transfer_clear_way(struct vault_transfers *all);

/** What a failure says to the operator; returns `status`. */
kw_status transfer_fail(struct transfer *t, kw_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#pragma once
/* What stands below the store's threads: a database, called synchronously. The store owns queues,
 * threads, grouping and completions (store.c); an engine owns one way of keeping objects. */

#include "gateway/store/store.h"

#define STORE_HASH_LEN 32 /* SHA-256 */

enum store_op {
    /* changes: the writer's thread, inside begin .. commit */
    STORE_OP_PUT,
    STORE_OP_UPDATE,
    STORE_OP_DELETE,
    STORE_OP_RECOVER,
    STORE_OP_PURGE,
    STORE_OP_ADD,
    STORE_OP_REMOVE,
    STORE_OP_WAKE,
    STORE_OP_NEED,
    STORE_OP_APPLY,      /* `parts`, all or none */
    STORE_OP_VAULT_MOVE, /* from `vault` to `name` */
    STORE_OP_VAULT_DROP,
    STORE_OP_VAULT_REPLACE, /* as MOVE, in the place of what `name` has */
    STORE_OP_SETTING_PUT,
    /* queries: the reader's thread */
    STORE_OP_GET,
    STORE_OP_GET_DELETED,
    STORE_OP_LIST,
    STORE_OP_LIST_VERSIONS,
    STORE_OP_DUE,
    STORE_OP_READ_ALL, /* `parts` are the objects, `max_bytes` the bound */
    STORE_OP_CURSOR_OPEN,
    STORE_OP_CURSOR_NEXT,
    STORE_OP_CURSOR_CLOSE,
    STORE_OP_SETTING_GET
};

static inline bool store_op_changes(enum store_op op)
{
    return op <= STORE_OP_SETTING_PUT;
}

/** Someone who waits on a condition instead of a loop (settings). */
struct store_waiter;

/** One call, with copies of everything it was given. Settings use `name`, and `record` as value. */
struct store_request {
    struct store_request *next;
    enum store_op op;
    enum store_kind kind;
    char vault[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char version[STORE_VERSION_LEN + 1];
    char after[STORE_NAME_MAX + 1];
    bool deleted;
    unsigned limit;
    int64_t created, deleted_at, purge_at, wake_at, was_wake;
    bool sets_wake, checks_wake, optional, has_base;
    char base[STORE_VERSION_LEN + 1];
    size_t max_bytes;
    enum store_due_what due;
    struct store_request *parts;   /* owned, a list */
    struct store_snapshot *cursor; /* the engine's half of a cursor: NEXT, CLOSE */
    uint8_t *record;               /* owned */
    size_t record_len;
    bool has_expected;
    uint8_t expected[STORE_HASH_LEN];

    struct store_result result;

    struct gw_loop *loop;
    store_done_fn *done; /* NULL: nobody waits for an answer */
    void *ctx;
    struct store_waiter *waiter;
};

/** What a failed transaction says about the medium. */
enum store_fault {
    STORE_FAULT_NONE, /* this transaction failed, the next may work (busy, out of memory) */
    STORE_FAULT_FULL, /* no room: a later write may work, a probe tells */
    STORE_FAULT_LOST  /* a write or fsync failed: what the kernel still holds is unknown */
};

struct store_engine;
struct store_snapshot;

/** `begin` to `probe` run on the writer's thread, `query` on the reader's, both at the same time.
 *  `close` runs when both threads have ended. */
struct store_engine_type {
    const char *name;
    kw_status (*begin)(struct store_engine *engine);
    /** One change inside the transaction. KW_OK: the transaction lives on and `req->result` says
     *  what came of this change, which alone was taken back if it failed. Anything else: the whole
     *  transaction is lost; call rollback. */
    kw_status (*change)(struct store_engine *engine, struct store_request *req);
    /** KW_OK only when everything since begin is durable. */
    kw_status (*commit)(struct store_engine *engine);
    void (*rollback)(struct store_engine *engine);
    /** What the last failed begin, change, commit, tidy or probe says about the medium. */
    enum store_fault (*fault)(const struct store_engine *engine);
    /** The same for the log, in the engine's own words; valid until its next call. */
    const char *(*fault_text)(const struct store_engine *engine);
    /** Housekeeping between transactions, after the answers were sent (SQLite: checkpoints). */
    kw_status (*tidy)(struct store_engine *engine);
    /** Writes something of notable size and makes it durable: is there room again? */
    kw_status (*probe)(struct store_engine *engine);
    /** Fills `req->result`. */
    void (*query)(struct store_engine *engine, struct store_request *req);
    void (*close)(struct store_engine *engine);
};

/** First member of every engine's own structure. */
struct store_engine {
    const struct store_engine_type *type;
};

/** Opens, creates and migrates `dir`/keyward.db and holds the lock of `dir`. On failure `error` has
 *  a sentence for the operator. */
KW_MUST_CHECK kw_status store_sqlite_open(struct store_engine **out, const char *dir, char *error,
                                          size_t error_len);

/** Appends an empty row to a result; NULL when memory is short. */
struct store_row *store_result_add(struct store_result *result);

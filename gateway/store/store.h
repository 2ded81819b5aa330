#pragma once
/* Objects with versions, durable. The store knows names, versions, order and states; what a record
 * says is sealed by the caller (gateway/vault) and opaque here.
 *
 * Every call is asynchronous: the work runs on the store's own threads (one writes, one reads, so
 * that a read never waits behind an fsync), `done` is called on the loop that asked. Calls come
 * from that loop's thread. A call that is refused at once (KW_E_INPUT; KW_E_BUSY: a bounded queue
 * is full; KW_E_UNAVAILABLE: read-only or closing; KW_E_NOMEM) calls `done` before it returns. A
 * change is reported KW_OK only once it is durable; changes that wait together are committed
 * together, and one that is refused takes no other with it. KW_E_IO of a change says that it is not
 * to be relied on: after a failed fsync it may or may not be there at the next start. `done` runs
 * even when the client went away. */

#include "gateway/net/loop.h"

/** The numbers are part of the database and of sealed records: never changed, never used again. */
enum store_kind {
    STORE_KEY = 1,
    STORE_SECRET = 2,
    STORE_CERTIFICATE = 3,
    STORE_KEY_POLICY = 4, /* rotation policy, under the name of its key */
    STORE_CERTIFICATE_POLICY = 5,
    STORE_PENDING = 6, /* the operation that makes a certificate, under the certificate's name */
    STORE_ISSUER = 7,
    STORE_CONTACTS = 8,
    STORE_ROLE = 9, /* a custom role definition, under its GUID */
    STORE_ROLE_ASSIGNMENT = 10,
    STORE_SETTING = 11,
    STORE_KIND_MAX = 31
};

#define STORE_NAME_MAX    127
#define STORE_VERSION_LEN 32 /* lower-case hex */
#define STORE_VAULT_MAX   63

struct store;
struct store_snapshot;

/** Which object. Strings are copied by each call. Names compare without case. */
struct store_ref {
    const char *vault;
    enum store_kind kind;
    const char *name;
    const char *version; /* NULL or "": the newest, where a version makes sense */
};

/** One version as it is stored; owned by the result. */
struct store_row {
    enum store_kind kind;
    char vault[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1]; /* as it was spelled at creation */
    char version[STORE_VERSION_LEN + 1];
    int64_t created;    /* wall seconds */
    int64_t deleted_at; /* 0: live */
    int64_t purge_at;   /* 0: live */
    int64_t wake_at;    /* of the object: when store_due gives it; 0: never */
    uint8_t *record;    /* sealed */
    size_t record_len;
};

/** Why a change met KW_E_CONFLICT. */
enum store_conflict {
    STORE_CONFLICT_NONE,
    STORE_CONFLICT_EXISTS,  /* the object, or this version of it, is there */
    STORE_CONFLICT_DELETED, /* the name is deleted but recoverable */
    STORE_CONFLICT_CHANGED  /* it is not (any more) what the change was made from */
};

struct store_result {
    kw_status status;
    enum store_conflict conflict;
    size_t failed; /* store_apply: which change was refused */
    struct store_row *rows;
    size_t row_count;
    bool more;                       /* a list was cut at its limit */
    struct store_snapshot *snapshot; /* the store's own: a cursor that was opened */
};

typedef void store_done_fn(void *ctx, struct store_result *result); /* the result is freed after */

/** Frees the rows and their records; status, conflict and failed stay. For who took a result over
 * by copying it out of `done` and leaving an empty one there. */
void store_result_clear(struct store_result *result);

/** Opens (and creates, and migrates) the database at `dir`/keyward.db: SQLite, WAL,
 *  synchronous=FULL; directory 0700, files 0600. `dir`/keyward.lock is held, so that a second
 * gateway on the same data is refused. `error` gets a sentence for the operator on failure:
 *  KW_E_CONFLICT in use by another process, KW_E_UNSUPPORTED written by a newer program,
 *  KW_E_FORBIDDEN a directory that everybody may write, KW_E_IO. Blocks. */
KW_MUST_CHECK kw_status store_open_sqlite(struct store **out, const char *dir, char *error,
                                          size_t error_len);
/** Finishes what is queued, answers it, closes. An answer for a loop that
 *  has ended is dropped. Blocks. NULL is allowed. */
void store_close(struct store *store);

/** Adds a version; makes the object when it is new. KW_E_CONFLICT when the name is deleted but
 *  recoverable, or the version exists. The newest version is the one that was put last, whatever
 *  `created` says. One row is given back. `record` is copied. */
void store_put(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
               int64_t created, struct kw_span record, store_done_fn *done, void *ctx);

/** Replaces the record of one live version (attributes, tags). KW_E_NOT_FOUND. `expected`: the
 *  SHA-256 (32 bytes) of the record that the change was made from, KW_E_CONFLICT when the stored
 * one is another by now; empty: no check. One row is given back. */
void store_update(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                  struct kw_span record, struct kw_span expected, store_done_fn *done, void *ctx);

/** One live version (the newest without one). KW_E_NOT_FOUND. */
void store_get(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
               store_done_fn *done, void *ctx);

/** The newest version of a deleted object. KW_E_NOT_FOUND. */
void store_get_deleted(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                       store_done_fn *done, void *ctx);

/** Newest version of each live (or deleted) object, by name, after `after` (NULL: from the start).
 */
void store_list(struct store *store, struct gw_loop *loop, const char *vault, enum store_kind kind,
                bool deleted, const char *after, unsigned limit, store_done_fn *done, void *ctx);

/** Versions of one live object, oldest first, after version `after` (NULL: from the start). `limit`
 * 1 to 1000. KW_E_NOT_FOUND. */
void store_list_versions(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                         const char *after, unsigned limit, store_done_fn *done, void *ctx);

/** Marks deleted; the newest version is given back. KW_E_NOT_FOUND. */
void store_delete(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                  int64_t deleted_at, int64_t purge_at, store_done_fn *done, void *ctx);
/** Live again; the newest version is given back. KW_E_NOT_FOUND. */
void store_recover(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                   store_done_fn *done, void *ctx);
/** Destroys a deleted object with all versions. KW_E_NOT_FOUND. */
void store_purge(struct store *store, struct gw_loop *loop, const struct store_ref *ref,
                 store_done_fn *done, void *ctx);

/* --- many changes as one --- */

enum store_change_op {
    STORE_CHANGE_PUT, /* as store_put */
    STORE_CHANGE_ADD, /* as store_put, but KW_E_CONFLICT when the object exists, live or deleted */
    STORE_CHANGE_UPDATE, /* as store_update */
    STORE_CHANGE_DELETE, /* as store_delete */
    STORE_CHANGE_RECOVER,
    STORE_CHANGE_PURGE,
    STORE_CHANGE_REMOVE, /* destroys the object with all versions, live or deleted */
    STORE_CHANGE_WAKE,   /* sets wake_at of a live object and nothing else */
    STORE_CHANGE_NEED    /* changes nothing: the object must be live, with `base` as its newest */
};

struct store_change {
    enum store_change_op op;
    struct store_ref ref;    /* version: PUT and ADD need one; UPDATE: "" is the newest */
    int64_t created;         /* PUT, ADD: wall seconds */
    struct kw_span record;   /* PUT, ADD, UPDATE; not empty */
    struct kw_span expected; /* UPDATE: SHA-256 of the record it was made from, or empty */
    /* PUT, NEED: the version that must be the newest now (else KW_E_CONFLICT); NULL: no check */
    const char *base;
    int64_t deleted_at; /* DELETE: not 0 */
    /* DELETE: when it may be purged. PURGE: when not 0, the object must have this time, so that one
     * that was recovered and deleted again in between stays (KW_E_CONFLICT) */
    int64_t purge_at;
    bool sets_wake;  /* PUT, ADD, UPDATE: `wake_at` is taken; otherwise it stays as it is */
    int64_t wake_at; /* with WAKE: always taken; 0: never */
    /* UPDATE, WAKE: the object's wake_at must be `was_wake` (KW_E_CONFLICT otherwise), so that a
     * time set by somebody else in the meantime stays */
    bool checks_wake;
    int64_t was_wake;
    bool optional; /* KW_E_NOT_FOUND counts as done and gives a row without a name */
};

#define STORE_CHANGES_MAX       16384
#define STORE_CHANGES_MAX_BYTES (64u << 20) /* of all records together */

/** All of the changes, in this order, or none of them: one answer for all, durable like every
 * other. KW_OK: one row for each change, as the single call would give it (after a put or an update
 * with the new record, after a purge or removal empty). A refusal takes all back: `failed` is the
 * change that met it and `conflict` why. What it is given is copied. KW_E_TOO_LARGE over the bounds
 * above; KW_E_INPUT without a change. */
void store_apply(struct store *store, struct gw_loop *loop, const struct store_change *changes,
                 size_t count, store_done_fn *done, void *ctx);

/* --- what is due --- */

enum store_due_what {
    STORE_DUE_PURGE, /* deleted objects whose purge_at has passed */
    STORE_DUE_WAKE   /* live objects whose wake_at has passed */
};

/** The newest version of each object of `kind`, in all vaults, for which the time has come at `now`
 *  (wall seconds), the longest overdue first; at most `limit`, 1 to 1000. */
void store_due(struct store *store, struct gw_loop *loop, enum store_kind kind,
               enum store_due_what what, int64_t now, unsigned limit, store_done_fn *done,
               void *ctx);

/* --- many rows at one moment --- */

#define STORE_REFS_MAX 8

/** Every version of each of the live objects (versions of `refs` are not looked at), oldest first,
 *  one object after the other, all of it as it was at one moment. Objects that are not there give
 * no rows. KW_E_TOO_LARGE when the records have more than `max_bytes` together; KW_E_NOT_FOUND when
 *  the first object is not there. */
void store_read_all(struct store *store, struct gw_loop *loop, const struct store_ref *refs,
                    size_t count, size_t max_bytes, store_done_fn *done, void *ctx);

/** The store as it was when the cursor was opened, read in slices while changes go on. It holds a
 *  read transaction on a connection of its own: the log cannot shrink meanwhile, so a cursor is for
 *  minutes, not for days. One slice at a time. */
struct store_cursor;

/** Where a cursor begins: behind (kind, name), in their order. Zeroed: at the start. */
struct store_cursor_start {
    enum store_kind kind;
    const char *name;
};

typedef void store_cursor_fn(void *ctx, kw_status status, struct store_cursor *cursor);

/** Everything of one vault, live and deleted, ordered by kind, name and age of the version.
 *  KW_E_BUSY when 4 cursors are open already. `done` owns the cursor. */
void store_cursor_open(struct store *store, struct gw_loop *loop, const char *vault,
                       const struct store_cursor_start *start, store_cursor_fn *done, void *ctx);
/** The next slice: at most `max_rows` (1 to 1000) and, but for the first row, `max_bytes` of
 *  records. `more` is false once nothing follows. Loop and `done` as everywhere. */
void store_cursor_next(struct store_cursor *cursor, struct gw_loop *loop, unsigned max_rows,
                       size_t max_bytes, store_done_fn *done, void *ctx);
/** Ends the transaction and frees the cursor; no slice may be under way. Before store_close. NULL
 * is allowed. */
void store_cursor_close(struct store_cursor *cursor);

/** Runs `fn(arg)` on the loop's thread the way completions get there: for work that goes on in the
 *  next turn. */
KW_MUST_CHECK kw_status store_post(struct store *store, struct gw_loop *loop, void (*fn)(void *arg),
                                   void *arg);

/** True once a write failed in a way that makes durability doubtful: readiness goes down, changes
 * are refused with KW_E_UNAVAILABLE, reads go on. After a full disk (ENOSPC, EDQUOT, EFBIG) a probe
 *  write runs once a second and the first that succeeds ends it. After a failed write or fsync only
 *  a new start does: what the kernel still holds is unknown then, and a second fsync would report
 *  success for pages that were dropped. Any thread. */
bool store_read_only(const struct store *store);

/** For start-up and the CLI, blocking: a small settings table in the same database. */
KW_MUST_CHECK kw_status store_setting_get(struct store *store, const char *name, char *out,
                                          size_t out_len);
KW_MUST_CHECK kw_status store_setting_put(struct store *store, const char *name, const char *value);

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

enum store_kind { STORE_KEY = 1, STORE_SECRET = 2, STORE_CERTIFICATE = 3 };

#define STORE_NAME_MAX    127
#define STORE_VERSION_LEN 32 /* lower-case hex */
#define STORE_VAULT_MAX   63

struct store;

/** Which object. Strings are copied by each call. Names compare without case. */
struct store_ref {
    const char *vault;
    enum store_kind kind;
    const char *name;
    const char *version; /* NULL or "": the newest, where a version makes sense */
};

/** One version as it is stored; owned by the result. */
struct store_row {
    char name[STORE_NAME_MAX + 1]; /* as it was spelled at creation */
    char version[STORE_VERSION_LEN + 1];
    int64_t created;    /* wall seconds */
    int64_t deleted_at; /* 0: live */
    int64_t purge_at;   /* 0: live */
    uint8_t *record;    /* sealed */
    size_t record_len;
};

struct store_result {
    kw_status status;
    struct store_row *rows;
    size_t row_count;
    bool more; /* a list was cut at its limit */
};

typedef void store_done_fn(void *ctx, struct store_result *result); /* the result is freed after */

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

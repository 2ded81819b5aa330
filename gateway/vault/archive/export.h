#pragma once
/* Exports and imports of whole vaults, as jobs on a thread of their own.
 *
 * An export reads the vault as it was at one moment (a cursor of the store) and writes an archive
 * (archive.h) into a spool file, which is downloaded in pieces at any offset: a download that broke
 * goes on where it was, on the same snapshot, and a slow client holds no transaction open. An
 * import is uploaded in pieces the same way, read through and authenticated as a whole, compared
 * with the names that the vault has, stored under a name that no request can reach, and moved into
 * the vault in one transaction: all of it is there, or nothing, whenever the power fails.
 *
 * The thread has the lowest priority, and rests so that it takes at most a share of one processor
 * and a rate of bytes. */

#include "gateway/vault/archive/archive.h"
#include "gateway/vault/keys/keys.h"

#define VAULT_TRANSFER_ID_LEN 32         /* hex digits */
#define VAULT_TRANSFER_PIECE  (1u << 20) /* most bytes of one piece */
#define VAULT_TRANSFER_NAMES  20         /* of conflicts that are listed */

#define VAULT_TRANSFER_PLACE 1152 /* of an address with its folder */

struct vault_transfers;

enum vault_transfer_kind {
    VAULT_EXPORT,
    VAULT_IMPORT,
    VAULT_VERIFY,
    /* full.h */
    VAULT_BACKUP,
    VAULT_BACKUP_VERIFY,
    VAULT_PREBACKUP,
    VAULT_RESTORE,
    VAULT_RESTORE_KEY,
    VAULT_PRERESTORE
};
enum vault_transfer_state {
    VAULT_TRANSFER_RECEIVING, /* an import, a verification: takes pieces */
    VAULT_TRANSFER_RUNNING,
    VAULT_TRANSFER_SUCCEEDED,
    VAULT_TRANSFER_FAILED
};

/** How much it may take. */
struct vault_pace {
    unsigned percent;          /* of one processor, 1 to 100 */
    uint64_t bytes_per_second; /* 0: no bound */
};

struct vault_transfer_info {
    char id[VAULT_TRANSFER_ID_LEN + 1];
    char vault[STORE_VAULT_MAX + 1];
    enum vault_transfer_kind kind;
    enum vault_transfer_state state;
    kw_status status; /* FAILED: why */
    char message[256];
    bool scheduled;                       /* begun by the gateway itself */
    bool gave_way;                        /* FAILED: it ended early for a job that was asked for */
    int64_t started, ended;               /* wall seconds; 0: not yet */
    char place[VAULT_TRANSFER_PLACE + 1]; /* of a full backup or restore: address, folder */
    uint64_t size;                        /* bytes of the file that can be read, or were received */
    uint8_t digest[32];                   /* SHA-256 of the whole file, once it SUCCEEDED */
    bool has_head;                        /* the members below are known */
    struct archive_head head;
    char origin[STORE_VAULT_MAX + 1];     /* vault that it was exported from */
    uint64_t objects[STORE_KIND_MAX + 1]; /* by kind */
    uint64_t versions[STORE_KIND_MAX + 1];
    uint64_t conflict_count;
    char conflicts[VAULT_TRANSFER_NAMES][STORE_NAME_MAX + 1];
};

/** "keys", "secrets", ...: what a kind is called in counts. Static. */
const char *vault_transfer_kind_name(enum store_kind kind);

/** `dir` is made (0700) and emptied: what a run before has left there is of no use. `draining` is
 *  watched: a job ends early when it becomes true. Both and the vault are borrowed. */
KW_MUST_CHECK kw_status vault_transfers_create(struct vault_transfers **out, struct vault *vault,
                                               const char *dir, const struct vault_pace *pace,
                                               const atomic_bool *draining);
/** Called at the begin (RUNNING) and the end of each job that runs, on its thread. */
typedef void vault_transfer_watch_fn(void *ctx, const struct vault_transfer_info *info);
/** Before the first job. */
void vault_transfers_watch(struct vault_transfers *transfers, vault_transfer_watch_fn *watch,
                           void *ctx);
/** Does a job run? */
bool vault_transfers_busy(struct vault_transfers *transfers);
/** Ends the job that runs. After the loops have ended, before the store closes. */
void vault_transfers_stop(struct vault_transfers *transfers);
/** After the store was closed. NULL is allowed. */
void vault_transfers_destroy(struct vault_transfers *transfers);

/* The calls below are of any thread; `id` is NUL-terminated. KW_E_NOT_FOUND: there is no such job
 * of this vault. Those marked (file) do file I/O: not on an event loop. */

/** Begins an export; KW_E_CONFLICT while another job runs. `loop` carries the store's answers. */
KW_MUST_CHECK kw_status vault_export_start(struct vault_transfers *transfers, struct gw_loop *loop,
                                           const char *vault_name,
                                           struct vault_transfer_info *info);
/** Begins an import, or the verification of an archive, which changes nothing: it takes pieces from
 *  now on. KW_E_BUSY when too many wait. */
KW_MUST_CHECK kw_status vault_import_start(struct vault_transfers *transfers,
                                           const char *vault_name, bool verify_only,
                                           struct vault_transfer_info *info);
/** All pieces are there: runs it. KW_E_CONFLICT while another job runs, or when it is not
 *  RECEIVING. */
KW_MUST_CHECK kw_status vault_import_commit(struct vault_transfers *transfers, struct gw_loop *loop,
                                            const char *vault_name, const char *id,
                                            struct vault_transfer_info *info);
KW_MUST_CHECK kw_status vault_transfer_get(struct vault_transfers *transfers,
                                           const char *vault_name, const char *id,
                                           struct vault_transfer_info *info);
/** Forgets a job and its file; one that runs is ended. */
KW_MUST_CHECK kw_status vault_transfer_drop(struct vault_transfers *transfers,
                                            const char *vault_name, const char *id);

/** Up to `len` bytes of an export from `offset`; `*got` 0: nothing more is there (yet). */
KW_MUST_CHECK kw_status vault_export_read(struct vault_transfers *transfers, const char *vault_name,
                                          const char *id, uint64_t offset, uint8_t *out, size_t len,
                                          size_t *got);
/** A piece at `offset`, which must not be behind the end of what is there: pieces may come
 *  again. KW_E_INPUT for a gap, KW_E_CONFLICT when it is not RECEIVING, KW_E_TOO_LARGE. */
KW_MUST_CHECK kw_status vault_import_write(struct vault_transfers *transfers,
                                           const char *vault_name, const char *id, uint64_t offset,
                                           struct kw_span piece, struct vault_transfer_info *info);

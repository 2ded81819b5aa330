#pragma once
/* Backup blobs: one object with all its versions, companions and attributes, sealed under the
 * security domain and independent of the vault it came from. Any gateway of the same domain can
 * restore it; nobody else can read or change it.
 *
 *   0   4  "KWBK"
 *   4   1  format, 1
 *   5   1  enum store_kind of the object
 *   6   2  zero
 *   8   8  check value of the domain, so that a blob of another one can be told from a damaged one
 *  16      kc_seal of the contents; the additional data is a label and bytes 0 to 15
 */

#include "gateway/store/store.h"

struct vault;

#define VAULT_BACKUP_HEADER 16
#define VAULT_BACKUP_MAX    (12u << 20) /* of the blob, in bytes */

/** `blob` is borrowed and empty unless `status` is KW_OK. */
typedef void vault_backup_fn(void *ctx, kw_status status, struct kw_span blob);

/** Backs up a live object as it is at one moment; large ones are worked on in slices, over several
 *  turns of the loop. KW_E_NOT_FOUND; KW_E_TOO_LARGE over VAULT_BACKUP_MAX or STORE_CHANGES_MAX
 *  versions; KW_E_INTEGRITY when a record does not open. */
void vault_backup(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                  vault_backup_fn *done, void *ctx);

/** What came of a restore. */
struct vault_restored {
    /* KW_E_INPUT: not a backup blob, damaged, or of another kind of object; KW_E_UNSUPPORTED: made
     * by a newer program; KW_E_FORBIDDEN: of another security domain (`check` is its check value);
     * KW_E_CONFLICT: see `conflict`, and `name` is the object's */
    kw_status status;
    enum store_conflict conflict;
    const char *name;               /* NULL until it is known */
    const char *check;              /* 16 hex characters, or NULL */
    const struct store_row *newest; /* KW_OK: the newest version of the object */
};

typedef void vault_restore_fn(void *ctx, const struct vault_restored *what);

/** Restores an object of `kind` into the vault `vault_name`: all of it or nothing. Its name must be
 *  free, neither live nor deleted, and so must those of its companions. `blob` is copied. */
void vault_restore(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                   enum store_kind kind, struct kw_span blob, vault_restore_fn *done, void *ctx);

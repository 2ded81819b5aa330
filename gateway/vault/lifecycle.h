#pragma once
/* What a deletion means, for every kind of object: soft delete, recovery, purge, and the purge at
 * the end of the retention. An object takes its companions with it in the same transaction (a key
 * its rotation policy; a certificate its key, its secret, its policy and an open operation), so
 * that no crash leaves one half moved. */

#include "gateway/store/store.h"

struct vault;

/** The terms on which a vault keeps deleted objects. */
struct vault_terms {
    unsigned retention_days; /* 7 to 90 */
    bool purge_protection;   /* deleted objects leave only when their retention ends */
};

#define VAULT_RETENTION_DEFAULT 90

/** "Recoverable+Purgeable", "CustomizedRecoverable", ...: attributes.recoveryLevel. Static. */
const char *vault_recovery_level(const struct vault_terms *terms);

/** Soft delete, with all versions and companions. `done` gets the newest version of the object as
 *  rows[0], by then nobody sees the object any more. KW_E_NOT_FOUND. Purge protection is no
 * business of a delete. The strings of `ref` are copied. */
void vault_ref_delete(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                      unsigned retention_days, store_done_fn *done, void *ctx);
/** Live again; rows[0] is the newest version. KW_E_NOT_FOUND. */
void vault_ref_recover(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                       store_done_fn *done, void *ctx);
/** Destroys a deleted object. Whether that is allowed (purge protection) the caller has asked.
 *  KW_E_NOT_FOUND. */
void vault_ref_purge(struct vault *vault, struct gw_loop *loop, const struct store_ref *ref,
                     store_done_fn *done, void *ctx);

/** The kinds that a kind takes with it, itself first: how many are in `kinds`. */
#define VAULT_COMPANIONS_MAX 6
size_t vault_companions(enum store_kind kind, enum store_kind kinds[VAULT_COMPANIONS_MAX]);

/** To be called when a change of objects was answered KW_OK or KW_E_IO, before anybody else hears
 * of it: forgets what caches hold of the object and its companions. */
void vault_ref_changed(struct vault *vault, const struct store_ref *ref);

/** Called once. `purged` objects are gone; a status that is not KW_OK ended it early. */
typedef void vault_sweep_fn(void *ctx, kw_status status, unsigned purged);

/** Purges every object whose retention has ended at `now` (wall seconds), in all vaults. Many
 *  gateways of a fleet may do it at the same time. */
void vault_sweep(struct vault *vault, struct gw_loop *loop, int64_t now, vault_sweep_fn *done,
                 void *ctx);

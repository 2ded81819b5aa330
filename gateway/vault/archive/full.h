#pragma once
/* Full backups and their restore, as jobs of the transfers (export.h): one job of any kind at a
 * time.
 *
 * A backup is an archive of everything that the vault holds at one moment, made in the spool and
 * then put at its place as FOLDER/archive.kwar; FOLDER/manifest.json, which says what is in it,
 * comes last: a folder without one is no backup. A restore fetches both, reads the archive through
 * to its last byte, holds the manifest against what it has read byte by byte, and only then stores
 * it out of reach and exchanges it for what the vault has, in one transaction. */

#include "gateway/backup/place.h"
#include "gateway/vault/archive/export.h"

#define VAULT_FULL_AGE_S 1800 /* a restore needs a backup of its target that is not older */

/** What a job is asked for. */
struct vault_full_terms {
    char uri[BACKUP_URI_MAX + 1];       /* empty: a pre-check without a place */
    char token[BACKUP_TOKEN_MAX + 1];   /* may be empty */
    char folder[BACKUP_FOLDER_MAX + 1]; /* of the backup; a backup without one makes its own */
    char key[STORE_NAME_MAX + 1];       /* VAULT_RESTORE_KEY */
    bool scheduled;                     /* by the gateway itself: gives way to what is asked for */
};

/** Before the first job, and when they change; every one that was given is borrowed for the life of
 *  the transfers. */
void vault_full_rules(struct vault_transfers *transfers, const struct backup_rules *rules);
const struct backup_rules *vault_full_rules_now(struct vault_transfers *transfers);

/** Begins a job of a kind from VAULT_BACKUP on; `terms` is copied. KW_E_CONFLICT while another job
 *  runs. KW_E_INPUT, KW_E_FORBIDDEN, KW_E_IO with a sentence in `why` (BACKUP_ERROR bytes): the
 *  place is not usable, or a restore comes without a recent backup of its target. Does file I/O and
 *  asks the store: not on an event loop. */
KW_MUST_CHECK kw_status vault_full_start(struct vault_transfers *transfers, struct gw_loop *loop,
                                         const char *vault_name, enum vault_transfer_kind kind,
                                         const struct vault_full_terms *terms,
                                         struct vault_transfer_info *info, char *why);

/** Is it the name of a folder that was made for a backup of that vault, asked for or scheduled? */
bool vault_full_is_of(const char *folder, const char *vault_name);

/** When the last backup of the vault was made (wall seconds) and where. KW_E_NOT_FOUND: never.
 *  Asks the store: not on an event loop. */
KW_MUST_CHECK kw_status vault_full_last(struct vault_transfers *transfers, const char *vault_name,
                                        int64_t *at);

#pragma once
/* One scheduled backup of one vault: named and noted, written, read back and verified, and what it
 * makes superfluous removed. On the schedule's thread. */

#include <stdatomic.h>

#include "gateway/backup/runs.h"
#include "gateway/config/config.h"

struct gw_app;

struct gw_backup_vault {
    char name[STORE_VAULT_MAX + 1];
    struct backup_kept kept;
    unsigned failures;
    int64_t next_at; /* wall seconds */
};

/** What the store says of the vault's backups. KW_E_UNAVAILABLE, KW_E_IO: not now. */
KW_MUST_CHECK kw_status gw_backup_vault_load(struct gw_app *app, struct gw_backup_vault *vault);
/** The place is `to` from now on: backups at another one, or of another security domain, are left
 *  there and no longer looked after. */
void gw_backup_vault_place(struct gw_app *app, struct gw_backup_vault *vault, const char *to);

/** KW_E_CONFLICT: another job runs, or came in between; everything else is a failure, `why`
 *  (BACKUP_ERROR bytes) says of what. */
KW_MUST_CHECK kw_status gw_backup_one(struct gw_app *app, const atomic_bool *ending,
                                      struct gw_backup_vault *vault,
                                      const struct gw_backup_config *terms, char *why);

#pragma once
/* The backup section: where full backups may lie, and the schedule of the gateway's own. */

#include "gateway/config/config.h"
#include "gateway/config/document.h"

#define GW_BACKUP_EVERY_MIN     5 /* seconds */
#define GW_BACKUP_KEEP_MAX      1000
#define GW_BACKUP_KEEP_DAYS_MAX 3650

/** Fills `out`; problems are added to `doc`. `raw` may be NULL. KW_E_NOMEM is the only failure. */
KW_MUST_CHECK kw_status gw_config_backup(struct gw_document *doc, const char *base,
                                         const struct raw_backup *raw,
                                         struct gw_backup_config *out);
void gw_config_backup_fini(struct gw_backup_config *backup);

/** A copy with memory of its own. */
KW_MUST_CHECK kw_status gw_config_backup_copy(struct gw_backup_config *out,
                                              const struct gw_backup_config *from);
bool gw_config_backup_equal(const struct gw_backup_config *a, const struct gw_backup_config *b);

/** The address "file:///PATH" of a folder; malloc'd. */
char *gw_folder_address(const char *path);

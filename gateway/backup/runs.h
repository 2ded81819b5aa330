#pragma once
/* What is known of the backups of each vault: told by the jobs and by the schedule, shown in the
 * log, the metrics and the status. Any thread. */

#include <jansson.h>

#include "gateway/backup/kept.h"
#include "gateway/obs/text.h"
#include "gateway/vault/archive/export.h"

struct gw_backup_runs;

/** NULL when memory is short. `store` is borrowed: when the last backup of a vault was made is in
 *  its settings. */
struct gw_backup_runs *gw_backup_runs_create(struct store *store);
/** NULL is allowed. */
void gw_backup_runs_destroy(struct gw_backup_runs *runs);

/** vault_transfers_watch: logs begin and end of each job, and notes a backup that was asked for.
 *  The schedule's own are noted by it once they are verified. */
void gw_backup_runs_watch(void *ctx, const struct vault_transfer_info *info);

/** One vault as the schedule has it. */
struct gw_backup_plan {
    int64_t every_s; /* 0: no schedule */
    int64_t next_at; /* wall seconds */
    size_t kept;
};

/** What is known from the runs before this start. Asks the store: not on a loop. `kept` may be
 * NULL. */
void gw_backup_runs_load(struct gw_backup_runs *runs, const char *vault,
                         const struct backup_kept *kept);
void gw_backup_runs_plan(struct gw_backup_runs *runs, const char *vault,
                         const struct gw_backup_plan *plan);
/** A scheduled backup was written and verified: `info` is of the job that wrote it, `ms` what both
 *  took. */
void gw_backup_runs_good(struct gw_backup_runs *runs, const struct vault_transfer_info *info,
                         int64_t ms);
/** A scheduled one failed; `retry_s`: when it is tried again. */
void gw_backup_runs_failed(struct gw_backup_runs *runs, const char *vault, const char *why,
                           int64_t retry_s);

/** gw_metrics_part */
void gw_backup_runs_metrics(struct gw_text *text, void *runs);
/** A list, one object for each vault; NULL when memory is short. */
json_t *gw_backup_runs_json(struct gw_backup_runs *runs);

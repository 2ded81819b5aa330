#pragma once
/* Backups that the gateway makes by itself (backup.to of the configuration): of each vault in turn,
 * one at a time, read back and verified, the oldest removed. A thread of its own: it waits for
 * places, jobs and the store. What it has put at its place is in the store (backup/kept.h), so a
 * restart forgets nothing; a run that was missed is made up soon after the start. A place that
 * fails is tried again after 30 s, then twice as long each time, at most an hour or the interval.
 */

#include "gateway/config/config.h"

struct gw_app;
struct gw_backup_schedule;

/** Starts the thread. The app's store, vaults, transfers and runs are used until the stop. */
KW_MUST_CHECK kw_status gw_backup_schedule_start(struct gw_backup_schedule **out,
                                                 struct gw_app *app);
/** Waits for what is under way to give up; the app is draining by then. NULL is allowed. */
void gw_backup_schedule_stop(struct gw_backup_schedule *schedule);

/** New terms, copied; taken over before the next backup. Any thread. */
KW_MUST_CHECK kw_status gw_backup_schedule_set(struct gw_backup_schedule *schedule,
                                               const struct gw_backup_config *terms);

/* The gateway's part in backups: exports and imports of vaults as jobs, the terms they run on. */

#include <stdio.h>
#include <stdlib.h>

#include "gateway/app.h"
#include "gateway/backup/runs.h"
#include "gateway/backup/schedule.h"
#include "gateway/config/backup.h"
#include "gateway/config/durable.h"

static kw_status keep_terms(struct gw_app *app, const struct gw_backup_config *terms)
{
    struct gw_kept_backups *kept = calloc(1, sizeof *kept);
    if (!kept || gw_config_backup_copy(&kept->config, terms) != KW_OK) {
        free(kept);
        return KW_E_NOMEM;
    }
    kept->rules =
        (struct backup_rules){.folders = kept->config.folders,
                              .folder_count = kept->config.folder_count,
                              .ca = kept->config.ca ? kept->config.ca : getenv("SSL_CERT_FILE")};
    kept->before = app->backups;
    app->backups = kept;
    vault_full_rules(app->transfers, &kept->rules);
    return KW_OK;
}

kw_status gw_app_backups_build(struct gw_app *app, char *error, size_t error_len)
{
    static const struct vault_pace pace = {.percent = 5, .bytes_per_second = 8u << 20};
    char dir[3072];
    snprintf(dir, sizeof dir, "%s/transfers", app->config->data);
    kw_status status =
        vault_transfers_create(&app->transfers, app->vault, dir, &pace, &app->draining);
    if (status != KW_OK)
        snprintf(error, error_len, "%s cannot be made and read (%s)", dir, kw_status_name(status));
    if (status == KW_OK && app->config->dev)
        status = gw_make_folder(app->config->backup.folders[0], error, error_len);
    if (status != KW_OK)
        return status;
    app->backup_runs = gw_backup_runs_create(app->store);
    status = app->backup_runs ? keep_terms(app, &app->config->backup) : KW_E_NOMEM;
    if (status != KW_OK)
        snprintf(error, error_len, "out of memory");
    else
        vault_transfers_watch(app->transfers, gw_backup_runs_watch, app->backup_runs);
    return status;
}

kw_status gw_app_backups_set(struct gw_app *app, const struct gw_backup_config *terms)
{
    if (gw_config_backup_equal(&app->backups->config, terms))
        return KW_OK;
    KW_TRY(keep_terms(app, terms));
    return gw_backup_schedule_set(app->backup_schedule, terms);
}

void gw_app_backups_free(struct gw_app *app)
{
    while (app->backups) {
        struct gw_kept_backups *kept = app->backups;
        app->backups = kept->before;
        gw_config_backup_fini(&kept->config);
        free(kept);
    }
    gw_backup_runs_destroy(app->backup_runs);
}

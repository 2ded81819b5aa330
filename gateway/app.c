/* Builds the gateway in order and tears it down in reverse. */

#include "gateway/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/api/aside.h"
#include "gateway/auth/rate.h"
#include "gateway/backup/runs.h"
#include "gateway/backup/schedule.h"
#include "gateway/config/dev_files.h"
#include "gateway/config/durable.h"
#include "gateway/domain/domain.h"
#include "gateway/domain/recovery.h"
#include "gateway/http/http.h"
#include "gateway/obs/certificates.h"
#include "gateway/obs/log.h"
#include "gateway/vault/lifecycle.h"

static unsigned choose_loops(const struct gw_config *config)
{
    if (config->loops > 0)
        return config->loops < GW_MAX_LOOPS ? config->loops : GW_MAX_LOOPS;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned)cpus;
}

static kw_status build_pool(struct gw_app *app, char *error, size_t error_len)
{
    const struct gw_config *config = app->config;
    struct pool_config pool = {.members = config->members,
                               /* members get a domain's key with their login */
                               .member_count = app->awaiting ? 0 : config->member_count,
                               .workers = config->workers,
                               .queue_max = config->queue_max,
                               .hedge = config->hedge,
                               .min_copies = config->min_copies,
                               .soft_deadline_ns = config->soft_deadline_ns,
                               .hard_deadline_ns = config->hard_deadline_ns,
                               .recovery_retries = config->recovery_retries,
                               .recovery_interval_ns = config->recovery_interval_ns,
                               .state_dir = config->data,
                               .observer = {.event = gw_log_pool_event, .ctx = NULL}};
    kw_status status = pool_create(&app->pool, &pool, app->domain);
    if (status != KW_OK)
        snprintf(error, error_len, "the group of members cannot be started (%s)",
                 kw_status_name(status));
    return status;
}

static kw_status add_dev_token(struct gw_app *app, char *error, size_t error_len)
{
    char token[GW_DEV_TOKEN_MAX];
    kw_status status = gw_dev_token(app->config->data, token, error, error_len);
    if (status == KW_OK) {
        status = gw_auth_add(app->auth, "dev", kw_span_str(token));
        if (status != KW_OK)
            snprintf(error, error_len, "%s/token: not usable as a token", app->config->data);
    }
    kw_wipe(token, sizeof token);
    return status;
}

static kw_status build_dev_files(struct gw_app *app, char *error, size_t error_len)
{
    bool renewed = false;
    KW_TRY(gw_dev_tls(app->config->data, &renewed, error, error_len));
    if (renewed)
        gw_log(GW_LOG_WARN,
               "the development certificate had expired; ca.pem and tls.pem are new, clients need "
               "the new ca.pem",
               "data", app->config->data, NULL);
    return KW_OK;
}

static kw_status build_auth(struct gw_app *app, char *error, size_t error_len)
{
    const char *tokens = app->config->tokens_file;
    /* --dev has an empty file from the start, so that a token made later is taken in by SIGHUP */
    if (app->config->dev && access(tokens, F_OK) != 0)
        KW_TRY(gw_write_durable(tokens, kw_span_str("{\"tokens\":[]}\n"), 0600, error, error_len));
    KW_TRY(gw_auth_create(&app->auth, tokens, error, error_len));
    return app->config->dev ? add_dev_token(app, error, error_len) : KW_OK;
}

static kw_status build_loops(struct gw_app *app, char *error, size_t error_len)
{
    KW_TRY(gw_listeners_create(&app->listeners, app, error, error_len));
    for (unsigned i = 0; i < app->loop_count; i++) {
        app->loops[i] = gw_loop_create(app, i);
        kw_status status =
            app->loops[i] ? gw_listeners_attach(app->listeners, app->loops[i]) : KW_E_NOMEM;
        if (status != KW_OK) {
            snprintf(error, error_len, "an event loop cannot be made (%s)", kw_status_name(status));
            return status;
        }
    }
    return KW_OK;
}

static kw_status build_domain(struct gw_app *app, char *error, size_t error_len)
{
    const struct gw_config *config = app->config;
    kw_status status = gw_domain_open(&app->domain, app->store, config,
                                      config->dev && !config->await_domain, error, error_len);
    if (status != KW_E_NOT_FOUND || !config->await_domain)
        return status;
    app->awaiting = true;
    gw_domain_lost(app->lost_domain, app->store);
    gw_log(GW_LOG_WARN, "no security domain yet: only activation and recovery are answered", "data",
           config->data, NULL);
    error[0] = '\0';
    return kc_domain_create(&app->domain);
}

static kw_status build(struct gw_app *app, char *error, size_t error_len)
{
    struct gw_config *config = app->config;
    kw_status status = kc_lanes_init();
    if (status != KW_OK) {
        snprintf(error, error_len, "the crypto core failed its self-test");
        return status;
    }
    /* first: it takes the lock of the data directory */
    KW_TRY(store_open_sqlite(&app->store, config->data, error, error_len));
    KW_TRY(build_domain(app, error, error_len));
    if (config->dev)
        KW_TRY(build_dev_files(app, error, error_len));
    KW_TRY(build_pool(app, error, error_len));
    status = vault_create(&app->vault, app->store, app->pool, app->domain);
    if (status != KW_OK) {
        snprintf(error, error_len, "the key cache cannot be made (%s)", kw_status_name(status));
        return status;
    }
    app->sites = gw_sites_create(config, app->vault);
    if (!app->sites) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    KW_TRY(gw_app_backups_build(app, error, error_len));
    KW_TRY(build_auth(app, error, error_len));
    app->rate = gw_rate_create(config->limits.rate);
    if (!app->rate) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    app->loop_count = choose_loops(config);
    app->metrics = gw_metrics_create(app->loop_count);
    if (!app->metrics) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    gw_metrics_part(app->metrics, gw_backup_runs_metrics, app->backup_runs);
    KW_TRY(build_loops(app, error, error_len));
    gw_certificates_note(app->metrics, config);
    return KW_OK;
}

kw_status gw_app_create(struct gw_app **out, struct gw_config *config, char *error,
                        size_t error_len)
{
    struct gw_app *app = calloc(1, sizeof *app);
    *out = NULL;
    error[0] = '\0';
    if (!app) {
        gw_config_free(config);
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    app->config = config;
    app->started_wall_s = kw_wall_s();
    kw_status status = build(app, error, error_len);
    if (status == KW_OK) {
        *out = app;
        return KW_OK;
    }
    if (error[0] == '\0')
        snprintf(error, error_len, "the gateway cannot be built (%s)", kw_status_name(status));
    gw_app_destroy(app);
    return status;
}

kw_status gw_app_start(struct gw_app *app, char *error, size_t error_len)
{
    for (unsigned i = 0; i < app->loop_count; i++) {
        atomic_store(&app->beats[i].answered_ns, kw_now_ns());
        kw_status status = gw_loop_start(app->loops[i]);
        if (status != KW_OK) {
            snprintf(error, error_len, "an event loop cannot be started (%s)",
                     kw_status_name(status));
            return status;
        }
        app->loops_started++;
    }
    gw_app_load_roles(app);
    gw_app_changes_begin(app);
    gw_recovery_begin(app);
    kw_status status = gw_backup_schedule_start(&app->backup_schedule, app);
    if (status != KW_OK)
        snprintf(error, error_len, "the schedule of backups cannot be started (%s)",
                 kw_status_name(status));
    return status;
}

static void end_loops(struct gw_app *app)
{
    /* asked to end already when gw_app_run returned; else (a failed start) at once */
    for (unsigned i = 0; i < app->loops_started; i++) {
        if (!atomic_load(&app->draining))
            gw_loop_drain(app->loops[i], 0);
    }
    for (unsigned i = 0; i < app->loops_started; i++)
        gw_loop_join(app->loops[i]);
}

void gw_app_destroy(struct gw_app *app)
{
    if (!app)
        return;
    gw_app_changes_end(app);
    gw_recovery_end(app);
    end_loops(app);
    gw_aside_settle(app);
    gw_backup_schedule_stop(app->backup_schedule);
    vault_transfers_stop(app->transfers);
    /* the store's thread may still hold pointers to loops: it ends before they go */
    if (app->store)
        store_close(app->store);
    if (app->listeners)
        gw_listeners_destroy(app->listeners);
    for (unsigned i = 0; i < app->loop_count; i++)
        gw_loop_destroy(app->loops[i]);
    gw_rate_destroy(app->rate);
    gw_auth_destroy(app->auth);
    vault_transfers_destroy(app->transfers);
    gw_app_backups_free(app);
    gw_sites_destroy(app->sites);
    if (app->vault)
        vault_destroy(app->vault);
    pool_destroy(app->pool);
    gw_metrics_destroy(app->metrics);
    kc_domain_destroy(app->domain);
    while (app->kept_limits) {
        struct gw_kept_limits *kept = app->kept_limits;
        app->kept_limits = kept->before;
        free(kept);
    }
    gw_config_free(app->config);
    free(app);
}

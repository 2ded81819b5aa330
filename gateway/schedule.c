#include "gateway/schedule.h"

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/net/loop.h"
#include "gateway/obs/log.h"
#include "gateway/vault/certificates/certificates.h"
#include "gateway/vault/keys/rotation.h"
#include "gateway/vault/lifecycle.h"

#define EVERY KW_S(30)
#define FIRST KW_S(2)

static void part_done(struct gw_schedule *schedule, kw_status status, const char *what)
{
    /* a store that is read-only says so itself, once */
    if (status != KW_OK && status != KW_E_UNAVAILABLE)
        gw_log(GW_LOG_WARN, what, "status", kw_status_name(status), NULL);
    if (--schedule->parts > 0)
        return;
    gw_loop_unhold(schedule->app->loops[0]);
    atomic_store(&schedule->posted, false);
}

static void on_swept(void *ctx, kw_status status, unsigned purged)
{
    if (purged > 0)
        gw_log_n(GW_LOG_INFO, "retention: deleted objects were purged, their time is over",
                 "purged", purged, NULL);
    part_done(ctx, status, "retention: the purge of deleted objects ended early");
}

static void on_rotated(void *ctx, kw_status status, unsigned rotated)
{
    (void)rotated;
    part_done(ctx, status, "rotation: the run ended early");
}

static void on_certificates(void *ctx, kw_status status, unsigned renewed)
{
    if (renewed > 0)
        gw_log_n(GW_LOG_INFO, "certificates: renewals were begun", "renewals", renewed, NULL);
    part_done(ctx, status, "certificates: the run ended early");
}

/** On the first loop, which stays until everything is back. */
static void run(void *arg)
{
    struct gw_app *app = arg;
    struct gw_schedule *schedule = &app->schedule;
    struct gw_loop *loop = app->loops[0];
    int64_t now = kw_wall_s();
    if (gw_loop_draining(loop)) {
        atomic_store(&schedule->posted, false);
        return;
    }
    gw_loop_hold(loop);
    schedule->app = app;
    schedule->parts = 3;
    vault_sweep(app->vault, loop, now, on_swept, schedule);
    vault_rotation_run(app->vault, loop, now, on_rotated, schedule);
    vault_cert_due(app->vault, loop, now, on_certificates, schedule);
}

void gw_schedule_tick(struct gw_app *app)
{
    struct gw_schedule *schedule = &app->schedule;
    int64_t now = kw_now_ns();
    if (app->awaiting || atomic_load(&app->closed))
        return; /* nothing of the store could be opened, or may be changed */
    if (schedule->next_ns == 0)
        schedule->next_ns = now + FIRST;
    if (now < schedule->next_ns || atomic_exchange(&schedule->posted, true))
        return;
    schedule->next_ns = now + EVERY;
    if (gw_loop_post(app->loops[0], run, app) != KW_OK)
        atomic_store(&schedule->posted, false);
}

/* The main thread while the gateway serves: signals, the watchdog, reload and drain. */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/http/http.h"
#include "gateway/obs/log.h"
#include "gateway/process.h"

#define BEAT_MAX_AGE   KW_S(5)
#define TRANSFER_STEPS 150 /* of 20 ms; it rests 2 s at most */

/* --- beats --- */

static void answer(void *arg)
{
    struct gw_beat *beat = arg;
    atomic_store(&beat->answered_ns, kw_now_ns());
    atomic_store(&beat->pending, false);
}

static void ask_loops(struct gw_app *app)
{
    for (unsigned i = 0; i < app->loop_count; i++) {
        /* one question at a time: a loop that hangs gathers no more of them */
        if (!atomic_exchange(&app->beats[i].pending, true) &&
            gw_loop_post(app->loops[i], answer, &app->beats[i]) != KW_OK)
            atomic_store(&app->beats[i].pending, false);
    }
}

bool gw_app_loops_alive(const struct gw_app *app)
{
    int64_t oldest = kw_now_ns() - BEAT_MAX_AGE;
    for (unsigned i = 0; i < app->loop_count; i++) {
        if (atomic_load(&app->beats[i].answered_ns) < oldest)
            return false;
    }
    return true;
}

/* --- the main thread --- */

/* A backup or an export ends at its next step once the gateway drains; while its loop still turns,
 * it gives back what it has open in the store. */
static void end_transfer(struct gw_app *app)
{
    const struct timespec step = {.tv_nsec = 20000000};
    for (unsigned i = 0; i < TRANSFER_STEPS && vault_transfers_busy(app->transfers); i++)
        nanosleep(&step, NULL);
}

static void drain(struct gw_app *app)
{
    if (atomic_load(&app->restart))
        gw_notify_reloading();
    else
        gw_notify("STOPPING=1");
    gw_log_n(GW_LOG_INFO, "draining", "grace_ms", gw_app_limits(app)->drain_ms, NULL);
    atomic_store(&app->draining, true);
    end_transfer(app);
    for (unsigned i = 0; i < app->loop_count; i++)
        gw_loop_drain(app->loops[i], gw_app_limits(app)->drain_ms);
    /* whoever asks a second time wants it now */
    sigset_t again;
    sigemptyset(&again);
    sigaddset(&again, SIGTERM);
    sigaddset(&again, SIGINT);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &again, NULL);
    for (unsigned i = 0; i < app->loop_count; i++)
        gw_loop_join(app->loops[i]);
}

void gw_app_restart(struct gw_app *app)
{
    atomic_store(&app->restart, true);
    kill(getpid(), SIGHUP); /* wakes the main thread */
}

void gw_app_run(struct gw_app *app)
{
    uint64_t watchdog_us = 0;
    bool watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
    /* twice a second when watched: half of the shortest interval that makes sense */
    const struct timespec tick = {.tv_sec = watched ? 0 : 1, .tv_nsec = watched ? 500000000 : 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    for (;;) {
        int sig = sigtimedwait(&set, NULL, &tick);
        if (sig == SIGTERM || sig == SIGINT || atomic_load(&app->restart))
            break;
        if (sig == SIGHUP) {
            gw_notify_reloading();
            gw_app_reload(app);
            gw_notify("READY=1");
        }
        ask_loops(app);
        gw_schedule_tick(app);
        if (watched && gw_app_loops_alive(app))
            gw_notify("WATCHDOG=1");
    }
    drain(app);
}

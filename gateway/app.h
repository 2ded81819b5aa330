#pragma once
/* The composition root: every long-lived object, built and torn down in order by gateway/app.c.
 * Handlers reach the parts from their loop: gw_loop_app(req->loop). */

#include <stdatomic.h>

#include "gateway/api/site.h"
#include "gateway/auth/auth.h"
#include "gateway/config/config.h"
#include "gateway/obs/metrics.h"
#include "gateway/store/store.h"
#include "gateway/vault/keys.h"
#include "pool/pool.h"

#define GW_MAX_LOOPS 16

/** When a loop last turned: the main thread posts a call once a second, the loop answers. */
struct gw_beat {
    _Atomic int64_t answered_ns;
    atomic_bool pending;
};

struct gw_app {
    struct gw_config *config;
    struct kc_domain *domain;
    struct store *store;
    struct pool *pool;
    struct vault *vault;
    struct gw_site site; /* the default vault */
    struct gw_auth *auth;
    struct gw_rate *rate; /* NULL: no limit */
    struct gw_metrics *metrics;
    struct gw_listener_set *listeners;
    struct gw_loop *loops[GW_MAX_LOOPS];
    unsigned loop_count;
    unsigned loops_started;
    int64_t started_wall_s;
    atomic_bool draining; /* readiness goes down first */
    struct gw_beat beats[GW_MAX_LOOPS];
};

/** Builds everything in order. On failure `error` has a sentence and nothing is left behind. Takes
 *  over `config` in both cases. Main thread, before any other thread exists. */
KW_MUST_CHECK kw_status gw_app_create(struct gw_app **out, struct gw_config *config, char *error,
                                      size_t error_len);
/** Starts the loops: requests are served from here on. */
KW_MUST_CHECK kw_status gw_app_start(struct gw_app *app, char *error, size_t error_len);
/** Takes signals until SIGTERM or SIGINT, then drains. Main thread. */
void gw_app_run(struct gw_app *app);
/** Certificates and tokens again; what could not be read stays as it was and is logged. */
void gw_app_reload(struct gw_app *app);
/** Tears down in reverse order. NULL is allowed. */
void gw_app_destroy(struct gw_app *app);

/** Do all loops turn? False when one has not answered for 5 s. Any thread. */
bool gw_app_loops_alive(const struct gw_app *app);

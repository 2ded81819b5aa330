#pragma once
/* The composition root: every long-lived object, built and torn down in order by gateway/app.c.
 * Handlers reach the parts from their loop: gw_loop_app(req->loop). */

#include <stdatomic.h>

#include "gateway/api/sites.h"
#include "gateway/auth/auth.h"
#include "gateway/config/config.h"
#include "gateway/obs/metrics.h"
#include "gateway/schedule.h"
#include "gateway/store/store.h"
#include "gateway/vault/archive/export.h"
#include "gateway/vault/archive/full.h"
#include "gateway/vault/keys/keys.h"
#include "pool/pool.h"

#define GW_MAX_LOOPS 16

/** When a loop last turned: the main thread posts a call once a second, the loop answers. */
struct gw_beat {
    _Atomic int64_t answered_ns;
    atomic_bool pending;
};

/** What came of the last SIGHUP. */
struct gw_reload_state {
    int64_t at_s;      /* seconds since 1970; 0: none yet */
    char restart[512]; /* parts that changed in the file and need a restart: "listeners, loops" */
    char error[1024];  /* why something stayed as it was; empty: nothing did */
};

/** Limits that a reload brought; kept to the end because loops read them at any time. */
struct gw_kept_limits {
    struct gw_kept_limits *before;
    struct gw_limits limits;
};

/** Terms of backups that were read; kept to the end because a job may still use them. */
struct gw_kept_backups {
    struct gw_kept_backups *before;
    struct gw_backup_config config;
    struct backup_rules rules;
};

struct gw_app {
    struct gw_config *config;
    struct kc_domain *domain;
    struct store *store;
    struct pool *pool;
    struct vault *vault;
    struct vault_transfers *transfers; /* exports, imports, backups */
    struct gw_backup_runs *backup_runs;
    struct gw_backup_schedule *backup_schedule;
    struct gw_kept_backups *backups; /* the newest terms first: gw_app_backups_set */
    struct gw_sites *sites;
    struct gw_auth *auth;
    struct gw_rate *rate;
    _Atomic(const struct gw_limits *) limits_now; /* gw_app_limits; NULL: those of `config` */
    struct gw_kept_limits *kept_limits;
    struct gw_reload_state reload; /* gw_app_reload_state */
    struct gw_metrics *metrics;
    struct gw_listener_set *listeners;
    struct gw_loop *loops[GW_MAX_LOOPS];
    unsigned loop_count;
    unsigned loops_started;
    int64_t started_wall_s;
    atomic_bool draining; /* readiness goes down first */
    bool awaiting;        /* no security domain yet: `domain` is a random one that nothing uses */
    char lost_domain[2 * KC_DOMAIN_CHECK_LEN + 1]; /* awaiting: the store's, whose key is missing */
    atomic_bool closed;  /* another security domain takes its place: nothing is read or written */
    atomic_bool restart; /* gw_app_restart */
    struct gw_beat beats[GW_MAX_LOOPS];
    struct gw_schedule schedule;
};

/** Builds everything in order. On failure `error` has a sentence and nothing is left behind. Takes
 *  over `config` in both cases. Main thread, before any other thread exists. */
KW_MUST_CHECK kw_status gw_app_create(struct gw_app **out, struct gw_config *config, char *error,
                                      size_t error_len);
/** Starts the loops: requests are served from here on. */
KW_MUST_CHECK kw_status gw_app_start(struct gw_app *app, char *error, size_t error_len);
/** Reads the roles of all vaults that are known: what cannot be read is logged, and asked for again
 *  by the requests that need it. Once the loops run; waits for the store. Main thread. */
void gw_app_load_roles(struct gw_app *app);
/** Takes signals until SIGTERM or SIGINT, then drains. Main thread. */
void gw_app_run(struct gw_app *app);
/** The configuration file, certificates and tokens again. What may change while requests are served
 *  is applied, what needs a restart is named in the log and the status; a file that is not valid
 * changes nothing. Main thread. */
void gw_app_reload(struct gw_app *app);
/** Has gw_app_run end as by SIGTERM; the caller of it then starts the program anew. Any thread. */
void gw_app_restart(struct gw_app *app);
/** Any thread. */
void gw_app_reload_state(struct gw_app *app, struct gw_reload_state *out);

enum gw_member_change { GW_MEMBER_ADD, GW_MEMBER_REMOVE, GW_MEMBER_REMOVE_FORCED };
/** Brings the running group to what the configuration file says of this one member. HTTP status,
 *  202 when it is under way; `text` says what, or why not. Blocks for some milliseconds; not on a
 *  loop. */
int gw_app_change_member(struct gw_app *app, const char *name, enum gw_member_change change,
                         char *text, size_t len);
/** From begin to end members may be changed by operators. */
void gw_app_changes_begin(struct gw_app *app);
void gw_app_changes_end(struct gw_app *app);

/** The limits as they are now. Any thread. */
static inline const struct gw_limits *gw_app_limits(struct gw_app *app)
{
    const struct gw_limits *now = atomic_load_explicit(&app->limits_now, memory_order_acquire);
    return now ? now : &app->config->limits;
}

/** Builds what backups need but for the schedule, which starts with the loops. */
KW_MUST_CHECK kw_status gw_app_backups_build(struct gw_app *app, char *error, size_t error_len);
/** Takes over the terms of a configuration. Main thread. */
KW_MUST_CHECK kw_status gw_app_backups_set(struct gw_app *app,
                                           const struct gw_backup_config *terms);
/** After the transfers' end. */
void gw_app_backups_free(struct gw_app *app);

/** Tears down in reverse order. NULL is allowed. */
void gw_app_destroy(struct gw_app *app);

/** Do all loops turn? False when one has not answered for 5 s. Any thread. */
bool gw_app_loops_alive(const struct gw_app *app);

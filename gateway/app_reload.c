/* What changes while the gateway serves: SIGHUP reads the configuration, certificates and tokens
 * again, and an operator joins or removes a member. The file is the one truth: both do no more than
 * bring the running group to what is written there, so that a restart gives the same. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "gateway/api/sites.h"
#include "gateway/app.h"
#include "gateway/auth/rate.h"
#include "gateway/config/compare.h"
#include "gateway/http/http.h"
#include "gateway/obs/certificates.h"
#include "gateway/obs/log.h"

/* One change at a time, and none once the gateway is being torn down: operators' words run on a
 * thread of their own. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gw_app *serving;

/* Guards app->reload, which is read for each status. */
static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;

void gw_app_changes_begin(struct gw_app *app)
{
    pthread_mutex_lock(&lock);
    serving = app;
    pthread_mutex_unlock(&lock);
}

void gw_app_changes_end(struct gw_app *app)
{
    pthread_mutex_lock(&lock);
    if (serving == app)
        serving = NULL;
    pthread_mutex_unlock(&lock);
}

void gw_app_reload_state(struct gw_app *app, struct gw_reload_state *out)
{
    pthread_mutex_lock(&state_lock);
    *out = app->reload;
    pthread_mutex_unlock(&state_lock);
}

static void keep_state(struct gw_app *app, const char *restart, const char *error)
{
    pthread_mutex_lock(&state_lock);
    app->reload.at_s = kw_wall_s();
    if (restart)
        snprintf(app->reload.restart, sizeof app->reload.restart, "%s", restart);
    snprintf(app->reload.error, sizeof app->reload.error, "%s", error);
    pthread_mutex_unlock(&state_lock);
}

/* --- what needs a restart --- */

struct names {
    char text[sizeof((struct gw_reload_state *)0)->restart];
};

static void name_add_part(struct names *names, const char *part, const char *which)
{
    size_t used = strlen(names->text), room = sizeof names->text - used;
    snprintf(names->text + used, room, "%s%s%s%s%s", used > 0 ? ", " : "", part, *which ? " (" : "",
             which, *which ? ")" : "");
}

static void name_add(struct names *names, const char *member)
{
    name_add_part(names, "group.members", member);
}

/* --- the group --- */

static struct pool_config settings_of(const struct gw_config *config)
{
    return (struct pool_config){.queue_max = config->queue_max,
                                .hedge = config->hedge,
                                .min_copies = config->min_copies,
                                .soft_deadline_ns = config->soft_deadline_ns,
                                .hard_deadline_ns = config->hard_deadline_ns,
                                .recovery_retries = config->recovery_retries,
                                .recovery_interval_ns = config->recovery_interval_ns};
}

static const char *word_of(enum pool_set what)
{
    static const char *const words[] = {"unchanged", "added", "changed",
                                        "changed; another one takes its place once it is up"};
    return words[what];
}

static void set_member(struct gw_app *app, const struct pool_member_config *member,
                       struct names *restart)
{
    enum pool_set what;
    kw_status status = pool_member_set(app->pool, member, &what);
    if (status == KW_E_UNSUPPORTED)
        name_add(restart, member->name);
    else if (status != KW_OK)
        gw_log(GW_LOG_ERROR, "a member could not take its settings; it stays as it was", "member",
               member->name, "reason",
               status == KW_E_BUSY ? "too many changes in half a minute: reload again later"
                                   : kw_status_name(status),
               NULL);
    else if (what != POOL_SET_SAME)
        gw_log(GW_LOG_INFO, "member configured", "member", member->name, "what", word_of(what),
               NULL);
}

static const struct pool_member_config *find(const struct gw_config *config, const char *name)
{
    for (size_t i = 0; i < config->member_count; i++) {
        if (strcmp(config->members[i].name, name) == 0)
            return &config->members[i];
    }
    return NULL;
}

static void remove_others(struct gw_app *app, const struct gw_config *fresh, struct names *restart)
{
    char(*names)[POOL_NAME_MAX + 1] = calloc(POOL_MAX_MEMBERS, sizeof *names);
    size_t count = names ? pool_member_names(app->pool, names) : 0;
    for (size_t i = 0; i < count; i++) {
        if (find(fresh, names[i]))
            continue;
        if (pool_member_remove(app->pool, names[i], POOL_REMOVE_WHEN_SAFE) == KW_OK)
            gw_log(GW_LOG_INFO, "member removed from the configuration; it drains and leaves",
                   "member", names[i], NULL);
        else
            name_add(restart, names[i]);
    }
    free(names);
}

static void apply_group(struct gw_app *app, const struct gw_config *fresh, struct names *restart)
{
    bool changed;
    const struct pool_config settings = settings_of(fresh);
    if (pool_settings_change(app->pool, &settings, &changed) != KW_OK)
        gw_log(GW_LOG_ERROR, "the group's settings stay as they were: out of memory", NULL);
    else if (changed)
        gw_log(GW_LOG_INFO, "the group has new settings", NULL);
    if ((fresh->member_count == 0) != (app->config->member_count == 0)) {
        /* with no member at all the core holds the keys of HSM type: no change for a running one */
        name_add(restart, "");
        return;
    }
    /* those that come first: one that leaves may be waiting for them */
    for (size_t i = 0; i < fresh->member_count; i++)
        set_member(app, &fresh->members[i], restart);
    remove_others(app, fresh, restart);
}

/* --- vaults --- */

/* gw_sites_note_fn */
static void note_vault(void *ctx, const char *name, enum gw_site_change change)
{
    struct names *restart = ctx;
    switch (change) {
    case GW_SITE_ADDED:
    case GW_SITE_CHANGED:
        gw_log(GW_LOG_INFO, "vault configured", "vault", name, "what",
               change == GW_SITE_ADDED ? "added" : "changed", NULL);
        break;
    case GW_SITE_LEFT:
        gw_log(GW_LOG_WARN,
               "a vault was taken out of the configuration; it is served as before until the next "
               "start, and what it holds stays in the store",
               "vault", name, NULL);
        name_add_part(restart, "vaults", name);
        break;
    case GW_SITE_SAME:
        break;
    }
}

static void apply_vaults(struct gw_app *app, const struct gw_config *fresh, struct names *restart)
{
    if (gw_sites_reload(app->sites, fresh, note_vault, restart) != KW_OK) {
        gw_log(GW_LOG_ERROR, "the vaults stay as they were: out of memory, or too many of them",
               NULL);
        name_add_part(restart, "vaults", "");
        return;
    }
    for (size_t i = 0; i < fresh->vault_count; i++) {
        if (gw_config_vault_members_changed(app->config, &fresh->vaults[i]))
            name_add_part(restart, "vaults.members", fresh->vaults[i].name);
    }
}

/* --- limits and tokens --- */

static void apply_limits(struct gw_app *app, const struct gw_config *fresh)
{
    const struct gw_limits *running = gw_app_limits(app);
    if (gw_limits_equal(running, &fresh->limits))
        return;
    struct gw_kept_limits *kept = malloc(sizeof *kept);
    if (!kept || gw_listeners_limits(app->listeners, &fresh->limits) != KW_OK) {
        free(kept);
        gw_log(GW_LOG_ERROR, "the limits stay as they were: out of memory", NULL);
        return;
    }
    kept->limits = fresh->limits;
    kept->before = app->kept_limits; /* loops may still read it: kept to the end */
    app->kept_limits = kept;
    atomic_store(&app->limits_now, &kept->limits);
    gw_rate_set(app->rate, fresh->limits.rate);
    gw_log(GW_LOG_INFO, "new limits", NULL);
}

static bool reload_tokens(struct gw_app *app, const struct gw_config *fresh)
{
    char error[1024];
    kw_status status = fresh
                           ? gw_auth_reload_from(app->auth, fresh->tokens_file, error, sizeof error)
                           : gw_auth_reload(app->auth, error, sizeof error);
    if (status != KW_OK)
        gw_log(GW_LOG_ERROR, "tokens were not reloaded; the old ones stay", "error", error, NULL);
    return status == KW_OK;
}

static bool reload_certificates(struct gw_app *app)
{
    char error[1024];
    if (gw_listeners_reload(app->listeners, error, sizeof error) != KW_OK) {
        gw_log(GW_LOG_ERROR, "certificates were not reloaded; the old ones stay", "error", error,
               NULL);
        return false;
    }
    gw_certificates_note(app->metrics, app->config);
    return true;
}

/* --- SIGHUP --- */

/* NULL: --dev, or a file that is not valid: then nothing of it is applied. */
static struct gw_config *read_config(struct gw_app *app, char *error, size_t error_len)
{
    struct gw_config *fresh = NULL;
    error[0] = '\0';
    if (!app->config->path)
        return NULL;
    if (gw_config_load(&fresh, app->config->path, error, error_len) != KW_OK)
        gw_log(GW_LOG_ERROR, "the configuration on disk is not valid; the running one stays",
               "error", error, NULL);
    else
        gw_config_scopes(fresh, app->config); /* members of vaults count from the next start */
    return fresh;
}

static void reload(struct gw_app *app)
{
    char error[4096];
    struct names restart = {.text = ""};
    struct gw_config *fresh = read_config(app, error, sizeof error);
    if (fresh) {
        gw_config_changed(app->config, fresh, restart.text, sizeof restart.text);
        apply_vaults(app, fresh, &restart);
        apply_group(app, fresh, &restart);
        apply_limits(app, fresh);
        if (gw_app_backups_set(app, &fresh->backup) != KW_OK)
            gw_log(GW_LOG_ERROR, "the terms of backups stay as they were: out of memory", NULL);
    }
    bool certificates = reload_certificates(app);
    bool tokens = reload_tokens(app, fresh);
    if (restart.text[0])
        gw_log(GW_LOG_WARN, "the configuration changed in parts that need a restart", "parts",
               restart.text, NULL);
    if (!error[0] && !certificates)
        snprintf(error, sizeof error, "certificates were not reloaded; see the log");
    else if (!error[0] && !tokens)
        snprintf(error, sizeof error, "tokens were not reloaded; see the log");
    keep_state(app, fresh ? restart.text : NULL, error);
    gw_metrics_reload(app->metrics, !error[0], app->reload.restart[0] != '\0');
    gw_config_free(fresh);
    gw_log(GW_LOG_INFO, "reload done", NULL);
}

void gw_app_reload(struct gw_app *app)
{
    pthread_mutex_lock(&lock);
    reload(app);
    pthread_mutex_unlock(&lock);
}

/* --- one member --- */

static int load_for(struct gw_app *app, struct gw_config **fresh, char *text, size_t len)
{
    if (!app->config->path) {
        snprintf(text, len, "serve --dev has no configuration file, and no members");
        return 409;
    }
    if (gw_config_load(fresh, app->config->path, text, len) != KW_OK)
        return 409;
    gw_config_scopes(*fresh, app->config);
    return 0;
}

static int add(struct gw_app *app, const char *name, char *text, size_t len)
{
    struct gw_config *fresh = NULL;
    int http = load_for(app, &fresh, text, len);
    if (http)
        return http;
    const struct pool_member_config *member = find(fresh, name);
    enum pool_set what = POOL_SET_SAME;
    kw_status status = KW_E_NOT_FOUND;
    if (member)
        status = pool_member_set(app->pool, member, &what);
    if (!member)
        snprintf(text, len, "%s has no member \"%s\"; write it there first", app->config->path,
                 name);
    else if (status == KW_OK && what == POOL_SET_SAME)
        snprintf(text, len, "it is a member with these settings already");
    else if (status == KW_OK)
        snprintf(text, len, "%s", word_of(what));
    else if (status == KW_E_UNSUPPORTED)
        snprintf(text, len,
                 "this change needs a restart: a core member, or the first member of a "
                 "group of none");
    else if (status == KW_E_BUSY)
        snprintf(text, len, "too many changes in half a minute; try again later");
    else
        snprintf(text, len, "the member cannot be made (%s)", kw_status_name(status));
    gw_config_free(fresh);
    return !member ? 404 : status == KW_OK && what != POOL_SET_SAME ? 202 : 409;
}

static int drop(struct gw_app *app, const char *name, bool force, char *text, size_t len)
{
    struct gw_config *fresh = NULL;
    int http = load_for(app, &fresh, text, len);
    if (http)
        return http;
    bool listed = find(fresh, name) != NULL;
    gw_config_free(fresh);
    if (listed) {
        snprintf(text, len,
                 "%s still has it, and the next reload or start would bring it back: take it out "
                 "there first. Out of service for a while: keyward member drain %s",
                 app->config->path, name);
        return 409;
    }
    switch (pool_member_remove(app->pool, name, force ? POOL_REMOVE_FORCED : POOL_REMOVE_IF_SAFE)) {
    case KW_OK:
        snprintf(text, len, "it drains and leaves");
        return 202;
    case KW_E_NOT_FOUND:
        snprintf(text, len, "no member is called \"%s\"", name);
        return 404;
    case KW_E_FORBIDDEN:
        snprintf(
            text, len,
            "it is the last member that serves, or the last HSM: without it operations of HSM "
            "keys are refused, or no key can be made and keys that live on its token alone are "
            "out of service. With --force it leaves all the same");
        return 409;
    default:
        snprintf(text, len, "a core member leaves with a restart only");
        return 409;
    }
}

int gw_app_change_member(struct gw_app *app, const char *name, enum gw_member_change change,
                         char *text, size_t len)
{
    int http = 503;
    snprintf(text, len, "the gateway is ending");
    pthread_mutex_lock(&lock);
    if (serving == app)
        http = change == GW_MEMBER_ADD
                   ? add(app, name, text, len)
                   : drop(app, name, change == GW_MEMBER_REMOVE_FORCED, text, len);
    pthread_mutex_unlock(&lock);
    if (http == 202)
        gw_log(GW_LOG_INFO, "operator command", "member", name, "command",
               change == GW_MEMBER_ADD ? "add" : "remove", "outcome", text, NULL);
    return http;
}

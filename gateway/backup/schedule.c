#include "gateway/backup/schedule.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/backup/one.h"
#include "gateway/config/backup.h"
#include "gateway/obs/log.h"

#define LOOK_S      5  /* between looks at what is due while nothing is */
#define RETRY_S     30 /* after the first failure */
#define RETRY_MAX_S 3600
#define JITTER_S    300 /* most that a run is early */
#define BUSY_S      5   /* until the next look while another job runs */

struct gw_backup_schedule {
    struct gw_app *app;
    pthread_t thread;
    atomic_bool ending;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    struct gw_backup_config terms;
    unsigned generation; /* of the terms */
    /* the thread's own */
    struct gw_backup_config now;
    unsigned seen;
    struct gw_backup_vault *vaults; /* in the order of the sites */
    size_t count;
};

/* --- when --- */

/** 0 to `below` - 1; evenly enough for a jitter. */
static int64_t draw(int64_t below)
{
    uint32_t number = 0;
    if (below <= 1 || kw_random(&number, sizeof number) != KW_OK)
        return 0;
    return (int64_t)(number % (uint64_t)below);
}

/* Early rather than late: a backup is never older than the interval and the time it takes. */
static int64_t jitter(int64_t every_s)
{
    return draw(every_s / 20 < JITTER_S ? every_s / 20 : JITTER_S);
}

/** What was missed waits some seconds, so that a start is not made harder by it. */
static int64_t first_s(int64_t every_s)
{
    return 2 + draw(every_s / 10 < 30 ? every_s / 10 : 30);
}

static int64_t retry_s(unsigned failures, int64_t every_s)
{
    int64_t wait = RETRY_S;
    for (unsigned i = 1; i < failures && wait < RETRY_MAX_S; i++)
        wait *= 2;
    wait = wait < RETRY_MAX_S ? wait : RETRY_MAX_S;
    wait += draw(wait / 5);
    return wait < every_s ? wait : every_s;
}

/** When the next one of the vault is due, seen from its newest good one. */
static int64_t due_at(const struct gw_backup_vault *vault, int64_t every_s, int64_t now)
{
    const struct backup_kept_entry *newest = backup_kept_newest(&vault->kept);
    /* a clock that was set back would put it off for as long */
    if (!newest || newest->at > now || newest->at + every_s <= now)
        return now + first_s(every_s);
    return newest->at + every_s - jitter(every_s);
}

static void show(struct gw_backup_schedule *s, const struct gw_backup_vault *vault)
{
    const struct gw_backup_plan plan = {.every_s = s->now.to ? s->now.every_s : 0,
                                        .next_at = s->now.to ? vault->next_at : 0,
                                        .kept = backup_kept_good(&vault->kept)};
    gw_backup_runs_plan(s->app->backup_runs, vault->name, &plan);
}

/* --- the vaults --- */

/** Takes in a vault that was not seen before. */
static kw_status add_vault(struct gw_backup_schedule *s, const char *name)
{
    struct gw_backup_vault *more = realloc(s->vaults, (s->count + 1) * sizeof *more);
    if (!more)
        return KW_E_NOMEM;
    s->vaults = more;
    struct gw_backup_vault *vault = &more[s->count];
    *vault = (struct gw_backup_vault){.failures = 0};
    snprintf(vault->name, sizeof vault->name, "%s", name);
    KW_TRY(gw_backup_vault_load(s->app, vault));
    s->count++;
    if (s->now.to) {
        gw_backup_vault_place(s->app, vault, s->now.to);
        vault->next_at = due_at(vault, s->now.every_s, kw_wall_s());
    }
    show(s, vault);
    return KW_OK;
}

static void look_for_vaults(struct gw_backup_schedule *s)
{
    const struct gw_site *site;
    while ((site = gw_sites_at(s->app->sites, s->count))) {
        if (add_vault(s, site->name) != KW_OK)
            return; /* at the next look */
    }
}

/** Takes over terms that were set. */
static void look_for_terms(struct gw_backup_schedule *s)
{
    struct gw_backup_config fresh;
    pthread_mutex_lock(&s->lock);
    bool changed = s->seen != s->generation;
    if (changed && gw_config_backup_copy(&fresh, &s->terms) == KW_OK)
        s->seen = s->generation;
    else
        changed = false;
    pthread_mutex_unlock(&s->lock);
    if (!changed)
        return;
    gw_config_backup_fini(&s->now);
    s->now = fresh;
    for (size_t i = 0; i < s->count; i++) {
        struct gw_backup_vault *vault = &s->vaults[i];
        vault->failures = 0;
        if (s->now.to) {
            gw_backup_vault_place(s->app, vault, s->now.to);
            vault->next_at = due_at(vault, s->now.every_s, kw_wall_s());
        }
        show(s, vault);
    }
}

/* --- the thread --- */

static bool is_ending(struct gw_backup_schedule *s)
{
    return atomic_load(&s->ending) || atomic_load(&s->app->draining);
}

static void run_one(struct gw_backup_schedule *s, struct gw_backup_vault *vault)
{
    char why[BACKUP_ERROR] = "";
    kw_status status = gw_backup_one(s->app, &s->ending, vault, &s->now, why);
    int64_t now = kw_wall_s();
    if (is_ending(s))
        return;
    if (status == KW_OK) {
        vault->failures = 0;
        vault->next_at = due_at(vault, s->now.every_s, now);
    } else if (status == KW_E_CONFLICT) {
        vault->next_at = now + BUSY_S; /* others go first; nothing failed */
    } else {
        int64_t wait = retry_s(++vault->failures, s->now.every_s);
        vault->next_at = now + wait;
        gw_backup_runs_failed(s->app->backup_runs, vault->name,
                              why[0] ? why : kw_status_name(status), wait);
    }
    show(s, vault);
}

static struct gw_backup_vault *most_due(struct gw_backup_schedule *s, int64_t now)
{
    struct gw_backup_vault *first = NULL;
    for (size_t i = 0; s->now.to && i < s->count; i++) {
        if (s->vaults[i].next_at <= now && (!first || s->vaults[i].next_at < first->next_at))
            first = &s->vaults[i];
    }
    return first;
}

/** Seconds until something is due, at most LOOK_S. */
static int64_t until_due(const struct gw_backup_schedule *s, int64_t now)
{
    int64_t wait = LOOK_S;
    for (size_t i = 0; s->now.to && i < s->count; i++) {
        if (s->vaults[i].next_at - now < wait)
            wait = s->vaults[i].next_at - now;
    }
    return wait > 0 ? wait : 1;
}

static void rest(struct gw_backup_schedule *s, int64_t seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    pthread_mutex_lock(&s->lock);
    if (!atomic_load(&s->ending) && s->seen == s->generation)
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
    struct gw_backup_schedule *s = arg;
    pthread_setname_np(pthread_self(), "backups");
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    while (!atomic_load(&s->ending)) {
        bool closed = s->app->awaiting || atomic_load(&s->app->closed) || is_ending(s);
        look_for_terms(s);
        if (!closed)
            look_for_vaults(s);
        int64_t now = kw_wall_s();
        struct gw_backup_vault *due = closed ? NULL : most_due(s, now);
        if (due)
            run_one(s, due);
        else
            rest(s, closed ? 1 : until_due(s, now));
    }
    return NULL;
}

/* --- life --- */

static void destroy(struct gw_backup_schedule *s)
{
    for (size_t i = 0; i < s->count; i++)
        backup_kept_clear(&s->vaults[i].kept);
    free(s->vaults);
    gw_config_backup_fini(&s->now);
    gw_config_backup_fini(&s->terms);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

kw_status gw_backup_schedule_start(struct gw_backup_schedule **out, struct gw_app *app)
{
    pthread_condattr_t attributes;
    sigset_t every, before;
    struct gw_backup_schedule *s = calloc(1, sizeof *s);
    if (!s)
        return KW_E_NOMEM;
    s->app = app;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    kw_status status = gw_backup_schedule_set(s, &app->config->backup);
    if (status == KW_OK) {
        sigfillset(&every); /* signals are the main thread's business */
        pthread_sigmask(SIG_SETMASK, &every, &before);
        status = pthread_create(&s->thread, NULL, run, s) == 0 ? KW_OK : KW_E_NOMEM;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (status != KW_OK) {
        destroy(s);
        return status;
    }
    *out = s;
    return KW_OK;
}

kw_status gw_backup_schedule_set(struct gw_backup_schedule *s, const struct gw_backup_config *terms)
{
    struct gw_backup_config copy;
    KW_TRY(gw_config_backup_copy(&copy, terms));
    pthread_mutex_lock(&s->lock);
    gw_config_backup_fini(&s->terms);
    s->terms = copy;
    s->generation++;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return KW_OK;
}

void gw_backup_schedule_stop(struct gw_backup_schedule *s)
{
    if (!s)
        return;
    atomic_store(&s->ending, true);
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    destroy(s);
}

#include "gateway/backup/one.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/app.h"
#include "gateway/backup/token.h"
#include "gateway/obs/log.h"
#include "gateway/vault/archive/full_manifest.h"

#define POLL_NS 100000000

/* One run. */
struct run {
    struct gw_app *app;
    const atomic_bool *ending;
    struct gw_backup_vault *vault;
    const struct gw_backup_config *config;
    struct vault_full_terms terms;
    char *why;
};

/* --- what is noted --- */

static void setting_name(char out[STORE_VAULT_MAX + 16], const char *vault)
{
    snprintf(out, STORE_VAULT_MAX + 16, "backups:%s", vault);
}

kw_status gw_backup_vault_load(struct gw_app *app, struct gw_backup_vault *vault)
{
    char name[STORE_VAULT_MAX + 16], *text = malloc(BACKUP_KEPT_TEXT);
    if (!text)
        return KW_E_NOMEM;
    setting_name(name, vault->name);
    kw_status status = store_setting_get(app->store, name, text, BACKUP_KEPT_TEXT);
    if (status == KW_OK && backup_kept_read(&vault->kept, text) != KW_OK)
        gw_log(GW_LOG_ERROR,
               "scheduled backup: the list of backups in the store is not usable; those that are "
               "at the place stay there",
               "vault", vault->name, NULL);
    free(text);
    if (status != KW_OK && status != KW_E_NOT_FOUND)
        return status;
    gw_backup_runs_load(app->backup_runs, vault->name, &vault->kept);
    return KW_OK;
}

static kw_status save(struct gw_app *app, const struct gw_backup_vault *vault)
{
    char name[STORE_VAULT_MAX + 16], *text = backup_kept_text(&vault->kept);
    if (!text)
        return KW_E_NOMEM;
    setting_name(name, vault->name);
    kw_status status = strlen(text) < BACKUP_KEPT_TEXT ? store_setting_put(app->store, name, text)
                                                       : KW_E_TOO_LARGE;
    free(text);
    return status;
}

void gw_backup_vault_place(struct gw_app *app, struct gw_backup_vault *vault, const char *to)
{
    struct backup_kept *kept = &vault->kept;
    char domain[2 * KC_DOMAIN_CHECK_LEN + 1], number[24];
    kc_domain_check(app->domain, domain);
    if (strcmp(kept->to, to) == 0 && strcmp(kept->domain, domain) == 0)
        return;
    if (kept->count > 0) {
        snprintf(number, sizeof number, "%zu", kept->count);
        gw_log(GW_LOG_WARN,
               "scheduled backup: the place or the security domain is another one; backups at the "
               "old one stay there and are no longer looked after",
               "vault", vault->name, "place", kept->to, "domain", kept->domain, "backups", number,
               NULL);
    }
    backup_kept_clear(kept);
    snprintf(kept->to, sizeof kept->to, "%s", to);
    snprintf(kept->domain, sizeof kept->domain, "%s", domain);
}

/* --- jobs --- */

static bool is_ending(const struct run *r)
{
    return atomic_load(r->ending) || atomic_load(&r->app->draining);
}

static kw_status go_on(void *ctx)
{
    return is_ending(ctx) ? KW_E_UNAVAILABLE : KW_OK;
}

/** Begins a job and waits for its end. KW_E_CONFLICT: another runs, or this one gave way. */
static kw_status run_job(struct run *r, enum vault_transfer_kind kind,
                         struct vault_transfer_info *info)
{
    const struct timespec step = {.tv_nsec = POLL_NS};
    KW_TRY(vault_full_start(r->app->transfers, r->app->loops[0], r->vault->name, kind, &r->terms,
                            info, r->why));
    char id[VAULT_TRANSFER_ID_LEN + 1];
    memcpy(id, info->id, sizeof id);
    kw_status status = KW_OK;
    while (status == KW_OK && info->state == VAULT_TRANSFER_RUNNING) {
        if (is_ending(r))
            return KW_E_UNAVAILABLE;
        nanosleep(&step, NULL);
        status = vault_transfer_get(r->app->transfers, r->vault->name, id, info);
    }
    if (status != KW_OK)
        return KW_E_CONFLICT; /* somebody dropped it */
    /* of what people asked for the last ones are kept: this makes room */
    status = vault_transfer_drop(r->app->transfers, r->vault->name, id);
    if (info->state == VAULT_TRANSFER_SUCCEEDED)
        return KW_OK;
    snprintf(r->why, BACKUP_ERROR, "%s", info->message);
    return info->gave_way ? KW_E_CONFLICT : info->status;
}

/* --- removing --- */

static const char *const files[] = {FULL_MANIFEST, FULL_ARCHIVE};

static kw_status open_place(struct run *r, struct backup_place **place, char *error)
{
    KW_TRY(backup_place_open(place, vault_full_rules_now(r->app->transfers), r->terms.uri,
                             r->terms.token, error));
    backup_place_watch(*place, go_on, r);
    return KW_OK;
}

/** Removes what is marked as going, the oldest first; each is out of the list once it is gone. */
static void remove_going(struct run *r)
{
    struct backup_kept *kept = &r->vault->kept;
    struct backup_place *place = NULL;
    char error[BACKUP_ERROR] = "";
    kw_status status = open_place(r, &place, error);
    for (size_t i = 0; status == KW_OK && i < kept->count;) {
        char folder[BACKUP_FOLDER_MAX + 1];
        if (kept->list[i].state != BACKUP_GOING) {
            i++;
            continue;
        }
        memcpy(folder, kept->list[i].folder, sizeof folder);
        status = backup_remove(place, folder, files, sizeof files / sizeof *files, error);
        if (status != KW_OK)
            break;
        backup_kept_drop(kept, folder);
        status = save(r->app, r->vault);
        gw_log(GW_LOG_INFO, "scheduled backup: one that is not needed was removed", "vault",
               r->vault->name, "folder", folder, NULL);
    }
    backup_place_close(place);
    if (status != KW_OK && !is_ending(r))
        gw_log(GW_LOG_WARN,
               "scheduled backup: old ones cannot be removed now; the next run tries it again",
               "vault", r->vault->name, "place", kept->to, "error",
               error[0] ? error : kw_status_name(status), NULL);
}

/** The mark is durable before the first file goes. */
static void retire(struct run *r)
{
    size_t going =
        backup_kept_expire(&r->vault->kept, kw_wall_s(), r->config->keep, r->config->keep_days);
    if (going > 0 && save(r->app, r->vault) == KW_OK)
        remove_going(r);
}

/** One that failed holds no place that the next one may need. */
static void clear_away(struct run *r, const char *folder)
{
    if (is_ending(r))
        return;
    backup_kept_mark(&r->vault->kept, folder, BACKUP_GOING, 0);
    if (save(r->app, r->vault) == KW_OK)
        remove_going(r);
}

/* --- one backup --- */

/* A random part, so that no two gateways and no clock that was set back give one name twice. */
static kw_status name_folder(struct run *r)
{
    uint8_t bytes[4];
    char when[32];
    struct tm tm;
    time_t now = (time_t)kw_wall_s();
    KW_TRY(kw_random(bytes, sizeof bytes));
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
    snprintf(r->terms.folder, sizeof r->terms.folder, "keyward-%.63s-%s-%02x%02x%02x%02x",
             r->vault->name, when, bytes[0], bytes[1], bytes[2], bytes[3]);
    return KW_OK;
}

/* Before anything is noted: a place that is away for days must not fill the list. */
static kw_status probe(struct run *r)
{
    struct backup_place *place = NULL;
    KW_TRY(open_place(r, &place, r->why));
    kw_status status = backup_probe(place, true, r->why);
    backup_place_close(place);
    return status;
}

/* A list that is full of what could not be removed lets the oldest of it go. */
static kw_status note(struct run *r)
{
    struct backup_kept *kept = &r->vault->kept;
    size_t i = 0;
    while (i < kept->count && kept->list[i].state == BACKUP_GOOD)
        i++;
    if (kept->count == BACKUP_KEPT_MAX && i < kept->count) {
        gw_log(GW_LOG_WARN,
               "scheduled backup: one that could not be removed is no longer looked after", "vault",
               r->vault->name, "folder", kept->list[i].folder, NULL);
        char folder[BACKUP_FOLDER_MAX + 1];
        memcpy(folder, kept->list[i].folder, sizeof folder);
        backup_kept_drop(kept, folder);
    }
    KW_TRY(backup_kept_add(kept, r->terms.folder, kw_wall_s()));
    return save(r->app, r->vault);
}

static kw_status prepare(struct run *r)
{
    snprintf(r->terms.uri, sizeof r->terms.uri, "%s", r->config->to);
    r->terms.scheduled = true;
    if (r->config->token_file)
        KW_TRY(backup_token_read(r->terms.token, r->config->token_file, r->why));
    if (vault_transfers_busy(r->app->transfers))
        return KW_E_CONFLICT;
    KW_TRY(probe(r));
    KW_TRY(name_folder(r));
    kw_status status = note(r);
    if (status == KW_OK)
        return KW_OK;
    backup_kept_drop(&r->vault->kept, r->terms.folder);
    snprintf(r->why, BACKUP_ERROR, "the backup cannot be noted in the store (%s)",
             kw_status_name(status));
    return status;
}

static kw_status back_up(struct run *r)
{
    struct vault_transfer_info *written = malloc(2 * sizeof *written);
    if (!written)
        return KW_E_NOMEM;
    struct vault_transfer_info *read = written + 1;
    const char *folder = r->terms.folder;
    int64_t began = kw_now_ns();
    kw_status status = run_job(r, VAULT_BACKUP, written);
    if (status != KW_OK) {
        clear_away(r, folder);
    } else {
        status = run_job(r, VAULT_BACKUP_VERIFY, read);
        while (status == KW_E_CONFLICT && !is_ending(r)) { /* it is written: only late */
            nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
            status = run_job(r, VAULT_BACKUP_VERIFY, read);
        }
        backup_kept_mark(&r->vault->kept, folder, status == KW_OK ? BACKUP_GOOD : BACKUP_BAD,
                         written->size);
        if (!is_ending(r)) {
            kw_status saved = save(r->app, r->vault);
            status = status == KW_OK ? saved : status;
        }
    }
    if (status == KW_OK)
        gw_backup_runs_good(r->app->backup_runs, written, (kw_now_ns() - began) / KW_MS(1));
    free(written);
    return status;
}

kw_status gw_backup_one(struct gw_app *app, const atomic_bool *ending,
                        struct gw_backup_vault *vault, const struct gw_backup_config *config,
                        char *why)
{
    struct run r = {.app = app, .ending = ending, .vault = vault, .config = config, .why = why};
    kw_status status = prepare(&r);
    if (status == KW_OK)
        status = back_up(&r);
    if (status == KW_OK)
        retire(&r);
    kw_wipe(&r.terms, sizeof r.terms);
    return status;
}

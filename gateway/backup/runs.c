#include "gateway/backup/runs.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "crypto/base/clock.h"
#include "crypto/base/text.h"
#include "gateway/obs/log.h"
#include "gateway/obs/metrics_pool.h"

/* One vault; entries are added and stay. */
struct entry {
    char vault[STORE_VAULT_MAX + 1];
    int64_t good_at; /* of the newest whole backup; 0: none is known */
    char good_place[VAULT_TRANSFER_PLACE + 1];
    bool verified;
    uint64_t bytes;
    int64_t ms;        /* that it took */
    bool measured;     /* `ms` is known: it was made since the start */
    unsigned failures; /* since the last good one */
    char error[BACKUP_ERROR];
    struct gw_backup_plan plan;
};

struct gw_backup_runs {
    struct store *store;
    pthread_mutex_t lock;
    /* under lock */
    struct entry *list;
    size_t count;
    uint64_t succeeded, failed;
};

struct gw_backup_runs *gw_backup_runs_create(struct store *store)
{
    struct gw_backup_runs *runs = calloc(1, sizeof *runs);
    if (!runs)
        return NULL;
    runs->store = store;
    pthread_mutex_init(&runs->lock, NULL);
    return runs;
}

void gw_backup_runs_destroy(struct gw_backup_runs *runs)
{
    if (!runs)
        return;
    pthread_mutex_destroy(&runs->lock);
    free(runs->list);
    free(runs);
}

/* Under the lock; NULL when memory is short: then the vault is not shown. */
static struct entry *entry_of(struct gw_backup_runs *runs, const char *vault)
{
    for (size_t i = 0; i < runs->count; i++) {
        if (strcasecmp(runs->list[i].vault, vault) == 0)
            return &runs->list[i];
    }
    struct entry *more = realloc(runs->list, (runs->count + 1) * sizeof *more);
    if (!more)
        return NULL;
    runs->list = more;
    struct entry *entry = &more[runs->count++];
    *entry = (struct entry){.good_at = 0};
    snprintf(entry->vault, sizeof entry->vault, "%s", vault);
    return entry;
}

/* --- the log --- */

static const char *word_of(enum vault_transfer_kind kind)
{
    static const char *const words[] = {
        [VAULT_EXPORT] = "export",
        [VAULT_IMPORT] = "import",
        [VAULT_VERIFY] = "verification of an archive",
        [VAULT_BACKUP] = "backup",
        [VAULT_BACKUP_VERIFY] = "verification of a backup",
        [VAULT_PREBACKUP] = "pre-check of a backup",
        [VAULT_RESTORE] = "restore",
        [VAULT_RESTORE_KEY] = "restore of one key",
        [VAULT_PRERESTORE] = "pre-check of a restore",
    };
    return words[kind];
}

static void log_end(const struct vault_transfer_info *info)
{
    char objects[24], versions[24], bytes[24], seconds[24];
    unsigned long long all = 0, each = 0;
    bool good = info->state == VAULT_TRANSFER_SUCCEEDED;
    for (size_t i = 0; i <= STORE_KIND_MAX; i++) {
        all += info->objects[i];
        each += info->versions[i];
    }
    snprintf(objects, sizeof objects, "%llu", all);
    snprintf(versions, sizeof versions, "%llu", each);
    snprintf(bytes, sizeof bytes, "%" PRIu64, info->size);
    snprintf(seconds, sizeof seconds, "%" PRId64, info->ended - info->started);
    gw_log(good             ? GW_LOG_INFO
           : info->gave_way ? GW_LOG_INFO
                            : GW_LOG_ERROR,
           good             ? "a transfer ended well"
           : info->gave_way ? "a transfer gave way to a request"
                            : "a transfer failed",
           "what", word_of(info->kind), "by", info->scheduled ? "schedule" : "request", "vault",
           info->vault, "job", info->id, "place", info->place, "objects", objects, "versions",
           versions, "bytes", bytes, "seconds", seconds, good ? NULL : "error", info->message,
           NULL);
}

static void note_requested(struct gw_backup_runs *runs, const struct vault_transfer_info *info)
{
    pthread_mutex_lock(&runs->lock);
    struct entry *entry = entry_of(runs, info->vault);
    bool good = info->state == VAULT_TRANSFER_SUCCEEDED;
    runs->succeeded += good;
    runs->failed += !good;
    if (entry && good && info->head.created >= entry->good_at) {
        entry->good_at = info->head.created;
        entry->verified = false;
        entry->bytes = info->size;
        entry->ms = (info->ended - info->started) * 1000;
        entry->measured = true;
        snprintf(entry->good_place, sizeof entry->good_place, "%s", info->place);
    }
    pthread_mutex_unlock(&runs->lock);
}

void gw_backup_runs_watch(void *ctx, const struct vault_transfer_info *info)
{
    if (info->state == VAULT_TRANSFER_RUNNING) {
        gw_log(GW_LOG_INFO, "a transfer began", "what", word_of(info->kind), "by",
               info->scheduled ? "schedule" : "request", "vault", info->vault, "job", info->id,
               "place", info->place, NULL);
        return;
    }
    log_end(info);
    if (info->kind == VAULT_BACKUP && !info->scheduled)
        note_requested(ctx, info);
}

/* --- the schedule --- */

/** When the last backup of the vault was made, whoever asked for it, and where. */
static bool read_last(struct store *store, const char *vault, int64_t *at, char *place, size_t len)
{
    char name[STORE_VAULT_MAX + 16], value[VAULT_TRANSFER_PLACE + 64];
    int used = 0;
    snprintf(name, sizeof name, "backup:%s", vault);
    if (store_setting_get(store, name, value, sizeof value) != KW_OK ||
        sscanf(value, "%" SCNd64 " %n", at, &used) < 1)
        return false;
    snprintf(place, len, "%s", value + used);
    return true;
}

/** Is it one of the schedule's that was not verified? */
static bool is_doubtful(const struct backup_kept *kept, const char *place)
{
    const char *folder = strrchr(place, '/');
    for (size_t i = 0; kept && folder && i < kept->count; i++) {
        if (strcmp(kept->list[i].folder, folder + 1) == 0)
            return kept->list[i].state != BACKUP_GOOD;
    }
    return false;
}

void gw_backup_runs_load(struct gw_backup_runs *runs, const char *vault,
                         const struct backup_kept *kept)
{
    const struct backup_kept_entry *newest = kept ? backup_kept_newest(kept) : NULL;
    char place[VAULT_TRANSFER_PLACE + 1] = "";
    int64_t at = 0;
    bool made =
        read_last(runs->store, vault, &at, place, sizeof place) && !is_doubtful(kept, place);
    pthread_mutex_lock(&runs->lock);
    struct entry *entry = entry_of(runs, vault);
    if (entry && newest && newest->at > entry->good_at) {
        entry->good_at = newest->at;
        entry->bytes = newest->bytes;
        entry->verified = true;
        snprintf(entry->good_place, sizeof entry->good_place, "%.*s/%s", BACKUP_URI_MAX, kept->to,
                 newest->folder);
    }
    if (entry && made && at > entry->good_at) {
        entry->good_at = at;
        entry->verified = false;
        snprintf(entry->good_place, sizeof entry->good_place, "%s", place);
    }
    pthread_mutex_unlock(&runs->lock);
}

void gw_backup_runs_plan(struct gw_backup_runs *runs, const char *vault,
                         const struct gw_backup_plan *plan)
{
    pthread_mutex_lock(&runs->lock);
    struct entry *entry = entry_of(runs, vault);
    if (entry)
        entry->plan = *plan;
    pthread_mutex_unlock(&runs->lock);
}

void gw_backup_runs_good(struct gw_backup_runs *runs, const struct vault_transfer_info *info,
                         int64_t ms)
{
    char bytes[24], text[24];
    pthread_mutex_lock(&runs->lock);
    struct entry *entry = entry_of(runs, info->vault);
    runs->succeeded++;
    if (entry) {
        entry->good_at = info->head.created;
        entry->verified = true;
        entry->bytes = info->size;
        entry->ms = ms;
        entry->measured = true;
        entry->failures = 0;
        entry->error[0] = '\0';
        snprintf(entry->good_place, sizeof entry->good_place, "%s", info->place);
    }
    pthread_mutex_unlock(&runs->lock);
    snprintf(bytes, sizeof bytes, "%" PRIu64, info->size);
    snprintf(text, sizeof text, "%.3f", (double)ms / 1000);
    gw_log(GW_LOG_INFO, "scheduled backup: written and verified", "vault", info->vault, "place",
           info->place, "bytes", bytes, "seconds", text, NULL);
}

void gw_backup_runs_failed(struct gw_backup_runs *runs, const char *vault, const char *why,
                           int64_t retry_s)
{
    unsigned failures = 1;
    pthread_mutex_lock(&runs->lock);
    struct entry *entry = entry_of(runs, vault);
    runs->failed++;
    if (entry) {
        failures = ++entry->failures;
        snprintf(entry->error, sizeof entry->error, "%s", why);
        kw_text_clean(entry->error); /* in part of the storage, and it may have been cut */
    }
    pthread_mutex_unlock(&runs->lock);
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, retry_s);
    gw_log_n(GW_LOG_ERROR, "scheduled backup: it failed", "failures", failures, "vault", vault,
             "error", why, "retry_in_seconds", text, NULL);
}

/* --- for operators --- */

static void add_row(struct gw_text *text, const char *name, const struct entry *entry)
{
    gw_text_add(text, "keyward_%s{vault=\"", name);
    gw_metric_label(text, entry->vault);
    gw_text_add(text, "\"} ");
}

static void add_age(struct gw_text *text, const struct entry *entry, int64_t now)
{
    if (entry->good_at == 0 && entry->plan.every_s == 0)
        return;
    add_row(text, "backup_age_seconds", entry);
    if (entry->good_at == 0)
        gw_text_add(text, "+Inf\n");
    else
        gw_text_add(text, "%" PRId64 "\n", now > entry->good_at ? now - entry->good_at : 0);
}

static void add_number(struct gw_text *text, const char *name, const struct entry *entry,
                       bool present, uint64_t value)
{
    if (!present)
        return;
    add_row(text, name, entry);
    gw_text_add(text, "%" PRIu64 "\n", value);
}

static void add_duration(struct gw_text *text, const struct entry *entry)
{
    if (!entry->measured)
        return;
    add_row(text, "backup_last_duration_seconds", entry);
    gw_text_add(text, "%.3f\n", (double)entry->ms / 1000);
}

void gw_backup_runs_metrics(struct gw_text *text, void *ctx)
{
    struct gw_backup_runs *runs = ctx;
    int64_t now = kw_wall_s();
    pthread_mutex_lock(&runs->lock);
    gw_metric_head(text, "backup_age_seconds", "gauge",
                   "Time since the newest whole backup of a vault was made; +Inf: none yet.");
    for (size_t i = 0; i < runs->count; i++)
        add_age(text, &runs->list[i], now);
    gw_metric_head(text, "backup_interval_seconds", "gauge", "backup.every of the configuration.");
    for (size_t i = 0; i < runs->count; i++)
        add_number(text, "backup_interval_seconds", &runs->list[i], runs->list[i].plan.every_s > 0,
                   (uint64_t)runs->list[i].plan.every_s);
    gw_metric_head(text, "backup_last_bytes", "gauge", "Size of the newest whole backup.");
    for (size_t i = 0; i < runs->count; i++)
        add_number(text, "backup_last_bytes", &runs->list[i], runs->list[i].bytes > 0,
                   runs->list[i].bytes);
    gw_metric_head(text, "backup_last_duration_seconds", "gauge",
                   "How long the newest whole backup took, scheduled ones with their "
                   "verification.");
    for (size_t i = 0; i < runs->count; i++)
        add_duration(text, &runs->list[i]);
    gw_metric_head(text, "backup_kept", "gauge", "Verified backups of the schedule at its place.");
    for (size_t i = 0; i < runs->count; i++)
        add_number(text, "backup_kept", &runs->list[i], runs->list[i].plan.every_s > 0,
                   runs->list[i].plan.kept);
    gw_metric_head(text, "backup_runs_total", "counter", "Backups that came to their end.");
    gw_text_add(text,
                "keyward_backup_runs_total{result=\"succeeded\"} %" PRIu64
                "\nkeyward_backup_runs_total{result=\"failed\"} %" PRIu64 "\n",
                runs->succeeded, runs->failed);
    pthread_mutex_unlock(&runs->lock);
}

static json_t *entry_json(const struct entry *entry, int64_t now)
{
    json_t *out =
        json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:s}", "vault", entry->vault, "every_seconds",
                  (json_int_t)entry->plan.every_s, "next_at", (json_int_t)entry->plan.next_at,
                  "kept", (json_int_t)entry->plan.kept, "failures", (json_int_t)entry->failures,
                  "last_bytes", (json_int_t)entry->bytes, "error", entry->error);
    if (out && entry->good_at != 0) {
        json_object_set_new(out, "last_at", json_integer((json_int_t)entry->good_at));
        json_object_set_new(
            out, "age_seconds",
            json_integer((json_int_t)(now > entry->good_at ? now - entry->good_at : 0)));
        json_object_set_new(out, "last_place", json_string(entry->good_place));
        json_object_set_new(out, "verified", json_boolean(entry->verified));
    }
    if (out && entry->measured)
        json_object_set_new(out, "last_seconds", json_real((double)entry->ms / 1000));
    return out;
}

json_t *gw_backup_runs_json(struct gw_backup_runs *runs)
{
    int64_t now = kw_wall_s();
    json_t *list = json_array();
    pthread_mutex_lock(&runs->lock);
    for (size_t i = 0; list && i < runs->count; i++)
        json_array_append_new(list, entry_json(&runs->list[i], now));
    pthread_mutex_unlock(&runs->lock);
    return list;
}

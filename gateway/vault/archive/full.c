#include "gateway/vault/archive/full.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "crypto/base/secret.h"
#include "gateway/vault/archive/export_job.h"
#include "gateway/vault/archive/full_manifest.h"
#include "gateway/vault/vault.h"

#define ARCHIVE_MAX (UINT64_C(1) << 40)

/* --- before the job --- */

void vault_full_rules(struct vault_transfers *all, const struct backup_rules *rules)
{
    atomic_store(&all->rules, rules);
}

const struct backup_rules *vault_full_rules_now(struct vault_transfers *all)
{
    return atomic_load(&all->rules);
}

static void setting_name(char out[STORE_VAULT_MAX + 16], const char *vault_name)
{
    snprintf(out, STORE_VAULT_MAX + 16, "backup:%s", vault_name);
}

kw_status vault_full_last(struct vault_transfers *all, const char *vault_name, int64_t *at)
{
    char name[STORE_VAULT_MAX + 16], value[VAULT_TRANSFER_PLACE + 64];
    *at = 0;
    setting_name(name, vault_name);
    KW_TRY(store_setting_get(all->vault->store, name, value, sizeof value));
    return sscanf(value, "%" SCNd64, at) == 1 ? KW_OK : KW_E_INTEGRITY;
}

/** A restore destroys what is there: it has to be in a backup first. */
static kw_status check_recent(struct vault_transfers *all, const char *vault_name, char *why)
{
    int64_t at = 0, now = kw_wall_s();
    kw_status status = vault_full_last(all, vault_name, &at);
    if (status == KW_OK && now - at <= VAULT_FULL_AGE_S && at <= now + 60)
        return KW_OK;
    if (status != KW_OK && status != KW_E_NOT_FOUND)
        return status;
    snprintf(
        why, BACKUP_ERROR,
        "A full restore takes the place of everything that is there: it needs a full backup of "
        "this vault that is not older than %d minutes. Take one, then restore.",
        VAULT_FULL_AGE_S / 60);
    return KW_E_FORBIDDEN;
}

static kw_status check_terms(struct vault_transfers *all, enum vault_transfer_kind kind,
                             const struct vault_full_terms *terms, char *why)
{
    struct backup_place *place = NULL;
    if (terms->folder[0] && !backup_folder_ok(terms->folder)) {
        snprintf(why, BACKUP_ERROR, "The folder is not the name of a backup.");
        return KW_E_INPUT;
    }
    if (!terms->uri[0])
        return kind == VAULT_PREBACKUP || kind == VAULT_PRERESTORE ? KW_OK : KW_E_INPUT;
    KW_TRY(backup_place_open(&place, vault_full_rules_now(all), terms->uri, terms->token, why));
    backup_place_close(place);
    return KW_OK;
}

kw_status vault_full_start(struct vault_transfers *all, struct gw_loop *loop,
                           const char *vault_name, enum vault_transfer_kind kind,
                           const struct vault_full_terms *terms, struct vault_transfer_info *info,
                           char *why)
{
    why[0] = '\0';
    KW_TRY(check_terms(all, kind, terms, why));
    if (kind == VAULT_RESTORE)
        KW_TRY(check_recent(all, vault_name, why));
    struct vault_full_terms *copy = malloc(sizeof *copy);
    if (!copy)
        return KW_E_NOMEM;
    *copy = *terms;
    if (!terms->scheduled)
        transfer_clear_way(all);
    return transfer_begin(all, loop, vault_name, kind, copy, info);
}

/* --- the job --- */

static kw_status go_on(void *ctx)
{
    return transfer_go_on(ctx);
}

static void say_place(struct transfer *t)
{
    size_t len = strlen(t->terms->uri);
    while (len > 0 && t->terms->uri[len - 1] == '/')
        len--;
    pthread_mutex_lock(&t->all->lock);
    snprintf(t->info.place, sizeof t->info.place, "%.*s%s%s", (int)len, t->terms->uri,
             t->terms->folder[0] ? "/" : "", t->terms->folder);
    pthread_mutex_unlock(&t->all->lock);
}

/** mhsm-NAME-yyyymmddHHMMssff, as the service names them. */
static void name_folder(struct transfer *t)
{
    struct timespec now;
    struct tm tm;
    char when[32];
    if (t->terms->folder[0])
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof when, "%Y%m%d%H%M%S", &tm);
    snprintf(t->terms->folder, sizeof t->terms->folder, "mhsm-%.63s-%s%02d", t->info.vault, when,
             (int)(now.tv_nsec / 10000000));
}

/* `shape`: 0 stands for a digit, x for a hexadecimal one. */
static bool is_named(const char *folder, const char *by, const char *vault_name, const char *shape)
{
    char head[STORE_VAULT_MAX + 16];
    size_t len = (size_t)snprintf(head, sizeof head, "%s-%s-", by, vault_name), i = 0;
    if (strncasecmp(folder, head, len) != 0)
        return false;
    for (const char *at = folder + len; shape[i] && at[i]; i++) {
        if (shape[i] == '0'   ? !strchr("0123456789", at[i])
            : shape[i] == 'x' ? !strchr("0123456789abcdef", at[i])
                              : shape[i] != at[i])
            return false;
    }
    return shape[i] == folder[len + i]; /* both end */
}

bool vault_full_is_of(const char *folder, const char *vault_name)
{
    return is_named(folder, "mhsm", vault_name, "0000000000000000") ||
           is_named(folder, "keyward", vault_name, "00000000T000000Z-xxxxxxxx");
}

static kw_status put_manifest(struct transfer *t, struct backup_place *place, char *why)
{
    char *text = full_manifest_text(&t->info);
    int fd = text ? memfd_create("manifest", MFD_CLOEXEC) : -1;
    size_t len = text ? strlen(text) : 0;
    kw_status status = fd >= 0 && write(fd, text, len) == (ssize_t)len ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK)
        status = backup_put(place, t->terms->folder, FULL_MANIFEST, fd, len, why);
    if (fd >= 0)
        close(fd);
    free(text);
    return status;
}

/* The backup is good whether or not this can be written; a restore would then ask for another. */
static void note_backup(struct transfer *t)
{
    char name[STORE_VAULT_MAX + 16], value[VAULT_TRANSFER_PLACE + 64];
    setting_name(name, t->info.vault);
    snprintf(value, sizeof value, "%" PRId64 " %s", t->info.head.created, t->info.place);
    if (store_setting_put(t->all->vault->store, name, value) != KW_OK)
        transfer_fail(t, KW_OK, "the backup is whole, but its time could not be noted");
}

static kw_status back_up(struct transfer *t, struct backup_place *place, char *why)
{
    KW_TRY(backup_probe(place, true, why));
    KW_TRY(transfer_export(t));
    KW_TRY(backup_put(place, t->terms->folder, FULL_ARCHIVE, t->fd, t->info.size, why));
    KW_TRY(put_manifest(t, place, why));
    note_backup(t);
    return KW_OK;
}

static kw_status fetch(struct transfer *t, struct backup_place *place, char *why)
{
    uint64_t size = 0;
    kw_status status =
        backup_get(place, t->terms->folder, FULL_ARCHIVE, t->fd, ARCHIVE_MAX, &size, why);
    if (status == KW_E_NOT_FOUND)
        return transfer_fail(t, status, "there is no backup %s", t->terms->folder);
    KW_TRY(status);
    pthread_mutex_lock(&t->all->lock);
    t->info.size = size;
    pthread_mutex_unlock(&t->all->lock);
    return KW_OK;
}

kw_status transfer_full_check(struct transfer *t)
{
    char why[BACKUP_ERROR] = "", *theirs = malloc(FULL_MANIFEST_MAX),
         *ours = full_manifest_text(&t->info);
    struct backup_place *place = NULL;
    uint64_t size = 0;
    int fd = memfd_create("manifest", MFD_CLOEXEC);
    kw_status status = fd >= 0 && theirs && ours ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK)
        status = backup_place_open(&place, vault_full_rules_now(t->all), t->terms->uri,
                                   t->terms->token, why);
    if (status == KW_OK) {
        backup_place_watch(place, go_on, t);
        status =
            backup_get(place, t->terms->folder, FULL_MANIFEST, fd, FULL_MANIFEST_MAX, &size, why);
    }
    if (status == KW_E_NOT_FOUND)
        status = transfer_fail(t, KW_E_INTEGRITY,
                               "the backup has no manifest: it did not come to its end; nothing "
                               "was changed");
    else if (status == KW_OK &&
             (size != strlen(ours) || pread(fd, theirs, size, 0) != (ssize_t)size ||
              memcmp(ours, theirs, size) != 0))
        status = transfer_fail(t, KW_E_INTEGRITY,
                               "the manifest is not the one of this archive; nothing was changed");
    else if (status != KW_OK && why[0])
        transfer_fail(t, status, "%s", why);
    backup_place_close(place);
    if (fd >= 0)
        close(fd);
    free(theirs);
    free(ours);
    return status;
}

static kw_status run(struct transfer *t, struct backup_place *place, char *why)
{
    enum vault_transfer_kind kind = t->info.kind;
    if (kind == VAULT_BACKUP)
        return back_up(t, place, why);
    if (kind == VAULT_PREBACKUP || (kind == VAULT_PRERESTORE && !t->terms->folder[0]))
        return backup_probe(place, kind == VAULT_PREBACKUP, why);
    KW_TRY(fetch(t, place, why));
    return transfer_import(t);
}

void transfer_full_name(struct transfer *t)
{
    if (t->info.kind == VAULT_BACKUP)
        name_folder(t);
    say_place(t);
}

kw_status transfer_full(struct transfer *t)
{
    char why[BACKUP_ERROR] = "";
    struct backup_place *place = NULL;
    if (!t->terms->uri[0])
        return KW_OK;
    kw_status status = backup_place_open(&place, vault_full_rules_now(t->all), t->terms->uri,
                                         t->terms->token, why);
    if (status == KW_OK) {
        backup_place_watch(place, go_on, t);
        status = run(t, place, why);
    }
    if (status != KW_OK && why[0])
        transfer_fail(t, status, "%s", why);
    backup_place_close(place);
    return status;
}

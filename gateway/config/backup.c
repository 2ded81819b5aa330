#include "gateway/config/backup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/backup/kept.h"
#include "gateway/config/files.h"
#include "gateway/config/values.h"

#define FILE_SCHEME    "file://"
#define EVERY_S        86400
#define KEEP           7
#define KEEP_DAYS      30
#define TO_ALLOWED     "allowed: a folder, file:///PATH or https://HOST/CONTAINER"
#define SCHEDULE_NEEDS "has no meaning without backup.to"

char *gw_folder_address(const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./~";
    size_t room = strlen(path) * 3 + sizeof FILE_SCHEME, used = strlen(FILE_SCHEME);
    char *out = malloc(room);
    if (!out)
        return NULL;
    memcpy(out, FILE_SCHEME, sizeof FILE_SCHEME);
    for (const char *at = path; *at; at++)
        used += (size_t)snprintf(out + used, room - used, strchr(plain, *at) ? "%c" : "%%%02x",
                                 (unsigned char)*at);
    return out;
}

static kw_status add_folder(struct gw_backup_config *out, char *folder)
{
    char **more =
        folder ? realloc(out->folders, (out->folder_count + 1) * sizeof *out->folders) : NULL;
    if (!more) {
        free(folder);
        return KW_E_NOMEM;
    }
    out->folders = more;
    out->folders[out->folder_count++] = folder;
    return KW_OK;
}

/* A folder is allowed for requests too, so that what lies there can be restored by them. */
static kw_status read_to(struct gw_document *doc, const char *base, const char *raw,
                         struct gw_backup_config *out)
{
    char path[PATH_MAX];
    if (strncasecmp(raw, "https://", 8) == 0) {
        out->to = strdup(raw);
        if (!strchr(raw + 8, '/') || strpbrk(raw, "?#@\" "))
            gw_document_problem(doc, "backup.to", "found \"%.128s\"; " TO_ALLOWED, raw);
        return out->to ? KW_OK : KW_E_NOMEM;
    }
    if (strncasecmp(raw, FILE_SCHEME, strlen(FILE_SCHEME)) == 0) {
        out->to = strdup(raw);
        if (!backup_path_of(path, sizeof path, raw)) {
            gw_document_problem(doc, "backup.to", "found \"%.128s\"; " TO_ALLOWED, raw);
            return out->to ? KW_OK : KW_E_NOMEM;
        }
        return out->to ? add_folder(out, strdup(path)) : KW_E_NOMEM;
    }
    if (strstr(raw, "://"))
        gw_document_problem(doc, "backup.to", "found \"%.128s\"; " TO_ALLOWED, raw);
    char *folder = gw_config_path(base, raw);
    out->to = folder ? gw_folder_address(folder) : NULL;
    if (!out->to) {
        free(folder);
        return KW_E_NOMEM;
    }
    return add_folder(out, folder);
}

static void check_token_file(struct gw_document *doc, const char *file)
{
    struct stat st;
    if (stat(file, &st) != 0)
        gw_document_problem(doc, "backup.token_file", "found \"%.256s\", which cannot be read: %s",
                            file, strerror(errno));
    else if (!S_ISREG(st.st_mode) || access(file, R_OK) != 0)
        gw_document_problem(doc, "backup.token_file", "found \"%.256s\"; allowed: a readable file",
                            file);
    else if (st.st_mode & 077)
        gw_document_problem(doc, "backup.token_file",
                            "found mode %04o on \"%.256s\"; allowed: 0600 or 0400 (others must not "
                            "read a token)",
                            (unsigned)st.st_mode & 07777u, file);
}

static unsigned number(struct gw_document *doc, const char *path, const unsigned *value,
                       unsigned min, unsigned max, unsigned fallback)
{
    if (value && (*value < min || *value > max))
        gw_document_problem(doc, path, "found %u; allowed: %u to %u", *value, min, max);
    return value ? *value : fallback;
}

static void read_every(struct gw_document *doc, const char *raw, struct gw_backup_config *out)
{
    int64_t ns = 0;
    out->every_s = EVERY_S;
    if (!raw)
        return;
    if (gw_parse_duration(raw, &ns) != KW_OK || ns < (int64_t)GW_BACKUP_EVERY_MIN * 1000000000)
        gw_document_problem(doc, "backup.every",
                            "found \"%.64s\"; allowed: " GW_DURATION_ALLOWED ", from %ds to 720h",
                            raw, GW_BACKUP_EVERY_MIN);
    else
        out->every_s = ns / 1000000000;
}

static kw_status read_schedule(struct gw_document *doc, const char *base,
                               const struct raw_backup *raw, struct gw_backup_config *out)
{
    const struct {
        const char *path;
        bool present;
    } fields[] = {{"backup.token_file", raw->token_file != NULL},
                  {"backup.every", raw->every != NULL},
                  {"backup.keep", raw->keep != NULL},
                  {"backup.keep_days", raw->keep_days != NULL}};
    for (size_t i = 0; !raw->to && i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].present)
            gw_document_problem(doc, fields[i].path, SCHEDULE_NEEDS);
    }
    if (!raw->to)
        return KW_OK;
    KW_TRY(read_to(doc, base, raw->to, out));
    read_every(doc, raw->every, out);
    out->keep = number(doc, "backup.keep", raw->keep, 1, GW_BACKUP_KEEP_MAX, KEEP);
    out->keep_days =
        number(doc, "backup.keep_days", raw->keep_days, 0, GW_BACKUP_KEEP_DAYS_MAX, KEEP_DAYS);
    int64_t most = out->keep + (int64_t)out->keep_days * 86400 / out->every_s;
    if (most > BACKUP_KEPT_MAX - 100)
        gw_document_problem(doc, "backup.keep_days",
                            "found %u with one backup every %lld s: %lld backups; allowed: at most "
                            "%d",
                            out->keep_days, (long long)out->every_s, (long long)most,
                            BACKUP_KEPT_MAX - 100);
    if (!raw->token_file)
        return KW_OK;
    out->token_file = gw_config_path(base, raw->token_file);
    if (!out->token_file)
        return KW_E_NOMEM;
    check_token_file(doc, out->token_file);
    return KW_OK;
}

kw_status gw_config_backup(struct gw_document *doc, const char *base, const struct raw_backup *raw,
                           struct gw_backup_config *out)
{
    if (!raw)
        return KW_OK;
    out->ca = gw_config_path(base, raw->ca);
    if (raw->ca && !out->ca)
        return KW_E_NOMEM;
    for (unsigned i = 0; i < raw->folders_count; i++)
        KW_TRY(add_folder(out, gw_config_path(base, raw->folders[i])));
    return read_schedule(doc, base, raw, out);
}

void gw_config_backup_fini(struct gw_backup_config *backup)
{
    for (size_t i = 0; i < backup->folder_count; i++)
        free(backup->folders[i]);
    free(backup->folders);
    free(backup->ca);
    free(backup->to);
    free(backup->token_file);
    *backup = (struct gw_backup_config){.folders = NULL};
}

static bool copy_text(char **out, const char *from)
{
    *out = from ? strdup(from) : NULL;
    return !from || *out;
}

kw_status gw_config_backup_copy(struct gw_backup_config *out, const struct gw_backup_config *from)
{
    *out = (struct gw_backup_config){
        .every_s = from->every_s, .keep = from->keep, .keep_days = from->keep_days};
    kw_status status = copy_text(&out->ca, from->ca) && copy_text(&out->to, from->to) &&
                               copy_text(&out->token_file, from->token_file)
                           ? KW_OK
                           : KW_E_NOMEM;
    for (size_t i = 0; status == KW_OK && i < from->folder_count; i++)
        status = add_folder(out, strdup(from->folders[i]));
    if (status != KW_OK)
        gw_config_backup_fini(out);
    return status;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool gw_config_backup_equal(const struct gw_backup_config *a, const struct gw_backup_config *b)
{
    bool equal = a->folder_count == b->folder_count && same(a->ca, b->ca) && same(a->to, b->to) &&
                 same(a->token_file, b->token_file) && a->every_s == b->every_s &&
                 a->keep == b->keep && a->keep_days == b->keep_days;
    for (size_t i = 0; equal && i < a->folder_count; i++)
        equal = same(a->folders[i], b->folders[i]);
    return equal;
}

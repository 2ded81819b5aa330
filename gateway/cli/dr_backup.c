#include "gateway/cli/dr_backup.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/base/secret.h"
#include "gateway/backup/token.h"
#include "gateway/config/backup.h"
#include "gateway/vault/archive/archive.h"
#include "gateway/vault/archive/full_manifest.h"
#include "gateway/vault/archive/record.h"

#define ARCHIVE_MAX (UINT64_C(1) << 40)
#define NAMES_MAX   100000
#define LOOK_AT     5 /* newest folders of a vault whose manifests are read */

/* --- the place --- */

kw_status dr_place_open(struct dr_place *out, const char *uri, const char *sas_file, const char *ca,
                        char *error)
{
    char path[PATH_MAX], *address = NULL;
    *out = (struct dr_place){.place = NULL};
    if (!strstr(uri, "://")) {
        char *real = realpath(uri, NULL);
        address = real ? gw_folder_address(real) : NULL;
        free(real);
        if (!address) {
            snprintf(error, BACKUP_ERROR, "%.160s: there is no such folder", uri);
            return KW_E_NOT_FOUND;
        }
        uri = address;
    }
    int len = snprintf(out->uri, sizeof out->uri, "%s", uri);
    while (len > 0 && len < (int)sizeof out->uri && out->uri[len - 1] == '/')
        out->uri[--len] = '\0';
    free(address);
    if (len >= (int)sizeof out->uri) {
        snprintf(error, BACKUP_ERROR, "the address is too long");
        return KW_E_INPUT;
    }
    /* who runs this may read what the file system lets them */
    if (strncasecmp(out->uri, "file:", 5) == 0 && backup_path_of(path, sizeof path, out->uri))
        out->folder = realpath(path, NULL);
    out->rules = (struct backup_rules){.folders = &out->folder,
                                       .folder_count = out->folder ? 1 : 0,
                                       .ca = ca ? ca : getenv("SSL_CERT_FILE")};
    if (sas_file)
        KW_TRY(backup_token_read(out->token, sas_file, error));
    return backup_place_open(&out->place, &out->rules, out->uri, out->token, error);
}

void dr_place_close(struct dr_place *place)
{
    backup_place_close(place->place);
    free(place->folder);
    kw_wipe(place->token, sizeof place->token);
    *place = (struct dr_place){.place = NULL};
}

/* --- manifests --- */

static bool copy_text(char *out, size_t len, const json_t *json)
{
    const char *text = json_string_value(json);
    return text && (size_t)snprintf(out, len, "%s", text) < len;
}

static bool read_manifest(struct dr_backup *out, const json_t *root)
{
    const json_t *archive = json_object_get(root, "archive"), *count;
    const char *kind;
    json_int_t size = json_integer_value(json_object_get(archive, "size"));
    if (!copy_text(out->vault, sizeof out->vault, json_object_get(root, "vault")) ||
        !copy_text(out->domain, sizeof out->domain, json_object_get(root, "domain")) ||
        !copy_text(out->digest, sizeof out->digest, json_object_get(archive, "sha256")) ||
        !gw_vault_name_ok(kw_span_str(out->vault)) ||
        out->domain[strspn(out->domain, "0123456789abcdef")] != '\0' ||
        !json_is_integer(json_object_get(root, "created")) || size <= 0)
        return false;
    out->created = json_integer_value(json_object_get(root, "created"));
    out->size = (uint64_t)size;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(root, "counts"), kind, count)
    {
        json_int_t objects = json_integer_value(json_object_get(count, "objects"));
        json_int_t versions = json_integer_value(json_object_get(count, "versions"));
        out->objects += objects > 0 ? (uint64_t)objects : 0;
        out->versions += versions > 0 ? (uint64_t)versions : 0;
    }
    return true;
}

kw_status dr_backup_open(struct dr_backup *out, struct dr_place *place, const char *folder,
                         char *error)
{
    uint64_t size = 0;
    *out = (struct dr_backup){.created = 0};
    if (!backup_folder_ok(folder)) {
        snprintf(error, BACKUP_ERROR, "%.100s is not the name of a backup", folder);
        return KW_E_INPUT;
    }
    snprintf(out->folder, sizeof out->folder, "%s", folder);
    int fd = memfd_create("manifest", MFD_CLOEXEC);
    char *text = malloc(FULL_MANIFEST_MAX);
    kw_status status = fd >= 0 && text ? KW_OK : KW_E_NOMEM;
    if (status == KW_OK)
        status =
            backup_get(place->place, folder, FULL_MANIFEST, fd, FULL_MANIFEST_MAX, &size, error);
    if (status == KW_OK && pread(fd, text, (size_t)size, 0) != (ssize_t)size)
        status = KW_E_IO;
    json_t *root = status == KW_OK ? json_loadb(text, (size_t)size, 0, NULL) : NULL;
    if (status == KW_OK && !read_manifest(out, root)) {
        snprintf(error, BACKUP_ERROR, "the manifest of %.127s is not whole", folder);
        status = KW_E_INTEGRITY;
    }
    json_decref(root);
    free(text);
    if (fd >= 0)
        close(fd);
    return status;
}

/* --- which there are --- */

struct names {
    char (*list)[BACKUP_FOLDER_MAX + 1];
    size_t count, cap;
    bool failed;
};

static void on_folder(void *ctx, const char *folder)
{
    struct names *names = ctx;
    if (names->count == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 64;
        void *more = cap <= NAMES_MAX ? realloc(names->list, cap * sizeof *names->list) : NULL;
        if (!more) {
            names->failed = true;
            return;
        }
        names->list = more;
        names->cap = cap;
    }
    snprintf(names->list[names->count++], sizeof *names->list, "%s", folder);
}

/** Length of what names of backups of one vault, made one way, have in common: all before the time.
 */
static size_t stem_len(const char *folder)
{
    const char *cut = strrchr(folder, '-');
    if (strncmp(folder, "keyward-", 8) == 0) {
        while (cut && cut > folder && *--cut != '-')
            ;
    }
    return cut ? (size_t)(cut - folder) : strlen(folder);
}

/* By stem; in a stem the newest first. */
static int newest_first(const void *a, const void *b)
{
    const char *x = a, *y = b;
    size_t len = stem_len(x), other = stem_len(y);
    int by = strncmp(x, y, len < other ? len : other);
    if (by == 0 && len != other)
        by = len < other ? -1 : 1;
    return by ? by : strcmp(y, x);
}

static struct dr_backup *of_vault(struct dr_backup *list, size_t count, const char *vault)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(list[i].vault, vault) == 0)
            return &list[i];
    }
    return NULL;
}

/** Keeps `one` where it is the newest of its vault. */
static kw_status keep(struct dr_backup **list, size_t *count, const struct dr_backup *one)
{
    struct dr_backup *there = of_vault(*list, *count, one->vault);
    if (there) {
        if (one->created > there->created)
            *there = *one;
        return KW_OK;
    }
    struct dr_backup *more = realloc(*list, (*count + 1) * sizeof *more);
    if (!more)
        return KW_E_NOMEM;
    *list = more;
    more[(*count)++] = *one;
    return KW_OK;
}

static kw_status look_at(struct dr_backup **out, size_t *count, size_t *unfinished,
                         struct dr_place *place, const struct names *names, const char *vault,
                         char *error)
{
    size_t good = 0, looked = 0;
    for (size_t i = 0; i < names->count; i++) {
        struct dr_backup one;
        size_t len = stem_len(names->list[i]);
        if (i == 0 || len != stem_len(names->list[i - 1]) ||
            strncmp(names->list[i], names->list[i - 1], len) != 0)
            good = looked = 0;
        if (good > 0 || looked == LOOK_AT)
            continue; /* newer ones of the same name are there */
        looked++;
        kw_status status = dr_backup_open(&one, place, names->list[i], error);
        if (status == KW_E_NOT_FOUND || status == KW_E_INTEGRITY || status == KW_E_TOO_LARGE) {
            ++*unfinished;
            continue;
        }
        KW_TRY(status);
        good++;
        if (!vault || strcasecmp(vault, one.vault) == 0)
            KW_TRY(keep(out, count, &one));
    }
    return KW_OK;
}

kw_status dr_backups_newest(struct dr_backup **out, size_t *count, size_t *unfinished,
                            struct dr_place *place, const char *vault, char *error)
{
    struct names names = {.list = NULL};
    *out = NULL;
    *count = *unfinished = 0;
    kw_status status = backup_list(place->place, "keyward-", on_folder, &names, error);
    if (status == KW_OK)
        status = backup_list(place->place, "mhsm-", on_folder, &names, error);
    if (status == KW_OK && names.failed)
        status = KW_E_NOMEM;
    if (status == KW_OK && names.count > 0) {
        qsort(names.list, names.count, sizeof *names.list, newest_first);
        status = look_at(out, count, unfinished, place, &names, vault, error);
    }
    free(names.list);
    if (status != KW_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* --- is it whole? --- */

struct reading {
    int fd;
    uint64_t at;
    const struct kc_domain *domain;
    struct dr_inventory *inventory;
    const struct dr_backup *backup;
    uint64_t versions;
};

static kw_status give(void *ctx, uint8_t *out, size_t len, size_t *got)
{
    struct reading *r = ctx;
    ssize_t n = pread(r->fd, out, len, (off_t)r->at);
    if (n < 0)
        return KW_E_IO;
    r->at += (uint64_t)n;
    *got = (size_t)n;
    return KW_OK;
}

static kw_status read_entries(struct reading *r, struct archive_reader *reader)
{
    enum archive_entry type;
    struct kw_span entry, plain;
    struct store_row row;
    kw_status status;
    while ((status = archive_next(reader, &type, &entry)) == KW_OK) {
        if (type != ARCHIVE_RECORD)
            continue;
        KW_TRY(archive_record_read(entry, &row, &plain));
        r->versions++;
        if (r->inventory)
            dr_inventory_add(r->inventory, r->domain, r->backup->vault, &row, plain);
    }
    KW_TRY(status == KW_E_NOT_FOUND ? KW_OK : status);
    return r->inventory ? r->inventory->status : KW_OK;
}

static kw_status read_archive(struct reading *r, char *error)
{
    struct archive_head head;
    struct archive_reader *reader = NULL;
    kw_status status = archive_reader_create(&reader, &head, r->domain, give, r);
    if (status == KW_OK)
        status = head.what == ARCHIVE_FULL ? read_entries(r, reader) : KW_E_INTEGRITY;
    archive_reader_destroy(reader);
    if (status == KW_OK && r->versions != r->backup->versions)
        status = KW_E_INTEGRITY;
    if (status == KW_E_FORBIDDEN)
        snprintf(error, BACKUP_ERROR, "it is sealed under another security domain (%.16s)",
                 r->backup->domain);
    else if (status == KW_E_UNSUPPORTED)
        snprintf(error, BACKUP_ERROR, "it was made by a newer keyward");
    else if (status != KW_OK)
        snprintf(error, BACKUP_ERROR, "the archive does not open (%s): it was changed or is cut",
                 kw_status_name(status));
    return status;
}

static kw_status digest_of(int fd, uint64_t size, char out[65])
{
    static uint8_t block[1 << 16];
    uint8_t digest[32];
    unsigned len = 0;
    uint64_t at = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    kw_status status = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? KW_OK : KW_E_NOMEM;
    while (status == KW_OK && at < size) {
        ssize_t n = pread(fd, block, sizeof block, (off_t)at);
        if (n <= 0 || EVP_DigestUpdate(md, block, (size_t)n) != 1)
            status = KW_E_IO;
        at += n > 0 ? (uint64_t)n : 0;
    }
    if (status == KW_OK && EVP_DigestFinal_ex(md, digest, &len) != 1)
        status = KW_E_INTERNAL;
    EVP_MD_CTX_free(md);
    for (size_t i = 0; status == KW_OK && i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return status;
}

/** A file without a name, on a disk: an archive may be larger than the memory. */
static int open_spool(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir && *dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : memfd_create("archive", MFD_CLOEXEC);
}

kw_status dr_backup_check(const struct dr_backup *backup, struct dr_place *place,
                          const struct kc_domain *domain, struct dr_inventory *inventory,
                          char *error)
{
    char digest[65] = "";
    uint64_t size = 0;
    struct reading r = {
        .fd = open_spool(), .domain = domain, .inventory = inventory, .backup = backup};
    if (r.fd < 0)
        return KW_E_IO;
    kw_status status =
        backup_get(place->place, backup->folder, FULL_ARCHIVE, r.fd, ARCHIVE_MAX, &size, error);
    if (status == KW_E_NOT_FOUND) {
        snprintf(error, BACKUP_ERROR, "its archive is missing");
        status = KW_E_INTEGRITY;
    }
    if (status == KW_OK)
        status = digest_of(r.fd, size, digest);
    if (status == KW_OK && (size != backup->size || strcmp(digest, backup->digest) != 0)) {
        snprintf(error, BACKUP_ERROR,
                 "the archive is not the one of the manifest: it was changed or is cut");
        status = KW_E_INTEGRITY;
    }
    if (status == KW_OK && domain)
        status = read_archive(&r, error);
    close(r.fd);
    if (inventory && status == KW_OK)
        dr_inventory_sort(inventory);
    return status;
}

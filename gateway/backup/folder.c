/* A local or mounted folder. A file is written beside its name and renamed when all of it is
 * durable. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/base/hex.h"
#include "gateway/backup/place_ops.h"

#define FILE_SCHEME "file://"
#define BLOCK       (1u << 20)

struct folder_place {
    struct backup_place base;
    int dir;
};

static kw_status fail(char *error, kw_status status, const char *what, const char *name)
{
    snprintf(error, BACKUP_ERROR, "%s %.80s: %.60s", what, name, strerror(errno));
    return status;
}

/* --- which folder --- */

bool backup_path_of(char *out, size_t len, const char *uri)
{
    const char *at = uri + strlen(FILE_SCHEME);
    size_t used = 0;
    if (strncasecmp(at, "localhost/", 10) == 0)
        at += 9;
    if (*at != '/')
        return false;
    for (; *at; at++) {
        int high = *at == '%' ? kw_hex_digit((uint8_t)at[1]) : 0;
        int low = *at == '%' && high >= 0 ? kw_hex_digit((uint8_t)at[2]) : 0;
        char c = *at == '%' ? (char)(high * 16 + low) : *at;
        if (high < 0 || low < 0 || c == '\0' || *at == '?' || *at == '#' || used == len - 1)
            return false;
        out[used++] = c;
        at += *at == '%' ? 2 : 0;
    }
    out[used] = '\0';
    return true;
}

/* Both are real paths, without links and dots. */
static bool is_below(const char *path, const char *allowed)
{
    size_t len = strlen(allowed);
    if (len == 1)
        return true;
    return strncmp(path, allowed, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static bool is_allowed(const struct backup_rules *rules, const char *real)
{
    bool allowed = false;
    for (size_t i = 0; i < rules->folder_count && !allowed; i++) {
        char *folder = realpath(rules->folders[i], NULL);
        allowed = folder && is_below(real, folder);
        free(folder);
    }
    return allowed;
}

static kw_status open_folder(int *dir, const struct backup_rules *rules, const char *uri,
                             char *error)
{
    char path[PATH_MAX];
    if (!backup_path_of(path, sizeof path, uri)) {
        snprintf(error, BACKUP_ERROR, "storageResourceUri: allowed is file:///PATH");
        return KW_E_INPUT;
    }
    char *real = realpath(path, NULL);
    bool allowed = real && is_allowed(rules, real);
    if (allowed)
        *dir = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    free(real);
    /* one answer for what is not there and what is not allowed: no way to look at the disk */
    if (!allowed) {
        snprintf(error, BACKUP_ERROR,
                 "storageResourceUri: this folder is not there, or not below one of "
                 "backup.folders in the configuration");
        return KW_E_FORBIDDEN;
    }
    return *dir >= 0 ? KW_OK : fail(error, KW_E_IO, "the folder cannot be opened", path);
}

/* --- files --- */

static kw_status write_all(int fd, const uint8_t *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return KW_E_IO;
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return KW_OK;
}

/** `size` bytes from the start of `from` to the start of `to`. */
static kw_status copy(struct backup_place *place, int to, int from, uint64_t size, char *error)
{
    uint8_t *block = malloc(BLOCK);
    kw_status status = block ? KW_OK : KW_E_NOMEM;
    for (uint64_t at = 0; at < size && status == KW_OK;) {
        size_t want = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        status = place_go_on(place);
        if (status != KW_OK)
            break;
        ssize_t n = pread(from, block, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* it became shorter */
        if (n <= 0)
            status = fail(error, KW_E_IO, "a file of the backup", "cannot be read");
        else if (write_all(to, block, (size_t)n, at) != KW_OK)
            status = fail(error, KW_E_IO, "a file of the backup", "cannot be written");
        else
            at += (uint64_t)n;
    }
    free(block);
    return status;
}

static kw_status put_in(struct backup_place *place, int dir, const char *name, int fd,
                        uint64_t size, char *error)
{
    char part[NAME_MAX + 1];
    if (snprintf(part, sizeof part, "%s.part", name) >= (int)sizeof part)
        return KW_E_INPUT;
    int to = openat(dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0)
        return fail(error, KW_E_IO, "the file cannot be made:", part);
    kw_status status = copy(place, to, fd, size, error);
    if (status == KW_OK && fsync(to) != 0)
        status = fail(error, KW_E_IO, "the file cannot be made durable:", part);
    if (close(to) != 0 && status == KW_OK)
        status = fail(error, KW_E_IO, "the file cannot be made durable:", part);
    if (status == KW_OK && (renameat(dir, part, dir, name) != 0 || fsync(dir) != 0))
        status = fail(error, KW_E_IO, "the file cannot be given its name:", name);
    if (status != KW_OK)
        unlinkat(dir, part, 0);
    return status;
}

static kw_status folder_put(struct backup_place *place, const char *folder, const char *name,
                            int fd, uint64_t size, char *error)
{
    int top = ((struct folder_place *)place)->dir;
    if (mkdirat(top, folder, 0700) != 0 && errno != EEXIST)
        return fail(error, KW_E_IO, "the backup's folder cannot be made:", folder);
    int dir = openat(top, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return fail(error, KW_E_IO, "the backup's folder cannot be opened:", folder);
    kw_status status = put_in(place, dir, name, fd, size, error);
    close(dir);
    if (status == KW_OK && fsync(top) != 0)
        status = fail(error, KW_E_IO, "the backup's folder cannot be made durable:", folder);
    return status;
}

static kw_status get_from(struct backup_place *place, int from, int fd, uint64_t max,
                          uint64_t *size, char *error)
{
    struct stat about;
    if (fstat(from, &about) != 0 || !S_ISREG(about.st_mode))
        return KW_E_NOT_FOUND;
    if ((uint64_t)about.st_size > max)
        return KW_E_TOO_LARGE;
    *size = (uint64_t)about.st_size;
    if (ftruncate(fd, 0) != 0)
        return KW_E_IO;
    return copy(place, fd, from, *size, error);
}

static kw_status folder_get(struct backup_place *place, const char *folder, const char *name,
                            int fd, uint64_t max, uint64_t *size, char *error)
{
    int top = ((struct folder_place *)place)->dir;
    int dir = openat(top, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int from = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    kw_status status = from < 0 ? fail(error, errno == ENOENT ? KW_E_NOT_FOUND : KW_E_IO,
                                       "the file of the backup cannot be opened:", name)
                                : get_from(place, from, fd, max, size, error);
    if (from >= 0)
        close(from);
    if (dir >= 0)
        close(dir);
    return status;
}

static kw_status folder_probe(struct backup_place *place, bool writes, char *error)
{
    int top = ((struct folder_place *)place)->dir;
    char name[64];
    if (!writes)
        return faccessat(top, ".", R_OK | X_OK, 0) == 0
                   ? KW_OK
                   : fail(error, KW_E_IO, "the folder", "cannot be read");
    snprintf(name, sizeof name, ".keyward-probe-%ld", (long)getpid());
    int fd = openat(top, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(error, KW_E_IO, "the folder", "cannot be written");
    close(fd);
    unlinkat(top, name, 0);
    return KW_OK;
}

/* --- what is there --- */

static bool take_away(int dir, const char *name)
{
    return unlinkat(dir, name, 0) == 0 || errno == ENOENT;
}

/* Each removal is durable before the next: after a crash the folder is the whole backup, or one
 * whose first files are missing. */
static kw_status remove_files(int dir, const char *const *names, size_t count, char *error)
{
    for (size_t i = 0; i < count; i++) {
        char part[NAME_MAX + 1];
        if (snprintf(part, sizeof part, "%s.part", names[i]) >= (int)sizeof part)
            return KW_E_INPUT;
        if (!take_away(dir, names[i]) || !take_away(dir, part) || fsync(dir) != 0)
            return fail(error, KW_E_IO, "the file cannot be removed:", names[i]);
    }
    return KW_OK;
}

static kw_status folder_remove(struct backup_place *place, const char *folder,
                               const char *const *names, size_t count, char *error)
{
    int top = ((struct folder_place *)place)->dir;
    int dir = openat(top, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT
                   ? KW_OK
                   : fail(error, KW_E_IO, "the backup's folder cannot be opened:", folder);
    kw_status status = remove_files(dir, names, count, error);
    close(dir);
    KW_TRY(status);
    if (unlinkat(top, folder, AT_REMOVEDIR) != 0 && errno != ENOENT && errno != ENOTEMPTY &&
        errno != EEXIST)
        return fail(error, KW_E_IO, "the backup's folder cannot be removed:", folder);
    return fsync(top) == 0 ? KW_OK : fail(error, KW_E_IO, "the removal is not durable:", folder);
}

static kw_status folder_list(struct backup_place *place, const char *prefix, backup_found_fn *found,
                             void *ctx, char *error)
{
    int fd = openat(((struct folder_place *)place)->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    kw_status status = KW_OK;
    if (!entries) {
        if (fd >= 0)
            close(fd);
        return fail(error, KW_E_IO, "the folder", "cannot be read");
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (!entry || (status = place_go_on(place)) != KW_OK)
            break;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && backup_folder_ok(entry->d_name))
            found(ctx, entry->d_name);
    }
    if (status == KW_OK && errno != 0)
        status = fail(error, KW_E_IO, "the folder", "cannot be read");
    closedir(entries);
    return status;
}

static void folder_close(struct backup_place *place)
{
    close(((struct folder_place *)place)->dir);
    free(place);
}

kw_status place_open_folder(struct backup_place **out, const struct backup_rules *rules,
                            const char *uri, char *error)
{
    static const struct place_ops ops = {folder_put,    folder_get,  folder_probe,
                                         folder_remove, folder_list, folder_close};
    int dir = -1;
    KW_TRY(open_folder(&dir, rules, uri, error));
    struct folder_place *place = calloc(1, sizeof *place);
    if (!place) {
        close(dir);
        return KW_E_NOMEM;
    }
    place->base = (struct backup_place){.ops = &ops, .rules = rules};
    place->dir = dir;
    *out = &place->base;
    return KW_OK;
}

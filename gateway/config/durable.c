#include "gateway/config/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static kw_status failed(const char *what, const char *path, char *error, size_t error_len)
{
    snprintf(error, error_len, "%s: cannot %s: %s", path, what, strerror(errno));
    return KW_E_IO;
}

static bool write_all(int fd, struct kw_span content)
{
    while (content.len > 0) {
        ssize_t n = write(fd, content.data, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        content.data += n;
        content.len -= (size_t)n;
    }
    return true;
}

static bool sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

kw_status gw_write_durable(const char *path, struct kw_span content, unsigned mode, char *error,
                           size_t error_len)
{
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return failed("write", path, error, error_len);
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return failed("create", temporary, error, error_len);
    bool ok = fchmod(fd, mode) == 0 && write_all(fd, content) && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (!ok || rename(temporary, path) != 0) {
        kw_status status = failed("write", path, error, error_len);
        unlink(temporary);
        return status;
    }
    return sync_folder(path) ? KW_OK : failed("sync the folder of", path, error, error_len);
}

kw_status gw_rename_durable(const char *from, const char *to, char *error, size_t error_len)
{
    if (rename(from, to) != 0)
        return failed("rename to", to, error, error_len);
    return sync_folder(to) ? KW_OK : failed("sync the folder of", to, error, error_len);
}

kw_status gw_make_folder(const char *path, char *error, size_t error_len)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        errno = len ? ENAMETOOLONG : ENOENT;
        return failed("create folder", path, error, error_len);
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, i == len ? 0700 : 0755) != 0 && errno != EEXIST)
            return failed("create folder", part, error, error_len);
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return failed("use folder", path, error, error_len);
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return failed("use folder", path, error, error_len);
    }
    return KW_OK;
}

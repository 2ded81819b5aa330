#include "pool/pkcs11/state_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

kw_status pool_state_path(char *out, const char *dir, const char *prefix, const char *member)
{
    int n = snprintf(out, POOL_STATE_PATH, "%s/%s", dir, prefix);
    if (n < 0 || (size_t)n + strlen(member) + sizeof(".json.new") > POOL_STATE_PATH) {
        return KW_E_TOO_LARGE;
    }
    char *at = out + n;
    for (const char *c = member; *c != '\0'; c++) {
        *at++ = isalnum((unsigned char)*c) || strchr("-_.", *c) != NULL ? *c : '_';
    }
    memcpy(at, ".json", sizeof ".json");
    return KW_OK;
}

kw_status pool_state_read(const char *path, char *out, size_t cap, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return access(path, F_OK) == 0 ? KW_E_IO : KW_E_NOT_FOUND;
    }
    ssize_t n = read(fd, out, cap - 1);
    close(fd);
    if (n < 0) {
        return KW_E_IO;
    }
    *len = (size_t)n;
    out[n] = '\0';
    return KW_OK;
}

static kw_status sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return KW_E_IO;
    }
    int failed = fsync(fd);
    close(fd);
    return failed == 0 ? KW_OK : KW_E_IO;
}

kw_status pool_state_write(const char *dir, const char *path, const char *text, size_t len)
{
    char draft[POOL_STATE_PATH + 8];
    snprintf(draft, sizeof(draft), "%s.new", path);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return KW_E_IO;
    }
    bool ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (!ok || rename(draft, path) != 0) {
        unlink(draft);
        return KW_E_IO;
    }
    return sync_dir(dir);
}

kw_status pool_state_remove(const char *dir, const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return KW_E_IO;
    }
    return sync_dir(dir);
}

#include "gateway/store/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static kw_status check_dir(const char *dir, char *error, size_t error_len)
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        snprintf(error, error_len, "cannot make the data directory %s: %s", dir, strerror(errno));
        return KW_E_IO;
    }
    if (stat(dir, &st) != 0) {
        snprintf(error, error_len, "cannot look at the data directory %s: %s", dir,
                 strerror(errno));
        return KW_E_IO;
    }
    if (!S_ISDIR(st.st_mode)) {
        snprintf(error, error_len, "%s is not a directory", dir);
        return KW_E_IO;
    }
    if (st.st_mode & S_IWOTH) {
        snprintf(error, error_len,
                 "the data directory %s may be written by everybody (mode %04o): chmod 0700 it",
                 dir, (unsigned)(st.st_mode & 07777));
        return KW_E_FORBIDDEN;
    }
    return KW_OK;
}

/** The process id that the holder left in the lock file; 0 when it is not readable. */
static long holder_of(int fd)
{
    char text[32] = {0};
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static void leave_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* for the message of a second gateway only: a failure here costs nothing else */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return;
}

kw_status store_dir_open(int *lock_fd, const char *dir, char *error, size_t error_len)
{
    char path[PATH_MAX];
    KW_TRY(check_dir(dir, error, error_len));
    if (snprintf(path, sizeof path, "%s/keyward.lock", dir) >= (int)sizeof path) {
        snprintf(error, error_len, "the path of the data directory is too long");
        return KW_E_INPUT;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        snprintf(error, error_len, "cannot open %s: %s", path, strerror(errno));
        return KW_E_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        if (why == EWOULDBLOCK)
            snprintf(error, error_len,
                     "the data directory %s is in use by another gateway (process %ld)", dir,
                     holder_of(fd));
        else
            snprintf(error, error_len, "cannot lock %s: %s", path, strerror(why));
        close(fd);
        return why == EWOULDBLOCK ? KW_E_CONFLICT : KW_E_IO;
    }
    leave_pid(fd);
    *lock_fd = fd;
    return KW_OK;
}

kw_status store_file_prepare(const char *path, char *error, size_t error_len)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(error, error_len, "cannot open %s: %s", path, strerror(errno));
        return KW_E_IO;
    }
    kw_status status = KW_OK;
    if (fstat(fd, &st) != 0 || ((st.st_mode & 077) && fchmod(fd, 0600) != 0)) {
        snprintf(error, error_len, "cannot set the mode of %s to 0600: %s", path, strerror(errno));
        status = KW_E_IO;
    }
    close(fd);
    return status;
}

kw_status store_dir_sync(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return KW_E_IO;
    kw_status status = fsync(fd) == 0 ? KW_OK : KW_E_IO;
    close(fd);
    return status;
}

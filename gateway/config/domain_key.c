#include "gateway/config/domain_key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/config/durable.h"

static kw_status path_of(char path[PATH_MAX], const char *data, const char *name, char *error,
                         size_t error_len)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", data, name);
    if (n > 0 && n < PATH_MAX)
        return KW_OK;
    snprintf(error, error_len, "the path of the data directory is too long");
    return KW_E_INPUT;
}

static kw_status read_key(struct kc_domain **out, int fd, const char *path, char *error,
                          size_t error_len)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != KC_DOMAIN_KEY_LEN) {
        snprintf(error, error_len, "%s: not a domain key (a file of %d bytes)", path,
                 KC_DOMAIN_KEY_LEN);
        return KW_E_INPUT;
    }
    if (st.st_mode & 077) {
        snprintf(error, error_len,
                 "%s: mode %04o lets others read the domain key; run: chmod 600 %s", path,
                 (unsigned)st.st_mode & 07777u, path);
        return KW_E_FORBIDDEN;
    }
    uint8_t *key = kw_secret_alloc(KC_DOMAIN_KEY_LEN);
    if (!key)
        return KW_E_NOMEM;
    kw_status status = KW_E_IO;
    if (read(fd, key, KC_DOMAIN_KEY_LEN) == KC_DOMAIN_KEY_LEN)
        status = kc_domain_open(out, kw_span_of(key, KC_DOMAIN_KEY_LEN));
    kw_secret_free(key);
    if (status != KW_OK)
        snprintf(error, error_len, "%s: the domain key cannot be used (%s)", path,
                 kw_status_name(status));
    return status;
}

static kw_status read_named(struct kc_domain **out, const char *data, const char *name, char *error,
                            size_t error_len)
{
    char path[PATH_MAX];
    KW_TRY(path_of(path, data, name, error, error_len));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        snprintf(error, error_len, "%s: the domain key cannot be read: %s", path, strerror(errno));
        return errno == ENOENT ? KW_E_NOT_FOUND : KW_E_IO;
    }
    kw_status status = read_key(out, fd, path, error, error_len);
    close(fd);
    return status;
}

kw_status gw_domain_key_read(struct kc_domain **out, const char *data, char *error,
                             size_t error_len)
{
    return read_named(out, data, GW_DOMAIN_KEY_FILE, error, error_len);
}

static kw_status write_key(const struct kc_domain *domain, const char *path, char *error,
                           size_t error_len)
{
    struct kw_secret key = {.data = NULL, .len = 0};
    kw_status status = kc_domain_key(domain, &key);
    if (status == KW_OK)
        status = gw_write_durable(path, kw_span_of(key.data, key.len), 0600, error, error_len);
    else
        snprintf(error, error_len, "the domain key cannot be had (%s)", kw_status_name(status));
    kw_secret_clear(&key);
    return status;
}

kw_status gw_domain_key_keep(const struct kc_domain *domain, const char *data, char *error,
                             size_t error_len)
{
    char path[PATH_MAX];
    KW_TRY(path_of(path, data, GW_DOMAIN_KEY_FILE, error, error_len));
    if (access(path, F_OK) == 0) {
        snprintf(error, error_len, "%s exists already; a security domain is never overwritten",
                 path);
        return KW_E_CONFLICT;
    }
    return write_key(domain, path, error, error_len);
}

kw_status gw_domain_key_create(struct kc_domain **out, const char *data, char *error,
                               size_t error_len)
{
    struct kc_domain *domain = NULL;
    kw_status status = kc_domain_create(&domain);
    if (status != KW_OK)
        snprintf(error, error_len, "a domain key cannot be made (%s)", kw_status_name(status));
    else
        status = gw_domain_key_keep(domain, data, error, error_len);
    if (status == KW_OK)
        *out = domain;
    else
        kc_domain_destroy(domain);
    return status;
}

/* --- the next key --- */

/* What a file holds, through the descriptor that was opened while it still had its name. */
static void overwrite(int fd)
{
    static const uint8_t zeros[KC_DOMAIN_KEY_LEN];
    if (pwrite(fd, zeros, sizeof zeros, 0) == (ssize_t)sizeof zeros)
        (void)!fsync(fd);
}

kw_status gw_domain_next_write(const struct kc_domain *domain, const char *data, char *error,
                               size_t error_len)
{
    char path[PATH_MAX];
    KW_TRY(path_of(path, data, GW_DOMAIN_NEXT_FILE, error, error_len));
    return write_key(domain, path, error, error_len);
}

kw_status gw_domain_next_read(struct kc_domain **out, const char *data, char *error,
                              size_t error_len)
{
    return read_named(out, data, GW_DOMAIN_NEXT_FILE, error, error_len);
}

kw_status gw_domain_next_take(const char *data, char *error, size_t error_len)
{
    char path[PATH_MAX], next[PATH_MAX];
    KW_TRY(path_of(path, data, GW_DOMAIN_KEY_FILE, error, error_len));
    KW_TRY(path_of(next, data, GW_DOMAIN_NEXT_FILE, error, error_len));
    int old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    kw_status status = gw_rename_durable(next, path, error, error_len);
    if (status == KW_OK && old >= 0)
        overwrite(old);
    if (old >= 0)
        close(old);
    return status;
}

void gw_domain_next_drop(const char *data)
{
    char path[PATH_MAX], error[64];
    if (path_of(path, data, GW_DOMAIN_NEXT_FILE, error, sizeof error) != KW_OK)
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    overwrite(fd);
    close(fd);
    unlink(path);
}

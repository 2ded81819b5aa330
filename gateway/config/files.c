#include "gateway/config/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *gw_config_join(const char *dir, const char *name)
{
    char *out = NULL;
    if (!dir || asprintf(&out, "%s/%s", dir, name) < 0)
        return NULL;
    return out;
}

char *gw_config_folder(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *folder = !slash          ? strdup(".")
                   : slash == file ? strdup("/")
                                   : strndup(file, (size_t)(slash - file));
    if (!folder)
        return NULL;
    char *absolute = realpath(folder, NULL);
    free(folder);
    return absolute;
}

char *gw_config_path(const char *base, const char *path)
{
    if (!path)
        return NULL;
    return path[0] == '/' ? strdup(path) : gw_config_join(base, path);
}

char *gw_config_bind(const char *base, const char *bind)
{
    if (strncmp(bind, "unix:", 5) != 0 || bind[5] == '\0')
        return strdup(bind);
    char *path = gw_config_path(base, bind + 5), *out = NULL;
    if (path && asprintf(&out, "unix:%s", path) < 0)
        out = NULL;
    free(path);
    return out;
}

static bool read_exactly(int fd, char *to, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, to, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

kw_status gw_config_read(const char *file, size_t max, char **text, size_t *len, char *error,
                         size_t error_len)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(error, error_len, "%s: cannot be read: %s", file, strerror(errno));
        if (fd >= 0)
            close(fd);
        return KW_E_IO;
    }
    kw_status status = KW_OK;
    if (!S_ISREG(st.st_mode) || (uintmax_t)st.st_size > max) {
        snprintf(error, error_len, "%s: not a regular file of at most %zu bytes", file, max);
        status = KW_E_INPUT;
    } else if (!(*text = malloc((size_t)st.st_size + 1))) {
        status = KW_E_NOMEM;
    } else if (!read_exactly(fd, *text, (size_t)st.st_size)) {
        snprintf(error, error_len, "%s: cannot be read whole", file);
        free(*text);
        *text = NULL;
        status = KW_E_IO;
    } else {
        *len = (size_t)st.st_size;
        (*text)[*len] = '\0';
    }
    close(fd);
    return status;
}

/* Never asks on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)ctx;
    return -1;
}

static FILE *open_named(struct gw_document *doc, const char *path, const char *field,
                        const char *file)
{
    FILE *stream = fopen(file, "re");
    char where[128];
    snprintf(where, sizeof where, "%s.tls.%s", path, field);
    if (!stream)
        gw_document_problem(doc, where, "found \"%.256s\", which cannot be read: %s", file,
                            strerror(errno));
    return stream;
}

void gw_config_check_tls(struct gw_document *doc, const char *path,
                         const struct gw_listener_config *listener)
{
    char where[128];
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    FILE *stream = open_named(doc, path, "certificate", listener->certificate);
    if (stream) {
        cert = PEM_read_X509(stream, NULL, no_passphrase, NULL);
        fclose(stream);
        snprintf(where, sizeof where, "%s.tls.certificate", path);
        if (!cert)
            gw_document_problem(doc, where, "found \"%.256s\"; allowed: a PEM certificate",
                                listener->certificate);
    }
    stream = open_named(doc, path, "private_key", listener->private_key);
    if (stream) {
        key = PEM_read_PrivateKey(stream, NULL, no_passphrase, NULL);
        fclose(stream);
        snprintf(where, sizeof where, "%s.tls.private_key", path);
        if (!key)
            gw_document_problem(doc, where,
                                "found \"%.256s\"; allowed: a PEM private key without "
                                "a passphrase",
                                listener->private_key);
        else if (cert && X509_check_private_key(cert, key) != 1)
            gw_document_problem(doc, where, "the key does not belong to the certificate");
    }
    if (listener->client_ca) {
        stream = open_named(doc, path, "client_ca", listener->client_ca);
        if (stream)
            fclose(stream);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
}

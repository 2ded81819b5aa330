#include "gateway/backup/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/base/secret.h"

kw_status backup_token_read(char out[BACKUP_TOKEN_MAX + 1], const char *file, char *error)
{
    char text[BACKUP_TOKEN_MAX + 4];
    size_t len = 0;
    ssize_t n = 1;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && n > 0 && len < sizeof text) {
        n = read(fd, text + len, sizeof text - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || n < 0) {
        snprintf(error, BACKUP_ERROR, "%.128s: the SAS token cannot be read: %s", file,
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        kw_wipe(text, sizeof text);
        return KW_E_IO;
    }
    close(fd);
    const char *at = text;
    while (len > 0 && (at[len - 1] == '\n' || at[len - 1] == '\r' || at[len - 1] == ' '))
        len--;
    if (len > 0 && *at == '?')
        at++, len--;
    bool usable =
        len > 0 && len <= BACKUP_TOKEN_MAX && !memchr(at, 0, len) && !memchr(at, '\n', len);
    if (usable) {
        memcpy(out, at, len);
        out[len] = '\0';
    } else {
        snprintf(error, BACKUP_ERROR, "%.128s: there is no SAS token in it", file);
    }
    kw_wipe(text, sizeof text);
    return usable ? KW_OK : KW_E_INPUT;
}

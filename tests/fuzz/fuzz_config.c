/* The configuration file: any text is taken or refused with a reason, and nothing is lost. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    char error[4096];
    struct gw_config *config = NULL;
    if (fd < 0) {
        fd = memfd_create("config.yaml", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    kw_status status = gw_config_look(&config, path, error, sizeof error);
    if ((status == KW_OK) != (error[0] == '\0') || (status == KW_OK && config == NULL))
        abort();
    gw_config_free(config);
    return 0;
}

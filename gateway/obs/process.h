#pragma once
/* What the process uses, from /proc. */

#include <stdint.h>

struct gw_process {
    uint64_t resident_bytes;
    double cpu_seconds;
    unsigned open_fds;
};

/** Any thread. What cannot be read is 0. */
void gw_process_read(struct gw_process *out);

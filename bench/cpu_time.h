#pragma once
/* What processes cost, read from outside, for programs that measure member hosts. */

#include <stdint.h>
#include <sys/types.h>

struct cpu_time {
    int64_t self_ns;     /* this process, all threads */
    int64_t children_ns; /* its children that run now */
    uint64_t switches;   /* times that a thread of either gave up a processor by itself */
};

/** Reads them; processes that end while it looks count as nothing. */
void cpu_time_read(struct cpu_time *out);

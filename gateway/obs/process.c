#include "gateway/obs/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void gw_process_read(struct gw_process *out)
{
    memset(out, 0, sizeof *out);
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long long total = 0, resident = 0;
    if (statm) {
        if (fscanf(statm, "%llu %llu", &total, &resident) == 2)
            out->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
        fclose(statm);
    }
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    DIR *fds = opendir("/proc/self/fd");
    if (!fds)
        return;
    const struct dirent *entry;
    while ((entry = readdir(fds)) != NULL)
        out->open_fds += entry->d_name[0] != '.';
    closedir(fds);
    if (out->open_fds > 0)
        out->open_fds--; /* the one that looked */
}

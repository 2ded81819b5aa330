#include "bench/cpu_time.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(clockid_t clock)
{
    struct timespec at;
    return clock_gettime(clock, &at) == 0 ? at.tv_sec * INT64_C(1000000000) + at.tv_nsec : 0;
}

/* Parent of a process, 0 when it is gone. The name may hold anything but the last parenthesis. */
static pid_t parent_of(const char *pid)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    char *end = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    int parent = 0;
    return end != NULL && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static uint64_t switches_of_thread(const char *pid, const char *thread)
{
    char path[96], line[256];
    unsigned long long count = 0;
    snprintf(path, sizeof path, "/proc/%.20s/task/%.20s/status", pid, thread);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

static uint64_t switches_of(const char *pid)
{
    char path[64];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%.20s/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        sum += entry->d_name[0] != '.' ? switches_of_thread(pid, entry->d_name) : 0;
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return sum;
}

void cpu_time_read(struct cpu_time *out)
{
    *out = (struct cpu_time){.self_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID)};
    out->switches = switches_of("self");
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes != NULL && (entry = readdir(processes)) != NULL;) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        clockid_t clock;
        if (pid > 0 && parent_of(entry->d_name) == getpid() &&
            clock_getcpuclockid(pid, &clock) == 0) {
            out->children_ns += now_ns(clock);
            out->switches += switches_of(entry->d_name);
        }
    }
    if (processes != NULL) {
        closedir(processes);
    }
}

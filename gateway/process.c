#include "gateway/process.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "crypto/base/clock.h"
#include "gateway/obs/log.h"

static void raise_limit(int resource, const char *name)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(resource, &limit) != 0)
        gw_log(GW_LOG_WARN, "a limit cannot be raised", "limit", name, NULL);
}

void gw_process_harden(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        gw_log(GW_LOG_WARN, "core dumps cannot be switched off", NULL);
#ifndef __SANITIZE_ADDRESS__ /* the leak check of the sanitizer has to trace the process */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        gw_log(GW_LOG_WARN, "the process cannot be closed to debuggers", NULL);
#endif
    raise_limit(RLIMIT_NOFILE, "nofile");
    raise_limit(RLIMIT_MEMLOCK, "memlock");
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void gw_notify(const char *state)
{
    sd_notify(0, state);
}

void gw_notify_reloading(void)
{
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, kw_now_ns() / 1000);
    sd_notify(0, state);
}

void gw_process_again(void)
{
    enum { MAX_ARGS = 64 };
    static char line[65536];
    char *args[MAX_ARGS + 1];
    size_t count = 0;
    FILE *stream = fopen("/proc/self/cmdline", "re");
    size_t len = stream ? fread(line, 1, sizeof line - 1, stream) : 0;
    if (stream)
        fclose(stream);
    for (size_t at = 0; at < len && count < MAX_ARGS; at += strlen(line + at) + 1)
        args[count++] = line + at;
    args[count] = NULL;
    if (count > 0)
        execv("/proc/self/exe", args);
    gw_log(GW_LOG_ERROR, "the program cannot be started anew", "error", strerror(errno), NULL);
}

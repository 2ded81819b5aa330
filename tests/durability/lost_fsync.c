/* One fsync of the log fails with EIO, every later one would succeed. Nothing may be acknowledged
 * from then on, and everything acknowledged before must be there. strace makes the fault; without
 * it, or where tracing is not allowed, the test is skipped (77).
 * The same for one ENOSPC on a write: the changes of its transaction are refused, and those that
 * come before the probe. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/durability/check.h"
#include "tests/support/ts_store.h"

static int run(struct check *check, const char *dir, unsigned count, const char *const *wrapper)
{
    int out = -1, how = 0;
    pid_t pid = check_start(dir, 0, count, wrapper, &out);
    check_read(check, out);
    if (waitpid(pid, &how, 0) != pid)
        abort();
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128;
}

static bool can_trace(const char *dir)
{
    static struct check nothing;
    const char *const strace[] = {"strace", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
                                  NULL};
    return run(&nothing, dir, 0, strace) == 0;
}

static bool fsync_fails(const char *dir)
{
    static struct check check;
    /* counted per thread: the tenth of the thread that writes; opening needs fewer */
    const char *const strace[] = {"strace", "-f",
                                  "-o",     "/dev/null",
                                  "-e",     "trace=fsync,fdatasync",
                                  "-e",     "inject=fsync,fdatasync:error=EIO:when=10",
                                  NULL};
    if (run(&check, dir, 400, strace) != 0)
        return false;
    printf("EIO: %u puts and %u deletes acknowledged, %u refused (%u with io)\n", check.puts,
           check.deletes, check.refused, check.refused_io);
    return check.puts > 0 && check.refused > 100 && check.refused_io > 0 && check.refused_io <= 8 &&
           check.acks_after_refusal == 0 && check.not_read_only == 0 && check_store(&check, dir, 0);
}

static bool no_space(const char *dir)
{
    static struct check check;
    const char *const strace[] = {"strace", "-f",
                                  "-o",     "/dev/null",
                                  "-e",     "trace=pwrite64",
                                  "-e",     "inject=pwrite64:error=ENOSPC:when=40",
                                  NULL};
    if (run(&check, dir, 400, strace) != 0)
        return false;
    printf("ENOSPC: %u puts and %u deletes acknowledged, %u refused (%u with io)\n", check.puts,
           check.deletes, check.refused, check.refused_io);
    return check.puts > 0 && check.refused > 0 && check.refused_io > 0 &&
           check_store(&check, dir, 0);
}

int main(void)
{
    char dir[64];
    ts_dir_make(dir);
    if (!can_trace(dir)) {
        fprintf(stderr, "strace cannot trace here: skipped\n");
        ts_dir_remove(dir);
        return 77;
    }
    bool good = fsync_fails(dir);
    ts_dir_remove(dir);
    ts_dir_make(dir);
    good = can_trace(dir) && no_space(dir) && good;
    ts_dir_remove(dir);
    return good ? 0 : 1;
}

/* A process that writes is killed at random moments, fifty times on the same database; after each
 * kill everything it acknowledged must be there. Argument: rounds (default 50). */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/durability/check.h"
#include "tests/support/ts_store.h"

int main(int argc, char **argv)
{
    static struct check check;
    char dir[64];
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 50, killed = 0;
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    ts_dir_make(dir);
    for (unsigned round = 0; round < rounds; round++) {
        int out = -1, how = 0;
        pid_t pid = check_start(dir, round * 7000, 7000, NULL, &out);
        /* the pipe holds some thousand lines: the writer does not wait for us before the kill */
        long ms = 5 + rand_r(&seed) % 120;
        nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
        kill(pid, SIGKILL);
        check_read(&check, out);
        if (waitpid(pid, &how, 0) != pid)
            abort();
        killed += WIFSIGNALED(how);
        /* the last three rounds each time, all of them at the end */
        unsigned from = round + 1 == rounds || round < 2 ? 0 : (round - 2) * 7000;
        if (check.refused > 0 || !check_store(&check, dir, from)) {
            fprintf(stderr, "round %u failed (%u refused); the data is in %s\n", round,
                    check.refused, dir);
            return 1;
        }
    }
    printf("%u rounds, %u killed, %u puts and %u deletes acknowledged, all there\n", rounds, killed,
           check.puts, check.deletes);
    ts_dir_remove(dir);
    if (killed < rounds / 2 || check.puts < rounds || check.deletes == 0) {
        fprintf(stderr, "the kills did not meet the writer at work\n");
        return 1;
    }
    return 0;
}

/* Kills moves_writer at random moments and looks at what it left: no object half moved, nothing
 * that was acknowledged taken back. Arguments: how often (100). */

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/durability/moves.h"
#include "tests/support/ts_store.h"
#include "tests/support/ts_store_check.h"

/** One object as its rows in the database say. */
struct found {
    unsigned kinds; /* bit for each kind that is there */
    bool live, deleted, uneven;
    long long deleted_at;
    char versions[8192]; /* of its main kind, oldest first */
};

/** What was said of one object: the last move that was acknowledged, and one begun after it. */
struct told {
    int done, begun; /* enum move, or -1 */
};

static unsigned long counts[MOVE_COUNT], cut;
/* The longest time to a kill: longer on a machine that gets little done in it. */
static long longest_us = 60000;

static pid_t start(const char *dir, unsigned seed, int *out)
{
    char self[PATH_MAX], program[PATH_MAX + 16], text[16];
    int ends[2];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0 || pipe2(ends, O_CLOEXEC) != 0)
        abort();
    self[len] = '\0';
    snprintf(program, sizeof program, "%s/moves_writer", dirname(self));
    snprintf(text, sizeof text, "%u", seed);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, dir, text, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static struct told *told_of(struct told told[2][MOVES_OBJECTS], const char *name)
{
    const char *dash = strchr(name, '-');
    int number = dash ? atoi(dash + 1) : -1;
    if (number < 0 || number >= MOVES_OBJECTS)
        abort();
    return &told[name[0] == 'c'][number];
}

static void take_lines(int fd, struct told told[2][MOVES_OBJECTS])
{
    char line[128], phase[16], op[16], name[16];
    FILE *lines = fdopen(fd, "r");
    if (!lines)
        abort();
    while (fgets(line, sizeof line, lines)) {
        if (!strchr(line, '\n') || sscanf(line, "%15s %15s %15s", phase, op, name) != 3 ||
            strcmp(op, "all") == 0)
            continue;
        for (int move = 0; move < MOVE_COUNT; move++) {
            if (strcmp(op, move_names[move]) != 0)
                continue;
            struct told *one = told_of(told, name);
            bool done = strcmp(phase, "done") == 0;
            one->begun = done ? -1 : move;
            if (done) {
                one->done = move;
                counts[move]++;
            }
        }
    }
    fclose(lines);
}

static void take_row(struct found *found, sqlite3_stmt *st, bool main_kind)
{
    long long deleted_at = sqlite3_column_int64(st, 2);
    const char *versions = (const char *)sqlite3_column_text(st, 3);
    bool first = found->kinds == 0;
    found->kinds |= 1u << sqlite3_column_int(st, 1);
    *(deleted_at ? &found->deleted : &found->live) = true;
    if (first)
        found->deleted_at = deleted_at;
    else if (found->deleted_at != deleted_at)
        found->uneven = true;
    if (!versions)
        found->uneven = true; /* an object without a version */
    else if (main_kind && !found->versions[0])
        snprintf(found->versions, sizeof found->versions, "%s", versions);
    else if (main_kind && strcmp(found->versions, versions) != 0)
        found->uneven = true;
}

static bool read_objects(sqlite3 *db, struct found found[2][MOVES_OBJECTS])
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(
        db,
        "SELECT name, kind, deleted_at, (SELECT group_concat(version) FROM (SELECT version FROM "
        "versions WHERE object = o.id ORDER BY seq)) FROM objects o",
        -1, &st, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        int number = atoi(strchr(name, '-') + 1);
        bool certificate = name[0] == 'c';
        /* a policy has one version of its own */
        take_row(&found[certificate][number], st, sqlite3_column_int(st, 1) != STORE_KEY_POLICY);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE;
}

/** Is the object as it is after `move`? -1: nothing is known of it. */
static bool fits(const struct found *found, int move)
{
    switch (move) {
    case MOVE_DELETE:
        return found->deleted;
    case MOVE_PURGE:
        return true; /* it may be made anew right away */
    case -1:
        return true;
    default:
        return found->live;
    }
}

static bool check_object(const struct found *found, const struct told *told, const char *name)
{
    /* a key may be there before its policy is: it is made in two steps */
    unsigned key = 1u << STORE_KEY, both = key | 1u << STORE_KEY_POLICY;
    unsigned all = key | 1u << STORE_CERTIFICATE | 1u << STORE_SECRET;
    bool whole = name[0] == 'c' ? found->kinds == 0 || found->kinds == all
                                : found->kinds == 0 || found->kinds == key || found->kinds == both;
    bool as_told = told->begun >= 0 || fits(found, told->done);
    bool possible = fits(found, told->begun) || fits(found, told->done);
    if (whole && !found->uneven && !(found->live && found->deleted) && as_told && possible)
        return true;
    fprintf(stderr, "%s: kinds %x live %d deleted %d uneven %d; done %d begun %d; %s\n", name,
            found->kinds, found->live, found->deleted, found->uneven, told->done, told->begun,
            found->versions);
    return false;
}

static bool check(const char *dir, const struct told told[2][MOVES_OBJECTS])
{
    static struct found found[2][MOVES_OBJECTS];
    char path[PATH_MAX], name[16];
    sqlite3 *db = NULL;
    memset(found, 0, sizeof found);
    snprintf(path, sizeof path, "%s/keyward.db", dir);
    const char *damage = ts_store_damage(dir);
    bool good = !damage && sqlite3_open(path, &db) == SQLITE_OK && read_objects(db, found);
    if (!good)
        fprintf(stderr, "the database is damaged: %s\n", damage ? damage : sqlite3_errmsg(db));
    for (int certificate = 0; certificate < 2 && good; certificate++) {
        for (int i = 0; i < MOVES_OBJECTS; i++) {
            snprintf(name, sizeof name, "%s-%d", certificate ? "cert" : "key", i);
            good = check_object(&found[certificate][i], &told[certificate][i], name) && good;
        }
    }
    sqlite3_close(db);
    return good;
}

static unsigned long acknowledged(void)
{
    unsigned long all = 0;
    for (int move = 0; move < MOVE_COUNT; move++)
        all += counts[move];
    return all;
}

static bool one_kill(const char *dir, unsigned round)
{
    struct told told[2][MOVES_OBJECTS];
    int fd = -1, status = 0;
    memset(told, 0xff, sizeof told); /* -1 */
    pid_t pid = start(dir, round, &fd);
    struct pollfd first = {.fd = fd, .events = POLLIN};
    if (poll(&first, 1, 30000) != 1)
        return false;
    unsigned long before = acknowledged();
    usleep((useconds_t)(rand() % longest_us));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    take_lines(fd, told);
    if (acknowledged() < before + 2 && longest_us < 900000)
        longest_us += longest_us / 8;
    if (!WIFSIGNALED(status)) {
        fprintf(stderr, "round %u: the writer ended by itself (%d)\n", round, status);
        return false;
    }
    for (int i = 0; i < 2 * MOVES_OBJECTS; i++)
        cut += told[i / MOVES_OBJECTS][i % MOVES_OBJECTS].begun >= 0;
    if (check(dir, told))
        return true;
    fprintf(stderr, "round %u\n", round);
    return false;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100;
    char dir[64];
    bool good = true;
    ts_dir_make(dir);
    srand((unsigned)time(NULL));
    for (unsigned round = 1; round <= rounds && good; round++)
        good = one_kill(dir, round);
    printf("%u kills, %lu of them inside a move; acknowledged:", rounds, cut);
    for (int move = 0; move < MOVE_COUNT; move++)
        printf(" %lu %s", counts[move], move_names[move]);
    printf("\n");
    /* a run in which nothing happened would prove nothing */
    for (int move = 0; move < MOVE_COUNT; move++)
        good = good && counts[move] > rounds / 10;
    good = good && cut > rounds / 10;
    ts_dir_remove(dir);
    return good ? 0 : 1;
}

#include "tests/durability/check.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/ts_store.h"
#include "tests/support/ts_store_check.h"

static void writer_path(char out[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        abort();
    self[len] = '\0';
    if (snprintf(out, PATH_MAX, "%s/store_writer", dirname(self)) >= PATH_MAX)
        abort();
}

pid_t check_start(const char *dir, unsigned first, unsigned count, const char *const *wrapper,
                  int *out)
{
    char program[PATH_MAX], from[16], many[16];
    char *argv[24];
    size_t argc = 0;
    int ends[2];
    writer_path(program);
    snprintf(from, sizeof from, "%u", first);
    snprintf(many, sizeof many, "%u", count);
    for (; wrapper && wrapper[argc] && argc < 16; argc++)
        argv[argc] = (char *)(uintptr_t)wrapper[argc];
    argv[argc++] = program;
    argv[argc++] = (char *)(uintptr_t)dir;
    argv[argc++] = from;
    argv[argc++] = many;
    argv[argc] = NULL;
    if (pipe2(ends, O_CLOEXEC) != 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static void take_line(struct check *check, const char *line)
{
    unsigned n = 0;
    int read_only = 0;
    char why[32] = "";
    bool put = sscanf(line, "put %u", &n) == 1;
    bool deleted = !put && sscanf(line, "delete %u", &n) == 1;
    if (n >= CHECK_NUMBERS)
        abort();
    if (put || deleted) {
        (put ? check->put : check->deleted)[n] = 1;
        *(put ? &check->puts : &check->deletes) += 1;
        if (check->refused > 0)
            check->acks_after_refusal++;
    } else if (strstr(line, " not_found ") && sscanf(line, "refused %u", &n) == 1 &&
               n < CHECK_NUMBERS && !check->put[n]) {
        return; /* the delete of a key whose put was cut off by a kill */
    } else if (sscanf(line, "refused %u %31s %d", &n, why, &read_only) == 3) {
        check->refused++;
        check->refused_io += strcmp(why, "io") == 0;
        check->not_read_only += !read_only;
    }
}

void check_read(struct check *check, int fd)
{
    char line[256];
    FILE *lines = fdopen(fd, "r");
    if (!lines)
        abort();
    while (fgets(line, sizeof line, lines))
        if (strchr(line, '\n')) /* a line cut by the kill was not acknowledged in full */
            take_line(check, line);
    fclose(lines);
}

static bool check_one(struct store *store, struct ts_loop *loop, unsigned n, bool deleted)
{
    char name[32], record[64];
    struct ts_answer answer = {0};
    snprintf(name, sizeof name, "key-%u", n);
    struct store_ref ref = ts_ref(name, NULL);
    if (deleted)
        store_get_deleted(store, ts_loop_handle(loop), &ref, ts_answer_take, &answer);
    else
        store_get(store, ts_loop_handle(loop), &ref, ts_answer_take, &answer);
    if (!ts_loop_run_until(loop, &answer.done, 20000))
        abort();
    int len = snprintf(record, sizeof record, "record of %u", n);
    bool good = answer.result.status == KW_OK &&
                strcmp(answer.result.rows[0].version, ts_version(n)) == 0 &&
                answer.result.rows[0].record_len == (size_t)len &&
                memcmp(answer.result.rows[0].record, record, (size_t)len) == 0;
    ts_answer_clear(&answer);
    return good;
}

bool check_store(const struct check *check, const char *dir, unsigned from)
{
    char error[256] = "";
    struct store *store = NULL;
    struct ts_loop *loop = ts_loop_create();
    bool good = true;
    if (ts_store_open(&store, dir, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        ts_loop_destroy(loop);
        return false;
    }
    for (unsigned n = from; n < CHECK_NUMBERS && good; n++) {
        if (!check->put[n])
            continue;
        /* a delete that was asked for and not acknowledged may have come through or not */
        good = check->deleted[n] ? check_one(store, loop, n, true)
                                 : check_one(store, loop, n, false) ||
                                       (n % 5 == 3 && check_one(store, loop, n, true));
        if (!good)
            fprintf(stderr, "number %u was acknowledged (deleted: %d) and is not so\n", n,
                    check->deleted[n]);
    }
    store_close(store);
    ts_loop_destroy(loop);
    const char *damage = good ? ts_store_damage(dir) : NULL;
    if (damage)
        fprintf(stderr, "the database is damaged: %s\n", damage);
    return good && !damage;
}

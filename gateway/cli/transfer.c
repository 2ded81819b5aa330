/* keyward export, keyward export verify, keyward import: whole vaults, through the control socket
 * of the gateway that runs. */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"
#include "gateway/config/config.h"

#define PIECE    (1u << 20)
#define PATH_LEN 4096

struct words {
    const char *file, *data, *vault, *out;
};

/* One command in its life. */
struct transfer {
    struct gw_place place;
    char host[128]; /* NAME.localhost: selects the vault */
    const char *vault;
    const char *collection; /* "/export", "/import" */
    char id[64];
};

static int read_words(const struct cli_command *command, int argc, char **argv, struct words *out,
                      struct cli_words *words)
{
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration the gateway runs with",
         &out->file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &out->data},
        {"--vault", NULL, CLI_VALUE, "NAME", "the vault (default: default)", &out->vault},
        {"--output", "-o", CLI_VALUE, "FILE", "where the archive goes", &out->out},
        {.name = NULL}};
    int code = cli_read(command, options, argc, argv, words);
    if (code == CLI_GO_ON && out->file && out->data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    return code;
}

static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 63 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == len;
}

static int open_place(struct transfer *t, const struct words *words)
{
    char error[1024];
    t->vault = words->vault ? words->vault : "default";
    if (!name_ok(t->vault))
        return cli_usage(NULL, "--vault: \"%s\" is no name of a vault", t->vault);
    snprintf(t->host, sizeof t->host, "%s%slocalhost", words->vault ? t->vault : "",
             words->vault ? "." : "");
    if (gw_place_find(&t->place, words->file, words->data, error, sizeof error) == KW_OK)
        return CLI_GO_ON;
    fprintf(stderr, "%s\n", error);
    return 2;
}

/* --- asking --- */

/** The answer's JSON when its status is 2xx, else a sentence and NULL. */
static json_t *ask(struct transfer *t, const char *method, const char *path, const void *body,
                   size_t len)
{
    struct cli_exchange x = {
        .method = method, .path = path, .host = t->host, .body = body, .body_len = len};
    char error[1024];
    if (cli_exchange(t->place.control, &x, error, sizeof error) != KW_OK) {
        cli_fail("%s", error);
        return NULL;
    }
    json_t *answer = x.answer_len > 0 ? json_loadb(x.answer, x.answer_len, 0, NULL) : json_object();
    free(x.answer);
    if (x.status / 100 == 2 && answer)
        return answer;
    const char *why =
        json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    cli_fail("%s", why ? why : "the gateway gave no usable answer");
    json_decref(answer);
    return NULL;
}

static const char *text_of(const json_t *job, const char *name)
{
    const char *text = json_string_value(json_object_get(job, name));
    return text ? text : "";
}

static void job_path(const struct transfer *t, char out[PATH_LEN], const char *more)
{
    snprintf(out, PATH_LEN, "%s/%s%s", t->collection, t->id, more);
}

static void drop(struct transfer *t)
{
    char path[PATH_LEN];
    job_path(t, path, "");
    json_decref(ask(t, "DELETE", path, NULL, 0));
}

/** Takes the id of a job that was just begun. A gateway without the vault answers for another. */
static bool take_id(struct transfer *t, const json_t *job)
{
    const char *id = text_of(job, "id"), *vault = text_of(job, "vault");
    if (strlen(id) >= sizeof t->id || strspn(id, "0123456789abcdef") != strlen(id))
        return false;
    snprintf(t->id, sizeof t->id, "%s", id);
    if (strcasecmp(vault, t->vault) == 0)
        return true;
    cli_fail("the gateway has no vault \"%s\"", t->vault);
    drop(t);
    return false;
}

static void print_counts(const json_t *job)
{
    const char *kind;
    json_t *count;
    json_object_foreach(json_object_get(job, "counts"), kind, count)
        printf("  %-20s %10lld objects %10lld versions\n", kind,
               (long long)json_integer_value(json_object_get(count, "objects")),
               (long long)json_integer_value(json_object_get(count, "versions")));
    printf("  snapshot %s of vault %s, security domain %s\n", text_of(job, "snapshot"),
           text_of(job, "origin"), text_of(job, "domain"));
    printf("  sha256   %s\n", text_of(job, "sha256"));
}

static int print_failure(const json_t *job)
{
    size_t i;
    json_t *name;
    cli_fail("%s", text_of(json_object_get(job, "error"), "message"));
    json_array_foreach(json_object_get(job, "conflicts"), i, name)
        fprintf(stderr, "  %s\n", json_string_value(name));
    if ((size_t)json_integer_value(json_object_get(job, "conflictCount")) > i)
        fprintf(stderr, "  ...\n");
    return 1;
}

/** Waits until the job has ended: its last state, or NULL. */
static json_t *wait_for(struct transfer *t)
{
    char path[PATH_LEN];
    job_path(t, path, "");
    for (;;) {
        json_t *job = ask(t, "GET", path, NULL, 0);
        const char *status = text_of(job, "status");
        if (!job || (strcmp(status, "InProgress") != 0 && strcmp(status, "Receiving") != 0))
            return job;
        json_decref(job);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

/* --- export ------------------------------------------------------------------------------------
 *
 * FILE.part holds what has come, FILE.part.id the job: a command that was interrupted goes on. */

struct download {
    char part[PATH_LEN], id[PATH_LEN];
    int fd;
    off_t have;
};

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/** The job of an interrupted download, if the gateway still has it. */
static bool resume(struct transfer *t, struct download *d)
{
    char path[PATH_LEN];
    FILE *file = fopen(d->id, "re");
    bool known = file && fscanf(file, "%63[0-9a-f]", t->id) == 1;
    if (file)
        fclose(file);
    if (!known)
        return false;
    job_path(t, path, "");
    struct cli_exchange x = {.method = "GET", .path = path, .host = t->host};
    char error[1024];
    known = cli_exchange(t->place.control, &x, error, sizeof error) == KW_OK && x.status == 200;
    free(x.answer);
    return known;
}

static bool begin(struct transfer *t, struct download *d)
{
    bool goes_on = resume(t, d);
    d->fd = open(d->part, O_WRONLY | O_CREAT | O_CLOEXEC | (goes_on ? 0 : O_TRUNC), 0600);
    if (d->fd < 0) {
        cli_fail("%s: %s", d->part, strerror(errno));
        return false;
    }
    d->have = lseek(d->fd, 0, SEEK_END);
    if (goes_on) {
        fprintf(stderr, "keyward: going on at byte %lld\n", (long long)d->have);
        return true;
    }
    json_t *job = ask(t, "POST", "/export", NULL, 0);
    bool good = job && take_id(t, job);
    json_decref(job);
    int fd = good ? open(d->id, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        write_all(fd, t->id, strlen(t->id)); /* without it the next try begins anew */
        close(fd);
    }
    return good;
}

/** One piece. 1: came, 0: nothing more is there now, -1: failed. */
static int take_piece(struct transfer *t, struct download *d)
{
    char path[PATH_LEN], more[64], error[1024];
    snprintf(more, sizeof more, "/data?offset=%lld", (long long)d->have);
    job_path(t, path, more);
    struct cli_exchange x = {.method = "GET", .path = path, .host = t->host};
    if (cli_exchange(t->place.control, &x, error, sizeof error) != KW_OK) {
        cli_fail("%s; the same command again goes on at byte %lld", error, (long long)d->have);
        return -1;
    }
    int result = x.status == 200 ? 1 : x.status == 204 ? 0 : -1;
    if (result == 1 && !write_all(d->fd, x.answer, x.answer_len)) {
        cli_fail("%s: %s", d->part, strerror(errno));
        result = -1;
    } else if (result == 1) {
        d->have += (off_t)x.answer_len;
    } else if (result == -1) {
        cli_fail("the gateway answered %d", x.status);
    }
    free(x.answer);
    return result;
}

/** Everything of the job: its last state, or NULL. */
static json_t *take_all(struct transfer *t, struct download *d)
{
    char path[PATH_LEN];
    job_path(t, path, "");
    for (;;) {
        json_t *job = ask(t, "GET", path, NULL, 0);
        if (!job)
            return NULL;
        bool ended = strcmp(text_of(job, "status"), "InProgress") != 0;
        int came = 1;
        while (came == 1)
            came = take_piece(t, d);
        if (came == 0 && ended)
            return job;
        json_decref(job);
        if (came < 0)
            return NULL;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}

static int finish(struct download *d, const json_t *job, const char *out)
{
    if (strcmp(text_of(job, "status"), "Succeeded") != 0)
        return print_failure(job);
    if ((json_int_t)d->have != json_integer_value(json_object_get(job, "size")))
        return cli_fail("%s has another length than the archive; remove it and begin anew",
                        d->part);
    if (fsync(d->fd) != 0 || rename(d->part, out) != 0)
        return cli_fail("%s: %s", out, strerror(errno));
    printf("%s: %lld bytes\n", out, (long long)d->have);
    print_counts(job);
    return 0;
}

static int run_export(struct transfer *t, const char *out)
{
    struct download d = {.fd = -1};
    int code = 1;
    if (snprintf(d.part, sizeof d.part, "%s.part", out) >= (int)sizeof d.part - 8)
        return cli_fail("the name of the output file is too long");
    if (access(out, F_OK) == 0)
        return cli_fail("%s is there already", out);
    snprintf(d.id, sizeof d.id, "%.*s.id", PATH_LEN - 8, d.part);
    t->collection = "/export";
    json_t *job = begin(t, &d) ? take_all(t, &d) : NULL;
    if (job) {
        code = finish(&d, job, out);
        unlink(d.id);
        drop(t);
    }
    json_decref(job);
    if (d.fd >= 0)
        close(d.fd);
    return code;
}

/* --- import, verify --- */

static bool send_all(struct transfer *t, int fd)
{
    char *piece = malloc(PIECE);
    long long offset = 0;
    ssize_t n = piece ? 1 : -1;
    while (n > 0) {
        char path[PATH_LEN], more[64];
        n = read(fd, piece, PIECE);
        if (n <= 0)
            break;
        snprintf(more, sizeof more, "/data?offset=%lld", offset);
        job_path(t, path, more);
        json_t *job = ask(t, "PUT", path, piece, (size_t)n);
        if (!job) {
            free(piece);
            return false;
        }
        json_decref(job);
        offset += n;
    }
    free(piece);
    if (n < 0)
        cli_fail("the archive cannot be read: %s", strerror(errno));
    return n == 0;
}

static int run_import(struct transfer *t, const char *file, bool verify)
{
    static const char body[] = "{\"verify\":true}";
    char path[PATH_LEN];
    int code = 1, fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail("%s: %s", file, strerror(errno));
    t->collection = "/import";
    json_t *job = ask(t, "POST", "/import", verify ? body : NULL, verify ? sizeof body - 1 : 0);
    bool good = job && take_id(t, job);
    json_decref(job);
    job = NULL;
    if (good && send_all(t, fd)) {
        job_path(t, path, "/commit");
        json_decref(ask(t, "POST", path, NULL, 0));
        job = wait_for(t);
    }
    if (job && strcmp(text_of(job, "status"), "Succeeded") == 0) {
        printf("%s: %s\n", file, verify ? "whole, and of this security domain" : "imported");
        print_counts(job);
        code = 0;
    } else if (job) {
        code = print_failure(job);
    }
    if (good)
        drop(t);
    json_decref(job);
    close(fd);
    return code;
}

/* --- commands --- */

int cli_export(const struct cli_command *command, int argc, char **argv)
{
    struct words options = {0};
    struct cli_words words;
    struct transfer t = {.id = ""};
    int code = read_words(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    bool verify = words.count > 0 && strcmp(words.word[0], "verify") == 0;
    if (verify ? words.count != 2 || options.out : words.count != 0 || !options.out)
        return cli_usage(command, "an export needs -o FILE; keyward export verify needs one FILE");
    code = open_place(&t, &options);
    if (code != CLI_GO_ON)
        return code;
    code = verify ? run_import(&t, words.word[1], true) : run_export(&t, options.out);
    gw_place_clear(&t.place);
    return code;
}

int cli_import(const struct cli_command *command, int argc, char **argv)
{
    struct words options = {0};
    struct cli_words words;
    struct transfer t = {.id = ""};
    int code = read_words(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    if (words.count != 1 || options.out)
        return cli_usage(command, "an import needs one FILE");
    code = open_place(&t, &options);
    if (code != CLI_GO_ON)
        return code;
    code = run_import(&t, words.word[0], false);
    gw_place_clear(&t.place);
    return code;
}

/* keyward backup, keyward backup verify, keyward restore: full backups, through the control socket
 * of the gateway that runs. */

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "crypto/base/secret.h"
#include "gateway/backup/place.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"
#include "gateway/config/config.h"

#define NAME_LEN 63

struct words {
    const char *file, *data, *vault, *to, *sas_file, *key;
};

/* One command in its life. */
struct full {
    struct gw_place place;
    char host[NAME_LEN + 16]; /* NAME.localhost: selects the vault */
    char uri[PATH_MAX * 3 + 16];
    char token[BACKUP_TOKEN_MAX + 2];
};

/* --- what is asked for --- */

/** "/PATH" and "PATH" as an address; an address stays as it is. */
static bool address_of(struct full *f, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./~";
    char full[PATH_MAX];
    size_t used = 7;
    if (strstr(text, "://"))
        return snprintf(f->uri, sizeof f->uri, "%s", text) < (int)sizeof f->uri;
    if (!realpath(text, full)) {
        cli_fail("%s: there is no such folder", text);
        return false;
    }
    memcpy(f->uri, "file://", 8);
    for (const char *at = full; *at; at++) {
        bool as_is = strchr(plain, *at) != NULL;
        used += (size_t)snprintf(f->uri + used, sizeof f->uri - used, as_is ? "%c" : "%%%02x",
                                 (unsigned char)*at);
    }
    return true;
}

/** A SAS token opens a container: it is read from a file, not from the command line, which
 *  everybody on the machine can see. */
static bool read_token(struct full *f, const char *path)
{
    if (!path)
        return true;
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(f->token, 1, sizeof f->token, file) : 0;
    if (file)
        fclose(file);
    while (len > 0 && len < sizeof f->token &&
           (f->token[len - 1] == '\n' || f->token[len - 1] == '\r' || f->token[len - 1] == ' '))
        len--;
    if (len == 0 || len == sizeof f->token) {
        cli_fail("%s: there is no SAS token in it", path);
        return false;
    }
    f->token[len] = '\0';
    return true;
}

static int open_command(struct full *f, const struct words *words, const char *address)
{
    char error[1024];
    const char *vault = words->vault ? words->vault : "";
    if (strlen(vault) > NAME_LEN ||
        strspn(vault, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") !=
            strlen(vault))
        return cli_usage(NULL, "--vault: \"%s\" is no name of a vault", vault);
    snprintf(f->host, sizeof f->host, "%s%slocalhost", vault, *vault ? "." : "");
    if (!address_of(f, address) || !read_token(f, words->sas_file))
        return 1;
    if (gw_place_find(&f->place, words->file, words->data, error, sizeof error) == KW_OK)
        return CLI_GO_ON;
    fprintf(stderr, "%s\n", error);
    return 2;
}

/** {storageResourceUri, token} of an address. */
static json_t *place_json(const struct full *f, size_t uri_len)
{
    json_t *place = json_pack("{s:s%}", "storageResourceUri", f->uri, uri_len);
    if (place && f->token[0])
        json_object_set_new(place, "token", json_string(f->token));
    return place;
}

/** The body of a request that names a backup: container, '/', folder. */
static json_t *source_json(const struct full *f, const char *folder_name)
{
    size_t len = strlen(f->uri);
    while (len > 0 && f->uri[len - 1] == '/')
        len--;
    size_t cut = len;
    while (cut > 0 && f->uri[cut - 1] != '/')
        cut--;
    if (cut == 0 || cut == len)
        return NULL;
    return json_pack("{s:o,s:s%}", "sasTokenParameters", place_json(f, cut - 1), folder_name,
                     f->uri + cut, len - cut);
}

/* --- asking --- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/** The answer's JSON when its status is 2xx, else a sentence and NULL. */
static json_t *ask(struct full *f, const char *method, const char *path, const json_t *body)
{
    char error[1024], *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct cli_exchange x = {.method = method,
                             .path = path,
                             .host = f->host,
                             .json = body != NULL,
                             .seconds = 60,
                             .body = text,
                             .body_len = text ? strlen(text) : 0};
    json_t *answer = NULL;
    if (cli_exchange(f->place.control, &x, error, sizeof error) != KW_OK)
        cli_fail("%s", error);
    else
        answer = x.answer_len > 0 ? json_loadb(x.answer, x.answer_len, 0, NULL) : json_object();
    bool good = answer && x.status / 100 == 2;
    if (answer && !good) {
        const char *why = text_of(json_object_get(answer, "error"), "message");
        cli_fail("%s", *why ? why : "the gateway gave no usable answer");
    }
    free(x.answer);
    if (text)
        kw_wipe(text, strlen(text));
    free(text);
    if (good)
        return answer;
    json_decref(answer);
    return NULL;
}

static void print_job(const json_t *job)
{
    const char *kind;
    json_t *count;
    json_object_foreach(json_object_get(job, "counts"), kind, count)
        printf("  %-20s %10lld objects %10lld versions\n", kind,
               (long long)json_integer_value(json_object_get(count, "objects")),
               (long long)json_integer_value(json_object_get(count, "versions")));
    printf("  snapshot %s of vault %s, security domain %s\n", text_of(job, "snapshot"),
           text_of(job, "origin"), text_of(job, "domain"));
    printf("  sha256   %s, %lld bytes\n", text_of(job, "sha256"),
           (long long)json_integer_value(json_object_get(job, "size")));
}

/** Begins a job, waits for its end and tells of it. */
static int run(struct full *f, const char *method, const char *path, const char *polled,
               const json_t *body, const char *success)
{
    char pending[128];
    json_t *job = ask(f, method, path, body);
    if (!job)
        return 1;
    snprintf(pending, sizeof pending, "%s/%.64s/pending", polled, text_of(job, "jobId"));
    while (job && strcmp(text_of(job, "status"), "InProgress") == 0) {
        json_decref(job);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        job = ask(f, "GET", pending, NULL);
    }
    if (!job)
        return 1;
    int code = 0;
    if (strcmp(text_of(job, "status"), "Succeeded") == 0) {
        const char *where = text_of(job, "azureStorageBlobContainerUri");
        printf("%s: %s\n", *where ? where : f->uri, success);
        print_job(job);
    } else {
        code = cli_fail("%s", text_of(json_object_get(job, "error"), "message"));
    }
    json_decref(job);
    return code;
}

/* --- commands --- */

static int read_words(const struct cli_command *command, int argc, char **argv, struct words *out,
                      struct cli_words *words)
{
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration the gateway runs with",
         &out->file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &out->data},
        {"--vault", NULL, CLI_VALUE, "NAME", "the vault (default: default)", &out->vault},
        {"--to", NULL, CLI_VALUE, "PLACE", "folder that backups go to", &out->to},
        {"--sas-file", NULL, CLI_VALUE, "FILE", "holds the SAS token of the place", &out->sas_file},
        {"--key", NULL, CLI_VALUE, "NAME", "restore this key alone", &out->key},
        {.name = NULL}};
    int code = cli_read(command, options, argc, argv, words);
    if (code == CLI_GO_ON && out->file && out->data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    return code;
}

static int run_source(struct full *f, const char *method, const char *path, const char *polled,
                      bool key, const char *success)
{
    json_t *body = source_json(f, key ? "folder" : "folderToRestore");
    int code = body ? run(f, method, path, polled, body, success)
                    : cli_fail("%s is not the address of a backup", f->uri);
    json_decref(body);
    return code;
}

int cli_backup(const struct cli_command *command, int argc, char **argv)
{
    struct words options = {0};
    struct cli_words words;
    static struct full f;
    int code = read_words(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    bool verify = words.count > 0 && strcmp(words.word[0], "verify") == 0;
    if (options.key || (verify ? words.count != 2 || options.to : words.count != 0 || !options.to))
        return cli_usage(command,
                         "a backup needs --to PLACE; keyward backup verify needs one BACKUP");
    code = open_command(&f, &options, verify ? words.word[1] : options.to);
    if (code != CLI_GO_ON)
        return code;
    if (verify) {
        code = run_source(&f, "POST", "/backup/verify", "/backup", false,
                          "whole, and of this security domain");
    } else {
        json_t *body = place_json(&f, strlen(f.uri));
        code = run(&f, "POST", "/backup", "/backup", body, "backed up");
        json_decref(body);
    }
    kw_wipe(f.token, sizeof f.token);
    gw_place_clear(&f.place);
    return code;
}

int cli_restore(const struct cli_command *command, int argc, char **argv)
{
    struct words options = {0};
    struct cli_words words;
    static struct full f;
    char path[256] = "/restore";
    int code = read_words(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    if (words.count != 1 || options.to)
        return cli_usage(command, "a restore needs one BACKUP");
    if (options.key &&
        (strlen(options.key) > 127 || strspn(options.key, "abcdefghijklmnopqrstuvwxyz"
                                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                          "0123456789-") != strlen(options.key)))
        return cli_usage(command, "--key: \"%s\" is no name of a key", options.key);
    if (options.key)
        snprintf(path, sizeof path, "/keys/%s/restore", options.key);
    code = open_command(&f, &options, words.word[0]);
    if (code != CLI_GO_ON)
        return code;
    code = run_source(&f, "PUT", path, "/restore", options.key != NULL, "restored");
    kw_wipe(f.token, sizeof f.token);
    gw_place_clear(&f.place);
    return code;
}

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"
#include "gateway/config/config.h"

struct place_options {
    const char *file, *data;
    bool json, force;
};

static int read_options(const struct cli_command *command, int argc, char **argv,
                        struct place_options *out, struct cli_words *words)
{
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration the gateway runs with",
         &out->file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &out->data},
        {"--json", NULL, CLI_FLAG, NULL, "print status.json as it is", &out->json},
        {"--force", NULL, CLI_FLAG, NULL,
         "member remove: also the last one, or the last HSM, that serves", &out->force},
        {.name = NULL}};
    int code = cli_read(command, options, argc, argv, words);
    if (code == CLI_GO_ON && out->file && out->data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    return code;
}

/* Exit code, or CLI_GO_ON with the answer. */
static int ask(const struct place_options *options, const char *method, const char *path,
               int *http_status, char **body)
{
    char error[1024];
    struct gw_place place;
    if (gw_place_find(&place, options->file, options->data, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    kw_status status =
        cli_control(place.control, method, path, http_status, body, error, sizeof error);
    gw_place_clear(&place);
    return status == KW_OK ? CLI_GO_ON : cli_fail("%s", error);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static long long number_of(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_members(const json_t *members)
{
    size_t i, name_width = 6, state_width = 5;
    const json_t *member;
    json_array_foreach(members, i, member)
    {
        size_t name = strlen(text_of(member, "name")), state = strlen(text_of(member, "state"));
        name_width = name > name_width ? name : name_width;
        state_width = state > state_width ? state : state_width;
    }
    printf("%-*s  %-6s  %-*s  %9s  %7s  %10s  %8s  %s\n", (int)name_width, "MEMBER", "TYPE",
           (int)state_width, "STATE", "IN FLIGHT", "WAITING", "DONE", "FAILED", "REASON");
    json_array_foreach(members, i, member)
    {
        const char *reason = text_of(member, "reason");
        printf("%-*s  %-6s  %-*s  %9lld  %7lld  %10lld  %8lld%s%s\n", (int)name_width,
               text_of(member, "name"), text_of(member, "type"), (int)state_width,
               text_of(member, "state"), number_of(member, "in_flight"),
               number_of(member, "queued"), number_of(member, "operations"),
               number_of(member, "failed"), *reason ? "  " : "", reason);
    }
}

static void print_span(long long seconds)
{
    if (seconds < 120)
        printf("%lld s", seconds);
    else if (seconds < 7200)
        printf("%lld min", seconds / 60);
    else if (seconds < 172800)
        printf("%lld h", seconds / 3600);
    else
        printf("%lld days", seconds / 86400);
}

/* Vaults that have a backup or should have one. */
static void print_backups(const json_t *backups)
{
    size_t i;
    const json_t *backup;
    bool any = false;
    json_array_foreach(backups, i, backup)
    {
        bool has = json_object_get(backup, "last_at") != NULL;
        long long every = number_of(backup, "every_seconds");
        if (!has && every == 0)
            continue;
        any = true;
        printf("backup of %s: ", text_of(backup, "vault"));
        if (has) {
            print_span(number_of(backup, "age_seconds"));
            printf(" old%s, %s",
                   json_is_true(json_object_get(backup, "verified")) ? ", verified" : "",
                   text_of(backup, "last_place"));
        } else {
            printf("none yet");
        }
        if (every > 0) {
            printf("; one every ");
            print_span(every);
            printf(", %lld kept", number_of(backup, "kept"));
        }
        if (number_of(backup, "failures") > 0)
            printf("\n  FAILED %lld times since: %s", number_of(backup, "failures"),
                   text_of(backup, "error"));
        putchar('\n');
    }
    if (any)
        putchar('\n');
}

static void print_status(const json_t *status)
{
    bool ready = json_is_true(json_object_get(status, "ready"));
    printf("keyward %s: %s", text_of(status, "version"), ready ? "ready" : "NOT READY");
    size_t i;
    const json_t *reason;
    json_array_foreach(json_object_get(status, "reasons"), i, reason)
        printf("%s%s", i ? ", " : ": ", json_string_value(reason));
    printf("\nup %lld s, %lld requests, %lld connections, %lld MiB, security domain %s\n\n",
           number_of(status, "uptime_seconds"), number_of(status, "requests"),
           number_of(status, "connections"),
           number_of(json_object_get(status, "process"), "resident_bytes") >> 20,
           text_of(status, "domain"));
    const json_t *reload = json_object_get(status, "reload");
    if (*text_of(reload, "restart_needed"))
        printf("a restart is needed for what changed in: %s\n\n",
               text_of(reload, "restart_needed"));
    if (*text_of(reload, "error"))
        printf("the last reload left something as it was:\n%s\n\n", text_of(reload, "error"));
    print_backups(json_object_get(status, "backups"));
    print_members(json_object_get(status, "members"));
}

static int show(const struct place_options *options, bool members_only)
{
    int http_status = 0;
    char *body = NULL;
    int code = ask(options, "GET", "/status.json", &http_status, &body);
    if (code != CLI_GO_ON)
        return code;
    json_t *status = json_loads(body, 0, NULL);
    if (http_status != 200 || !json_is_object(status)) {
        code = cli_fail("the gateway answered %d and no status", http_status);
    } else {
        if (options->json && members_only)
            json_dumpf(json_object_get(status, "members"), stdout, JSON_INDENT(2));
        else if (options->json)
            fputs(body, stdout);
        else if (members_only)
            print_members(json_object_get(status, "members"));
        else
            print_status(status);
        if (options->json)
            putchar('\n');
        code = members_only || json_is_true(json_object_get(status, "ready")) ? 0 : 1;
    }
    json_decref(status);
    free(body);
    return code;
}

int cli_status(const struct cli_command *command, int argc, char **argv)
{
    struct place_options options = {.json = false};
    struct cli_words words;
    int code = read_options(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    if (options.force)
        return cli_usage(command, "--force has no meaning here");
    if (words.count > 0)
        return cli_usage(command, "keyward status takes no word \"%s\"", words.word[0]);
    return show(&options, false);
}

/* A name goes into a path: only what a member's name may be made of. */
static bool name_ok(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= POOL_NAME_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* What the member says of itself once it is out of the group; empty before. */
static int read_outcome(const struct place_options *options, const char *name, char *outcome,
                        size_t len)
{
    int http_status = 0;
    char *body = NULL;
    int code = ask(options, "GET", "/status.json", &http_status, &body);
    if (code != CLI_GO_ON)
        return code;
    json_t *status = json_loads(body, 0, NULL);
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(status, "members"), i, member)
    {
        if (strcmp(text_of(member, "name"), name) == 0 &&
            strcmp(text_of(member, "admin"), "maintenance") == 0)
            snprintf(outcome, len, "%s", text_of(member, "reason"));
    }
    json_decref(status);
    free(body);
    return CLI_GO_ON;
}

static int await_zeroized(const struct place_options *options, const char *name)
{
    const struct timespec step = {0, 200000000};
    char outcome[256] = "";
    for (int i = 0; i < 300 && outcome[0] == '\0'; i++) {
        int code = read_outcome(options, name, outcome, sizeof outcome);
        if (code != CLI_GO_ON)
            return code;
        if (outcome[0] == '\0')
            nanosleep(&step, NULL);
    }
    if (strncmp(outcome, "zeroized", 8) != 0)
        return cli_fail("%s: %s", name,
                        outcome[0] ? outcome
                                   : "not done within a minute; see: "
                                     "keyward member list");
    printf(
        "%s: %s; it stays out of the group until: keyward member activate %s\n"
        "keyward does not erase the token itself: that is the vendor's own step, with the "
        "vendor's\n"
        "tool and the security officer's login (initialise or zeroize the partition). Nor does it\n"
        "touch keys that were on the token before (resident keys): they are not keyward's.\n",
        name, outcome, name);
    return 0;
}

static int act(const struct place_options *options, const char *word, const char *name)
{
    char path[128];
    int http_status = 0;
    char *body = NULL;
    snprintf(path, sizeof path, "/members/%s/%s", name, word);
    int code = ask(options, "POST", path, &http_status, &body);
    free(body);
    if (code != CLI_GO_ON)
        return code;
    if (http_status == 404)
        return cli_fail("no member is called \"%s\"; see: keyward member list", name);
    if (http_status == 409)
        return cli_fail(
            "%s: \"%s\" has no meaning in the state that the member is in; see: keyward "
            "member list",
            name, word);
    if (http_status != 202)
        return cli_fail("the gateway answered %d", http_status);
    if (strcmp(word, "zeroize") == 0)
        return await_zeroized(options, name);
    printf("%s: %s asked for; see: keyward member list\n", name, word);
    return 0;
}

/* --- add and remove --- */

/* The state of the member of this name; empty: there is none. `settled`: it serves, or waits for an
 * operator. */
static int read_state(const struct place_options *options, const char *name, char *state,
                      size_t len, bool *settled)
{
    int http_status = 0;
    char *body = NULL;
    state[0] = '\0';
    *settled = false;
    int code = ask(options, "GET", "/status.json", &http_status, &body);
    if (code != CLI_GO_ON)
        return code;
    json_t *status = json_loads(body, 0, NULL);
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(status, "members"), i, member)
    {
        if (strcmp(text_of(member, "name"), name) != 0)
            continue;
        const char *health = text_of(member, "health"), *reason = text_of(member, "reason");
        snprintf(state, len, "%s%s%s", text_of(member, "state"), *reason ? ": " : "", reason);
        bool changing = strncmp(reason, "its new settings:", 17) == 0;
        *settled = (json_is_true(json_object_get(member, "serving")) && !changing) ||
                   strcmp(health, "auth_failed") == 0 || strcmp(health, "mismatched") == 0;
    }
    json_decref(status);
    free(body);
    return CLI_GO_ON;
}

static int await_member(const struct place_options *options, const char *name, bool gone,
                        char *state, size_t len, bool *settled)
{
    const struct timespec step = {0, 200000000};
    int code = CLI_GO_ON;
    *settled = false;
    for (int i = 0; i < 300 && code == CLI_GO_ON; i++) {
        code = read_state(options, name, state, len, settled);
        if (gone ? state[0] == '\0' : *settled)
            break;
        nanosleep(&step, NULL);
    }
    return code;
}

static int join(const struct place_options *options, const char *name)
{
    char state[320];
    bool settled;
    int code = await_member(options, name, false, state, sizeof state, &settled);
    if (code != CLI_GO_ON)
        return code;
    bool serves =
        settled && strncmp(state, "auth_failed", 11) != 0 && strncmp(state, "mismatched", 10) != 0;
    if (!serves)
        return cli_fail("%s: %s%s", name, *state ? state : "is not there",
                        settled ? "" : "; not done within a minute, it goes on trying");
    printf("%s: %s\n", name, state);
    return 0;
}

static int leave(const struct place_options *options, const char *name)
{
    char state[320];
    bool settled;
    int code = await_member(options, name, true, state, sizeof state, &settled);
    if (code != CLI_GO_ON)
        return code;
    if (*state)
        return cli_fail("%s: %s; not gone within a minute, see: keyward member list", name, state);
    printf(
        "%s: left the group; its processes have ended\n"
        "The token was not touched. What keyward marked it with stays (keyward member zeroize, "
        "before a\n"
        "removal, destroys that); to erase the token is the vendor's own step, with the vendor's "
        "tool.\n",
        name);
    return 0;
}

static int change(const struct place_options *options, const char *word, const char *name)
{
    char path[128];
    int http_status = 0;
    char *body = NULL;
    bool add = strcmp(word, "add") == 0;
    snprintf(path, sizeof path, "/members/%s/%s%s", name, word, options->force ? "-forced" : "");
    int code = ask(options, "POST", path, &http_status, &body);
    if (code != CLI_GO_ON)
        return code;
    json_t *answer = json_loads(body, 0, NULL);
    if (http_status != 202)
        code = cli_fail("%s: %s", name,
                        *text_of(answer, "text") ? text_of(answer, "text") : "the gateway refused");
    json_decref(answer);
    free(body);
    if (code != CLI_GO_ON)
        return code;
    return add ? join(options, name) : leave(options, name);
}

#define COMMANDS                                                                                   \
    "add NAME, remove NAME, recover NAME, drain NAME, activate NAME, replace NAME, sync NAME, "    \
    "zeroize NAME"

static bool is_command(const char *word)
{
    static const char *const words[] = {"add",      "remove",  "recover", "drain",
                                        "activate", "replace", "sync",    "zeroize"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return false;
}

int cli_member(const struct cli_command *command, int argc, char **argv)
{
    struct place_options options = {.json = false};
    struct cli_words words;
    int code = read_options(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    const char *word = words.count > 0 ? words.word[0] : "";
    if (strcmp(word, "list") == 0 && words.count == 1)
        return show(&options, true);
    if (!is_command(word))
        return cli_usage(command, "keyward member: found \"%s\"; allowed: list, " COMMANDS, word);
    if (words.count != 2 || !name_ok(words.word[1]))
        return cli_usage(command, "keyward member %s needs the name of one member", word);
    if (options.force && strcmp(word, "remove") != 0)
        return cli_usage(command, "--force goes with keyward member remove");
    if (strcmp(word, "add") == 0 || strcmp(word, "remove") == 0)
        return change(&options, word, words.word[1]);
    return act(&options, word, words.word[1]);
}

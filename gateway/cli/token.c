#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto/base/secret.h"
#include "gateway/auth/auth.h"
#include "gateway/cli/cli.h"
#include "gateway/config/config.h"
#include "gateway/process.h"

static int create(const char *file, const char *id)
{
    char token[256], error[512];
    if (gw_tokens_create(file, id, token, sizeof token, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    printf("%s\n", token);
    fflush(stdout);
    kw_wipe(token, sizeof token);
    fprintf(stderr, "keyward: the token above is shown once; send SIGHUP to a running gateway to "
                    "have it accepted\n");
    return 0;
}

static int revoke(const char *file, const char *id)
{
    char error[512];
    if (gw_tokens_revoke(file, id, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    fprintf(stderr, "keyward: %s is revoked; send SIGHUP to a running gateway to have it refused\n",
            id);
    return 0;
}

static void print_row(void *ctx, const char *id, int64_t created)
{
    char date[32] = "";
    time_t at = (time_t)created;
    struct tm utc;
    (void)ctx;
    if (gmtime_r(&at, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    printf("%-20s  %s\n", date, id);
}

static int list(const char *file)
{
    char error[512];
    printf("%-20s  %s\n", "CREATED", "NAME");
    if (gw_tokens_list(file, print_row, NULL, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    return 0;
}

static int act(const struct cli_command *command, const struct cli_words *words, const char *file)
{
    const char *word = words->count > 0 ? words->word[0] : "";
    if (strcmp(word, "list") == 0 && words->count == 1)
        return list(file);
    if (strcmp(word, "create") != 0 && strcmp(word, "revoke") != 0)
        return cli_usage(command,
                         "keyward token: found \"%s\"; allowed: create NAME, revoke NAME, "
                         "list",
                         word);
    if (words->count != 2)
        return cli_usage(command, "keyward token %s needs one name", word);
    return strcmp(word, "create") == 0 ? create(file, words->word[1])
                                       : revoke(file, words->word[1]);
}

int cli_token(const struct cli_command *command, int argc, char **argv)
{
    const char *file = NULL, *data = NULL;
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration; its auth.tokens names the file",
         &file},
        {"--data", NULL, CLI_VALUE, "DIR",
         "data directory of serve --dev (./" GW_DEV_DATA "): DIR/tokens.json", &data},
        {.name = NULL}};
    struct cli_words words;
    char error[1024];
    struct gw_place place;
    int code = cli_read(command, options, argc, argv, &words);
    if (code != CLI_GO_ON)
        return code;
    if (file && data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    gw_process_harden();
    if (gw_place_find(&place, file, data, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    if (!place.tokens)
        code = cli_fail("%s names no token file; add: auth: { tokens: tokens.json }", file);
    else
        code = act(command, &words, place.tokens);
    gw_place_clear(&place);
    return code;
}

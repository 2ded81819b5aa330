#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crypto/base/secret.h"
#include "gateway/auth/auth.h"
#include "gateway/auth/tokens_file.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/token_role.h"
#include "gateway/config/config.h"
#include "gateway/process.h"

/* What stood on the command line. */
struct given {
    const char *file; /* of the tokens */
    bool no_access;
    const char *principal;
    const char *role, *scope; /* of --role and --scope; NULL: not given */
    struct cli_role grant;
};

static int check_grant(const struct cli_command *command, struct given *given)
{
    if (!given->role)
        return given->scope || given->grant.vault
                   ? cli_usage(command, "--scope and --vault are for --role alone")
                   : CLI_GO_ON;
    if (!given->no_access)
        return cli_usage(command, "--role needs --no-access: the token could do everything anyway");
    if (!role_scope_read(&given->grant.scope, kw_span_str(given->scope ? given->scope : "/")))
        return cli_usage(command, "--scope: found \"%s\"; allowed: /, /keys, /keys/NAME",
                         given->scope);
    return cli_role_find(&given->grant, given->role);
}

static int create(const struct cli_command *command, struct given *given, const char *id)
{
    char token[256], error[512], principal[GW_GUID_TEXT + 1];
    struct gw_token_terms terms = {.assigned = given->no_access,
                                   .has_principal = given->principal != NULL};
    if (given->principal && !gw_guid_read(terms.principal, kw_span_str(given->principal)))
        return cli_usage(command, "--principal: found \"%s\"; a GUID is expected",
                         given->principal);
    int code = check_grant(command, given);
    if (code != CLI_GO_ON)
        return code;
    if (gw_tokens_create(given->file, id, &terms, token, sizeof token, error, sizeof error) !=
        KW_OK)
        return cli_fail("%s", error);
    printf("%s\n", token);
    fflush(stdout);
    kw_wipe(token, sizeof token);
    gw_guid_write(principal, terms.principal);
    fprintf(stderr,
            "keyward: the token above is shown once; send SIGHUP to a running gateway to "
            "have it accepted\n"
            "keyward: its principal is %s; it may do %s\n",
            principal,
            terms.assigned ? "what role assignments of a Managed HSM give to that" : "everything");
    if (!given->role)
        return 0;
    if (cli_role_give(&given->grant, terms.principal) != CLI_GO_ON)
        return cli_fail("the token is there, but without the role");
    fprintf(stderr, "keyward: it has the role %s at %s\n", given->role,
            given->scope ? given->scope : "/");
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

static void print_row(void *ctx, const struct gw_token *token)
{
    char date[32] = "", principal[GW_GUID_TEXT + 1];
    time_t at = (time_t)token->created;
    struct tm utc;
    (void)ctx;
    if (gmtime_r(&at, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    gw_guid_write(principal, token->principal);
    printf("%-20s  %-8s  %s  %s\n", date, token->full ? "full" : "assigned", principal, token->id);
}

static int list(const char *file)
{
    char error[512];
    printf("%-20s  %-8s  %-36s  %s\n", "CREATED", "ACCESS", "PRINCIPAL", "NAME");
    if (gw_tokens_list(file, print_row, NULL, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    return 0;
}

static int act(const struct cli_command *command, const struct cli_words *words,
               struct given *given)
{
    const char *file = given->file;
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
    if (strcmp(word, "create") == 0)
        return create(command, given, words->word[1]);
    if (given->no_access || given->principal || given->role)
        return cli_usage(command, "--no-access, --principal and --role are for create alone");
    return revoke(file, words->word[1]);
}

int cli_token(const struct cli_command *command, int argc, char **argv)
{
    const char *file = NULL, *data = NULL;
    struct given given = {.file = NULL};
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration; its auth.tokens names the file",
         &file},
        {"--data", NULL, CLI_VALUE, "DIR",
         "data directory of serve --dev (./" GW_DEV_DATA "): DIR/tokens.json", &data},
        {"--no-access", NULL, CLI_FLAG, NULL,
         "of create: the token may do what role assignments say, at first nothing",
         &given.no_access},
        {"--principal", NULL, CLI_VALUE, "GUID",
         "of create: the principal of the token, to go on with its role assignments; else a new "
         "one",
         &given.principal},
        {"--role", NULL, CLI_VALUE, "ROLE",
         "of create --no-access: a role by name or GUID, assigned by the gateway that runs",
         &given.role},
        {"--scope", NULL, CLI_VALUE, "SCOPE",
         "of --role: where, / (the default), /keys or /keys/NAME", &given.scope},
        {"--vault", NULL, CLI_VALUE, "NAME", "of --role: in which vault (default: default)",
         &given.grant.vault},
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
    given.file = place.tokens;
    given.grant.control = place.control;
    if (place.tokens)
        code = act(command, &words, &given);
    gw_place_clear(&place);
    return code;
}

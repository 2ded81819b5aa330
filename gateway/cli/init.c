#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/config/config.h"
#include "gateway/config/domain_key.h"
#include "gateway/config/durable.h"
#include "gateway/domain/domain.h"
#include "gateway/process.h"

/* Both commands take -c FILE and nothing else. */
static int load(const struct cli_command *command, int argc, char **argv, struct gw_config **config)
{
    const char *file = NULL;
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration", &file}, {.name = NULL}};
    struct cli_words words;
    char error[8192];
    int code = cli_read(command, options, argc, argv, &words);
    if (code != CLI_GO_ON)
        return code;
    if (!file && words.count == 1)
        file = words.word[0];
    else if (words.count > 0)
        return cli_usage(command, "keyward %s takes no word \"%s\"", command->name, words.word[0]);
    if (!file)
        return cli_usage(command, "keyward %s needs -c FILE", command->name);
    if (gw_config_load(config, file, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    return CLI_GO_ON;
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

int cli_check(const struct cli_command *command, int argc, char **argv)
{
    struct gw_config *config = NULL;
    int code = load(command, argc, argv, &config);
    if (code != CLI_GO_ON)
        return code;
    printf("%s is valid: %zu listener%s, %zu member%s%s, data in %s\n", config->path,
           config->listener_count, plural(config->listener_count), config->member_count,
           plural(config->member_count),
           config->member_count == 0 ? " (the software core serves alone)" : "", config->data);
    gw_config_free(config);
    return 0;
}

static int refuse_existing(const char *data)
{
    static const char *const names[] = {GW_DOMAIN_KEY_FILE, "keyward.db"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX];
        int n = snprintf(path, sizeof path, "%s/%s", data, names[i]);
        if (n < 0 || (size_t)n >= sizeof path)
            return cli_fail("the path of the data directory is too long");
        if (access(path, F_OK) == 0)
            return cli_fail("%s exists already; nothing was changed", path);
    }
    return CLI_GO_ON;
}

static int make(const struct gw_config *config)
{
    const char *data = config->data;
    char error[1024], check[2 * KC_DOMAIN_CHECK_LEN + 1];
    struct store *store = NULL;
    struct kc_domain *domain = NULL;
    if (gw_make_folder(data, error, sizeof error) != KW_OK ||
        store_open_sqlite(&store, data, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    kw_status status = gw_domain_open(&domain, store, config, true, error, sizeof error);
    store_close(store);
    if (status != KW_OK)
        return cli_fail("%s", error);
    kc_domain_check(domain, check);
    kc_domain_destroy(domain);
    printf("made the store and security domain %s in %s\n"
           "Without %s/" GW_DOMAIN_KEY_FILE " no key in the store can be opened: once the gateway "
           "runs, keyward domain download seals it to the operators' certificates.\n",
           check, data, data);
    return 0;
}

int cli_init(const struct cli_command *command, int argc, char **argv)
{
    struct gw_config *config = NULL;
    gw_process_harden();
    int code = load(command, argc, argv, &config);
    if (code != CLI_GO_ON)
        return code;
    code = refuse_existing(config->data);
    if (code == CLI_GO_ON)
        code = make(config);
    gw_config_free(config);
    return code;
}

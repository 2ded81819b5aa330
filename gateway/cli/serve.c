#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/base/clock.h"
#include "gateway/app.h"
#include "gateway/cli/cli.h"
#include "gateway/http/http.h"
#include "gateway/obs/log.h"
#include "gateway/process.h"

struct serve_options {
    bool dev, await_domain;
    const char *file, *data, *listen, *admin, *level;
};

static int read_options(const struct cli_command *command, int argc, char **argv,
                        struct serve_options *out)
{
    const struct cli_option options[] = {
        {"--dev", NULL, CLI_FLAG, NULL, "no configuration: make what is needed under DIR",
         &out->dev},
        {"--data", NULL, CLI_VALUE, "DIR", "with --dev: the data directory (./" GW_DEV_DATA ")",
         &out->data},
        {"--listen", NULL, CLI_VALUE, "ADDR:PORT", "with --dev: the API (" GW_DEV_LISTEN ")",
         &out->listen},
        {"--admin", NULL, CLI_VALUE, "ADDR:PORT",
         "with --dev: health, metrics, status (" GW_DEV_ADMIN ")", &out->admin},
        {"--config", "-c", CLI_VALUE, "FILE", "run with a configuration", &out->file},
        {"--await-domain", NULL, CLI_FLAG, NULL,
         "without a security domain: answer only its download and upload", &out->await_domain},
        {"--log-level", NULL, CLI_VALUE, "LEVEL", "error, warn, info (default) or debug",
         &out->level},
        {.name = NULL}};
    struct cli_words words;
    int code = cli_read(command, options, argc, argv, &words);
    if (code != CLI_GO_ON)
        return code;
    if (words.count > 0)
        return cli_usage(command, "keyward serve takes no word \"%s\"", words.word[0]);
    if (out->dev == (out->file != NULL))
        return cli_usage(command, "keyward serve needs one of --dev and -c FILE");
    if (!out->dev && (out->data || out->listen || out->admin))
        return cli_usage(command, "--data, --listen and --admin go with --dev; with -c FILE they "
                                  "are in the file");
    return CLI_GO_ON;
}

static bool set_level(const char *level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(level, names[i]) == 0) {
            gw_log_level_set((enum gw_log_level)i);
            return true;
        }
    }
    return false;
}

/* Members come up in the background: the ready line waits for the first that can serve, not for
 * ever. */
static bool wait_for_members(struct gw_app *app, int64_t ns)
{
    const struct timespec step = {0, 5000000};
    int64_t end = kw_now_ns() + ns;
    struct pool_stats *stats = calloc(1, sizeof *stats);
    bool ready = false;
    while (stats && !ready && kw_now_ns() < end) {
        pool_stats_read(app->pool, stats);
        ready = stats->can_serve;
        if (!ready)
            nanosleep(&step, NULL);
    }
    if (ready && !stats->hsm && !app->awaiting)
        gw_log(GW_LOG_WARN, "no HSM is configured: keys of HSM type are held by the software core",
               NULL);
    free(stats);
    return ready;
}

static int serve(struct gw_app *app, bool dev)
{
    char error[512];
    if (gw_app_start(app, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    if (!wait_for_members(app, dev ? KW_S(5) : KW_S(2)))
        gw_log(GW_LOG_WARN,
               "no member can serve yet; operations are answered with 503 until one "
               "can",
               NULL);
    int port = gw_listeners_port(app->listeners);
    if (port > 0)
        printf("ready https://localhost:%d\n", port);
    else
        printf("ready %s\n", app->config->listeners[0].bind);
    fflush(stdout);
    gw_log_n(GW_LOG_INFO, "serving", "port", port, "version", KEYWARD_VERSION, "data",
             app->config->data, NULL);
    gw_notify("READY=1");
    gw_app_run(app);
    return 0;
}

int cli_serve(const struct cli_command *command, int argc, char **argv)
{
    struct serve_options options = {.dev = false};
    char error[8192];
    int code = read_options(command, argc, argv, &options);
    if (code != CLI_GO_ON)
        return code;
    if (options.level && !set_level(options.level))
        return cli_usage(command, "--log-level: found \"%s\"; allowed: error, warn, info, debug",
                         options.level);
    gw_process_harden();
    struct gw_config *config = NULL;
    struct gw_app *app = NULL;
    kw_status status = options.dev ? gw_config_dev(&config, options.data, options.listen,
                                                   options.admin, error, sizeof error)
                                   : gw_config_load(&config, options.file, error, sizeof error);
    if (status != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    config->await_domain = options.await_domain;
    if (gw_app_create(&app, config, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    code = serve(app, options.dev);
    bool again = code == 0 && atomic_load(&app->restart);
    gw_app_destroy(app);
    if (again) {
        gw_log(GW_LOG_INFO, "starting anew with the new security domain", NULL);
        gw_process_again();
        return 1;
    }
    if (code == 0)
        gw_log(GW_LOG_INFO, "stopped", NULL);
    return code;
}

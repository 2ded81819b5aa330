#include "gateway/cli/dr.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "crypto/base/clock.h"
#include "gateway/api/json/read.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"
#include "gateway/config/domain_key.h"
#include "gateway/process.h"
#include "gateway/store/peek.h"

const char *dr_span(char out[32], int64_t seconds)
{
    static const struct {
        int64_t from, unit;
        const char *name;
    } units[] = {{172800, 86400, "days"}, {7200, 3600, "h"}, {120, 60, "min"}, {0, 1, "s"}};
    size_t i = 0;
    while (seconds < units[i].from && units[i].unit > 1)
        i++;
    snprintf(out, 32, "%" PRId64 " %s", seconds / units[i].unit, units[i].name);
    return out;
}

/* --- the instance --- */

static void ask_gateway(struct dr *dr)
{
    char error[512], *body = NULL;
    int http = 0;
    if (cli_control(dr->config->control_path, "GET", "/status.json", &http, &body, error,
                    sizeof error) != KW_OK)
        return;
    dr->status = http == 200 ? json_loads(body, 0, NULL) : NULL;
    free(body);
}

static void no_row(void *ctx, const char *vault, const struct store_row *row)
{
    (void)ctx, (void)vault, (void)row;
}

/** The check value of the instance's domain: from the gateway, else from its store. */
static void find_live(struct dr *dr)
{
    char error[1024];
    const char *check = json_string_value(json_object_get(dr->status, "domain"));
    if (check && *check) {
        snprintf(dr->live, sizeof dr->live, "%s", check);
        return;
    }
    if (store_peek(dr->config->data, STORE_CONTACTS, dr->live, sizeof dr->live, no_row, NULL, error,
                   sizeof error) != KW_OK)
        dr->live[0] = '\0';
}

/** False after a sentence. Without any name and without a ./keyward-dev there is no instance. */
static bool find_instance(struct dr *dr)
{
    char error[8192];
    struct stat st;
    const char *dir = dr->options->data ? dr->options->data : GW_DEV_DATA;
    if (!dr->options->file && stat(dir, &st) != 0) {
        if (dr->options->data)
            fprintf(stderr, "keyward: there is no data directory %s\n", dir);
        return !dr->options->data;
    }
    kw_status status = dr->options->file
                           ? gw_config_look(&dr->config, dr->options->file, error, sizeof error)
                           : gw_config_dev(&dr->config, dir, NULL, NULL, error, sizeof error);
    if (status != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return false;
    }
    ask_gateway(dr);
    find_live(dr);
    return true;
}

/* --- the security domain --- */

/* Keys that bring nothing are left out, so that they are in nobody's way. */
static void say_shares(struct dr *dr)
{
    const struct gw_domain_file *file = &dr->quorum.file;
    char opened[GW_DOMAIN_CERTS_MAX][128] = {""};
    for (size_t k = 0; k < dr->quorum.count;) {
        int share = cli_quorum_share(&dr->quorum, k);
        if (share >= 0 && !opened[share][0]) {
            snprintf(opened[share], sizeof opened[share], "%.127s", dr->quorum.names[k++]);
            continue;
        }
        dr_add(&dr->report, DR_WARN, "security domain", "key",
               share < 0 ? "give the keys of the certificates that the file names"
                         : "give each key once",
               "%s opens %s%s", dr->quorum.names[k],
               share < 0 ? "no share: another operator's key, or the file was changed"
                         : "the same share as ",
               share < 0 ? "" : opened[share]);
        cli_quorum_drop(&dr->quorum, k);
    }
    for (size_t i = 0; i < file->share_count; i++) {
        char item[32];
        snprintf(item, sizeof item, "share %zu", i + 1);
        dr_add(&dr->report, DR_OK, "security domain", item, "", "certificate x5t#S256 %s%s%s",
               file->x5t[i], opened[i][0] ? ": opened by " : "", opened[i]);
    }
}

static void join(struct dr *dr)
{
    char error[1024], check[2 * KC_DOMAIN_CHECK_LEN + 1];
    const struct gw_domain_file *file = &dr->quorum.file;
    if (!dr->options->keys) {
        dr_add(&dr->report, DR_WARN, "security domain", "quorum",
               "give the operators' private keys with --keys to see whether they open it",
               "%u of %zu keys are needed; none was given", file->required, file->share_count);
        return;
    }
    if (cli_quorum_join(&dr->domain, &dr->quorum, error, sizeof error) != KW_OK) {
        dr_add(&dr->report, DR_FAIL, "security domain", "quorum",
               "find the other operators, or download the domain anew while an instance has it",
               "%s", error);
        return;
    }
    dr->joined = true;
    kc_domain_check(dr->domain, check);
    dr_add(&dr->report, strcmp(check, file->check) == 0 ? DR_OK : DR_FAIL, "security domain",
           "quorum", "do not rely on this file; download the domain anew",
           "reached with %zu of the %zu keys: they open security domain %s", dr->quorum.count,
           file->share_count, check);
}

/** Where no quorum is at hand the instance's own key shows what a backup holds. */
static void take_live_domain(struct dr *dr)
{
    char error[1024], check[2 * KC_DOMAIN_CHECK_LEN + 1];
    if (dr->domain || !dr->config ||
        gw_domain_key_read(&dr->domain, dr->config->data, error, sizeof error) != KW_OK)
        return;
    kc_domain_check(dr->domain, check);
    if (dr->has_file && dr->quorum.file.check[0] && strcmp(check, dr->quorum.file.check) != 0) {
        kc_domain_destroy(dr->domain);
        dr->domain = NULL;
    }
}

void dr_read_domain(struct dr *dr)
{
    char error[2048];
    const struct gw_domain_file *file = &dr->quorum.file;
    if (!dr->options->domain) {
        dr_add(&dr->report, DR_FAIL, "security domain", "file",
               "name it with --domain FILE; make one with: keyward domain download",
               "no security-domain file was given");
        take_live_domain(dr);
        return;
    }
    if (cli_read_domain_file(&dr->quorum.file, dr->options->domain, error, sizeof error) != KW_OK) {
        dr_add(&dr->report, DR_FAIL, "security domain", "file",
               "use another copy of it, or make one with: keyward domain download", "%s", error);
        take_live_domain(dr);
        return;
    }
    dr->has_file = true;
    dr_add(&dr->report, DR_OK, "security domain", "file", "", "%s: %zu shares, quorum %u",
           dr->options->domain, file->share_count, file->required);
    if (dr->live[0])
        dr_add(&dr->report, strcmp(dr->live, file->check) == 0 ? DR_OK : DR_FAIL, "security domain",
               "of this instance", "make a file of this one with: keyward domain download",
               "the file is of domain %s, the instance of %s",
               file->check[0] ? file->check : "another product", dr->live);
    else
        dr_add(&dr->report, DR_WARN, "security domain", "of this instance",
               "name the instance with -c FILE or --data DIR", "no instance to compare it with");
    if (cli_quorum_keys(&dr->quorum, dr->options->keys, error, sizeof error) != KW_OK)
        dr_add(&dr->report, DR_FAIL, "security domain", "key", "give the file of a private key",
               "%s", error);
    say_shares(dr);
    join(dr);
    take_live_domain(dr);
}

/* --- the place --- */

/** --from, else backup.to, else what serve --dev allows. */
static const char *place_of(const struct dr *dr)
{
    const struct gw_backup_config *backup = dr->config ? &dr->config->backup : NULL;
    if (dr->options->from)
        return dr->options->from;
    if (backup && backup->to)
        return backup->to;
    return backup && backup->folder_count > 0 ? backup->folders[0] : NULL;
}

static kw_status open_at(struct dr *dr, const char *uri, char *error)
{
    const struct gw_backup_config *backup = dr->config ? &dr->config->backup : NULL;
    bool own = backup && backup->to && strcmp(uri, backup->to) == 0;
    const char *sas = dr->options->sas_file ? dr->options->sas_file
                      : own                 ? backup->token_file
                                            : NULL;
    return dr_place_open(&dr->place, uri, sas, backup ? backup->ca : NULL, error);
}

/** What was named may be one backup: its last part is a folder with a manifest. */
static kw_status open_one(struct dr *dr, const char *uri, char *error)
{
    char parent[BACKUP_URI_MAX + 1];
    size_t len = strlen(uri);
    while (len > 0 && uri[len - 1] == '/')
        len--;
    size_t cut = len;
    while (cut > 0 && uri[cut - 1] != '/')
        cut--;
    if (cut < 2 || cut == len || len - cut > BACKUP_FOLDER_MAX || cut > BACKUP_URI_MAX)
        return KW_E_NOT_FOUND;
    snprintf(parent, sizeof parent, "%.*s", (int)cut - 1, uri);
    snprintf(dr->folder, sizeof dr->folder, "%.*s", (int)(len - cut), uri + cut);
    dr_place_close(&dr->place);
    KW_TRY(open_at(dr, parent, error));
    dr->backups = calloc(1, sizeof *dr->backups);
    if (!dr->backups)
        return KW_E_NOMEM;
    KW_TRY(dr_backup_open(dr->backups, &dr->place, dr->folder, error));
    dr->backup_count = 1;
    return KW_OK;
}

static void say_place(struct dr *dr, size_t unfinished)
{
    char text[64] = "";
    if (unfinished > 0)
        snprintf(text, sizeof text, "; %zu that did not come to their end", unfinished);
    if (dr->backup_count == 0)
        dr_add(&dr->report, DR_FAIL, "backup", "place", "make one with: keyward backup --to PLACE",
               "there is no backup%s%s at %s%s", dr->options->vault ? " of " : "",
               dr->options->vault ? dr->options->vault : "", dr->place.uri, text);
    else
        dr_add(&dr->report, DR_OK, "backup", "place", "", "%s: backups of %zu vault%s%s",
               dr->place.uri, dr->backup_count, dr->backup_count == 1 ? "" : "s", text);
}

bool dr_read_place(struct dr *dr)
{
    char error[BACKUP_ERROR] = "";
    const char *uri = place_of(dr);
    size_t unfinished = 0;
    if (!uri)
        return dr_add(&dr->report, DR_FAIL, "backup", "place",
                      "name it with --from PLACE, or set backup.to in the configuration",
                      "no place of backups is known");
    kw_status status = open_at(dr, uri, error);
    if (status == KW_OK)
        status = dr_backups_newest(&dr->backups, &dr->backup_count, &unfinished, &dr->place,
                                   dr->options->vault, error);
    if (status == KW_OK && dr->backup_count == 0 && dr->options->from) {
        char why[BACKUP_ERROR];
        status = open_one(dr, uri, why);
        if (status == KW_E_NOT_FOUND)
            status = KW_OK;
        else
            memcpy(error, why, sizeof error);
    }
    if (status != KW_OK)
        return dr_add(&dr->report, DR_FAIL, "backup", "place",
                      "see that the place is there and the token (--sas-file) allows to read and "
                      "list",
                      "%s: %s", uri, error[0] ? error : kw_status_name(status));
    say_place(dr, unfinished);
    return dr->backup_count > 0;
}

/* --- the command --- */

static int read_options(const struct cli_command *command, int argc, char **argv,
                        struct dr_options *out, struct cli_words *words)
{
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration of the instance", &out->file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &out->data},
        {"--domain", NULL, CLI_VALUE, "FILE", "the security-domain file", &out->domain},
        {"--keys", NULL, CLI_VALUE, "A,B", "the operators' private keys; they stay here",
         &out->keys},
        {"--from", NULL, CLI_VALUE, "PLACE",
         "where backups lie, or one of them (default: backup.to)", &out->from},
        {"--sas-file", NULL, CLI_VALUE, "FILE", "holds the SAS token of the place", &out->sas_file},
        {"--vault", NULL, CLI_VALUE, "NAME", "this vault alone (default: all)", &out->vault},
        {"--scratch", NULL, CLI_VALUE, "DIR",
         "rehearse: where the scratch instance is made (/dev/shm, else TMPDIR)", &out->scratch},
        {"--json", NULL, CLI_FLAG, NULL, "print the report as JSON", &out->json},
        {.name = NULL}};
    int code = cli_read(command, options, argc, argv, words);
    if (code == CLI_GO_ON && out->file && out->data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    return code;
}

static void clear(struct dr *dr)
{
    free(dr->backups);
    dr_place_close(&dr->place);
    kc_domain_destroy(dr->domain);
    cli_quorum_clear(&dr->quorum);
    json_decref(dr->status);
    gw_config_free(dr->config);
    dr_report_clear(&dr->report);
}

int cli_dr(const struct cli_command *command, int argc, char **argv)
{
    struct dr_options options = {.json = false};
    struct cli_words words;
    static struct dr dr;
    int code = read_options(command, argc, argv, &options, &words);
    if (code != CLI_GO_ON)
        return code;
    const char *word = words.count == 1 ? words.word[0] : "";
    bool check = strcmp(word, "check") == 0, rehearse = strcmp(word, "rehearse") == 0;
    if (!check && !rehearse)
        return cli_usage(command, "keyward dr: allowed are check and rehearse");
    if (rehearse && (!options.domain || !options.keys))
        return cli_usage(command, "a rehearsal needs --domain FILE and --keys A.key,B.key");
    gw_process_harden();
    gw_json_wipes();
    dr.options = &options;
    code = !find_instance(&dr) ? 2 : check ? dr_check(&dr) : dr_rehearse(&dr);
    clear(&dr);
    return code;
}

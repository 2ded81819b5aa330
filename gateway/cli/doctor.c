#include "gateway/cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/base/clock.h"
#include "crypto/lanes/lanes.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"

struct doctor_options {
    const char *file, *data;
    bool json;
};

void doctor_add(struct doctor *doctor, const char *subject, const char *step,
                enum pool_outcome outcome, enum pool_blame blame, const char *next,
                const char *format, ...)
{
    if (doctor->count == doctor->cap) {
        size_t cap = doctor->cap ? 2 * doctor->cap : 64;
        struct doctor_finding *more = realloc(doctor->findings, cap * sizeof *more);
        if (!more) {
            doctor->out_of_memory = true;
            return;
        }
        doctor->findings = more;
        doctor->cap = cap;
    }
    struct doctor_finding *finding = &doctor->findings[doctor->count++];
    memset(finding, 0, sizeof *finding);
    snprintf(finding->subject, sizeof finding->subject, "%s", subject);
    snprintf(finding->step, sizeof finding->step, "%s", step);
    snprintf(finding->next, sizeof finding->next, "%s", next);
    finding->outcome = outcome;
    finding->blame = blame;
    va_list args;
    va_start(args, format);
    vsnprintf(finding->seen, sizeof finding->seen, format, args);
    va_end(args);
}

/* --- the running gateway --- */

static void see_gateway(struct doctor *doctor)
{
    char error[512];
    char *body = NULL;
    int http = 0;
    if (cli_control(doctor->control, "GET", "/status.json", &http, &body, error, sizeof error) ==
            KW_OK &&
        http == 200)
        doctor->status = json_loads(body, 0, NULL);
    free(body);
    if (!json_is_object(doctor->status)) {
        json_decref(doctor->status);
        doctor->status = NULL;
        doctor_add(doctor, "gateway", "running", POOL_STEP_WARN, POOL_BLAME_NONE,
                   "start it, and read its log if it ends: journalctl -u keyward", "%s",
                   http ? "the gateway gave no status" : error);
        return;
    }
    bool ready = json_is_true(json_object_get(doctor->status, "ready"));
    const char *reason =
        json_string_value(json_array_get(json_object_get(doctor->status, "reasons"), 0));
    doctor_add(doctor, "gateway", "running", ready ? POOL_STEP_OK : POOL_STEP_FAIL, POOL_BLAME_NONE,
               ready ? "" : "the members below say why", "%s%s%s",
               ready ? "it runs and is ready" : "it runs and is NOT READY", reason ? ": " : "",
               reason ? reason : "");
}

/* --- members --- */

static const json_t *status_of(const struct doctor *doctor, const char *name)
{
    size_t i;
    const json_t *member;
    json_array_foreach(json_object_get(doctor->status, "members"), i, member)
    {
        const char *its = json_string_value(json_object_get(member, "name"));
        if (its && strcmp(its, name) == 0)
            return member;
    }
    return NULL;
}

static void see_state(struct doctor *doctor, const char *subject, const json_t *member)
{
    const char *state = json_string_value(json_object_get(member, "state"));
    const char *reason = json_string_value(json_object_get(member, "reason"));
    bool serving = json_is_true(json_object_get(member, "serving"));
    bool apart = json_string_value(json_object_get(member, "admin")) &&
                 strcmp(json_string_value(json_object_get(member, "admin")), "ready") != 0;
    doctor_add(doctor, subject, "state",
               serving ? POOL_STEP_OK
               : apart ? POOL_STEP_WARN
                       : POOL_STEP_FAIL,
               POOL_BLAME_NONE,
               serving ? ""
               : apart ? "an operator took it out; back with: keyward member activate NAME"
                       : "the failed step of its chain says what to do",
               "the gateway says: %s%s%s", state ? state : "", reason && *reason ? ": " : "",
               reason ? reason : "");
}

/* One signature through the running gateway. */
static void see_probe(struct doctor *doctor, const char *subject, const char *name)
{
    char path[128], error[512];
    char *body = NULL;
    int http = 0;
    snprintf(path, sizeof path, "/members/%s/probe", name);
    kw_status status =
        cli_control(doctor->control, "POST", path, &http, &body, error, sizeof error);
    json_t *answer = status == KW_OK && body ? json_loads(body, 0, NULL) : NULL;
    const char *reason = json_string_value(json_object_get(answer, "reason"));
    if (json_is_true(json_object_get(answer, "ok")))
        doctor_add(doctor, subject, "gateway sign", POOL_STEP_OK, POOL_BLAME_NONE, "",
                   "ES256 signed and verified through the gateway in %.1f ms",
                   (double)json_integer_value(json_object_get(answer, "microseconds")) / 1000);
    else
        doctor_add(doctor, subject, "gateway sign", POOL_STEP_FAIL, POOL_BLAME_DEVICE,
                   "the chain above says whether the token works without the gateway; then: "
                   "keyward member recover NAME",
                   "%s",
                   reason            ? reason
                   : status == KW_OK ? "no usable answer"
                                     : error);
    json_decref(answer);
    free(body);
}

/* One token in two members looks like a second copy of every key, and is none. */
static void see_token(struct doctor *doctor, const char *subject, const char *name,
                      const char *token)
{
    if (!*token || doctor->token_count == POOL_MAX_MEMBERS)
        return;
    for (size_t i = 0; i < doctor->token_count; i++) {
        if (strcmp(doctor->tokens[i].token, token) == 0) {
            doctor_add(doctor, subject, "own token", POOL_STEP_FAIL, POOL_BLAME_CONFIG,
                       "take one of the two members out, or correct its token and serial",
                       "its token is that of member %s: one token under two names is no second "
                       "copy of a key",
                       doctor->tokens[i].member);
            return;
        }
    }
    struct doctor_token *own = &doctor->tokens[doctor->token_count++];
    own->member = name;
    snprintf(own->token, sizeof own->token, "%s", token);
}

static void see_chain(struct doctor *doctor, const char *subject,
                      const struct pool_member_config *member)
{
    struct pool_diagnosis *diagnosis = calloc(1, sizeof *diagnosis);
    struct pool_diagnose_options options = {.state_dir = doctor->data, .domain = doctor->domain};
    if (!diagnosis) {
        doctor->out_of_memory = true;
        return;
    }
    if (member->kind == POOL_MEMBER_REMOTE)
        pool_diagnose_remote(diagnosis, member, &options);
    else
        pool_diagnose(diagnosis, member, &options);
    for (size_t i = 0; i < diagnosis->count; i++) {
        const struct pool_finding *f = &diagnosis->findings[i];
        doctor_add(doctor, subject, f->step, f->outcome, f->blame, f->next, "%s", f->seen);
    }
    see_token(doctor, subject, member->name, diagnosis->token);
    free(diagnosis);
}

static void see_member(struct doctor *doctor, const struct pool_member_config *member)
{
    char subject[POOL_NAME_MAX + 16];
    snprintf(subject, sizeof subject, "member %s", member->name);
    const json_t *known = status_of(doctor, member->name);
    if (known)
        see_state(doctor, subject, known);
    if (member->kind == POOL_MEMBER_CORE) {
        doctor_add(doctor, subject, "core", POOL_STEP_WARN, POOL_BLAME_CONFIG,
                   "right for development; take it out of a group of HSMs",
                   "the software core opens keys of HSM type");
    } else if (member->kind == POOL_MEMBER_REMOTE ? !member->url || !member->token_file
                                                  : !member->module || !member->pin_file) {
        doctor_add(doctor, subject, member->kind == POOL_MEMBER_REMOTE ? "dns" : "module",
                   POOL_STEP_SKIP, POOL_BLAME_NONE, "", "its configuration is not complete");
    } else {
        see_chain(doctor, subject, member);
    }
    if (!doctor->status)
        doctor_add(doctor, subject, "gateway sign", POOL_STEP_SKIP, POOL_BLAME_NONE, "",
                   "the gateway does not run");
    else if (!known)
        doctor_add(doctor, subject, "gateway sign", POOL_STEP_WARN, POOL_BLAME_CONFIG,
                   "let it join: keyward member add NAME, or SIGHUP to the gateway",
                   "the running gateway does not know this member");
    else if (!json_is_true(json_object_get(known, "serving")))
        doctor_add(doctor, subject, "gateway sign", POOL_STEP_SKIP, POOL_BLAME_NONE, "",
                   "the member takes no work now");
    else
        see_probe(doctor, subject, member->name);
}

/* A key is safe where two devices can open it (one may burn). */
static void see_copies(struct doctor *doctor)
{
    size_t failed = 0, members = doctor->config->member_count;
    for (size_t m = 0; m < members; m++) {
        char subject[POOL_NAME_MAX + 16];
        snprintf(subject, sizeof subject, "member %s", doctor->config->members[m].name);
        for (size_t i = 0; i < doctor->count; i++) {
            if (doctor->findings[i].outcome == POOL_STEP_FAIL &&
                strcmp(doctor->findings[i].subject, subject) == 0) {
                failed++;
                break;
            }
        }
    }
    size_t good = members - failed;
    if (members == 0)
        doctor_add(doctor, "group", "copies", POOL_STEP_WARN, POOL_BLAME_CONFIG,
                   "right for development; configure HSM members for production",
                   "no member is configured: the software core holds every key");
    else
        doctor_add(doctor, "group", "copies", good < 2 ? POOL_STEP_WARN : POOL_STEP_OK,
                   good < 2 ? POOL_BLAME_CONFIG : POOL_BLAME_NONE,
                   good < 2 ? "repair a member or add one: with the last one the service is gone"
                            : "",
                   "%zu of %zu members can use the %zu HSM key versions of the store", good,
                   members, doctor->hsm_keys);
}

/* --- the command --- */

static void examine(struct doctor *doctor)
{
    if (kc_lanes_init() != KW_OK)
        doctor_add(doctor, "machine", "crypto core", POOL_STEP_FAIL, POOL_BLAME_DEVICE,
                   "do not use this machine", "the crypto core failed its self-test");
    see_gateway(doctor);
    doctor_files(doctor);
    doctor_certificates(doctor);
    doctor_store(doctor);
    for (size_t i = 0; doctor->config && i < doctor->config->member_count; i++)
        see_member(doctor, &doctor->config->members[i]);
    if (doctor->config)
        see_copies(doctor);
    doctor_machine(doctor);
}

static int read_options(const struct cli_command *command, int argc, char **argv,
                        struct doctor_options *out)
{
    const struct cli_option options[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration the gateway runs with",
         &out->file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &out->data},
        {"--json", NULL, CLI_FLAG, NULL, "print the report as JSON", &out->json},
        {.name = NULL}};
    struct cli_words words;
    int code = cli_read(command, options, argc, argv, &words);
    if (code != CLI_GO_ON)
        return code;
    if (words.count > 0)
        return cli_usage(command, "keyward doctor takes no word \"%s\"", words.word[0]);
    if (out->file && out->data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    return CLI_GO_ON;
}

/* A file with faults is a finding like others; only where nothing is known can nothing be seen. */
static kw_status find_config(struct doctor *doctor, struct gw_config **config,
                             const struct doctor_options *options, char *error, size_t error_len)
{
    struct stat st;
    const char *dir = options->data ? options->data : GW_DEV_DATA;
    if (!options->file) {
        if (stat(dir, &st) != 0) {
            snprintf(error, error_len,
                     "there is no data directory %s; name one with --data DIR or "
                     "a configuration with -c FILE",
                     dir);
            return KW_E_NOT_FOUND;
        }
        return gw_config_dev(config, dir, NULL, NULL, error, error_len);
    }
    kw_status status = gw_config_look(config, options->file, error, error_len);
    if (*config)
        doctor_add(doctor, "config", "file", status == KW_OK ? POOL_STEP_OK : POOL_STEP_FAIL,
                   status == KW_OK ? POOL_BLAME_NONE : POOL_BLAME_CONFIG,
                   status == KW_OK ? "" : "correct it; then: keyward check -c FILE", "%s",
                   status == KW_OK ? options->file : error);
    return *config ? KW_OK : status;
}

int cli_doctor(const struct cli_command *command, int argc, char **argv)
{
    struct doctor_options options = {.json = false};
    struct doctor doctor = {.config = NULL};
    struct gw_config *config = NULL;
    char error[8192];
    int code = read_options(command, argc, argv, &options);
    if (code != CLI_GO_ON)
        return code;
    if (find_config(&doctor, &config, &options, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        free(doctor.findings);
        return 2;
    }
    doctor.config = config;
    doctor.data = config->data;
    doctor.control = config->control_path;
    if (config->control_path)
        examine(&doctor);
    if (options.json)
        doctor_print_json(&doctor);
    else
        doctor_print(&doctor);
    code = doctor_count(&doctor, POOL_STEP_FAIL) > 0 || doctor.out_of_memory ? 1 : 0;
    json_decref(doctor.status);
    kc_domain_destroy(doctor.domain);
    free(doctor.findings);
    gw_config_free(config);
    return code;
}

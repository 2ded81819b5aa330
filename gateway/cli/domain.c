/* keyward domain: the security domain from the operators' side. Their private keys are read here
 * and go nowhere: what is sent is a transfer blob. */

#include <jansson.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "crypto/base/secret.h"
#include "gateway/api/json/read.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/control.h"
#include "gateway/cli/operators.h"
#include "gateway/config/durable.h"
#include "gateway/config/files.h"
#include "gateway/domain/exchange_key.h"
#include "gateway/domain/file.h"
#include "gateway/process.h"

#define SECONDS      60
#define INSTALL_TIME 60 /* seconds that an upload is waited for */

struct domain_options {
    const char *file, *data, *certs, *keys, *quorum, *out, *exchange;
    struct gw_place place;
};

/* --- files --- */

static int may_write(const char *out)
{
    if (!out)
        return cli_usage(NULL, "-o FILE is missing");
    if (access(out, F_OK) == 0)
        return cli_fail("%s exists already; nothing was changed", out);
    return CLI_GO_ON;
}

static int write_file(const char *out, const char *text)
{
    char error[1024];
    if (gw_write_durable(out, kw_span_str(text), 0600, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    return 0;
}

static int read_domain_file(struct gw_domain_file *out, const char *name)
{
    char error[2048];
    return cli_read_domain_file(out, name, error, sizeof error) == KW_OK ? CLI_GO_ON
                                                                         : cli_fail("%s", error);
}

/* --- the gateway --- */

/* CLI_GO_ON and the answer, an object; else the code to exit with. */
static int ask(const struct domain_options *options, const char *method, const char *path,
               const json_t *body, json_t **answer)
{
    char error[512], *text = NULL, *json = body ? json_dumps(body, JSON_COMPACT) : NULL;
    int http = 0;
    if (body && !json)
        return cli_fail("out of memory");
    kw_status status = cli_control_send(options->place.control, method, path, json, SECONDS, &http,
                                        &text, error, sizeof error);
    free(json);
    if (status != KW_OK)
        return cli_fail("%s", error);
    *answer = json_loads(text, 0, NULL);
    free(text);
    if (*answer && http < 300)
        return CLI_GO_ON;
    const char *why =
        json_string_value(json_object_get(json_object_get(*answer, "error"), "message"));
    int code = cli_fail("refused: %s", why ? why : "the gateway gave no reason");
    json_decref(*answer);
    *answer = NULL;
    return code;
}

/* --- download --- */

static int add_cert(json_t *list, const char *file)
{
    X509 *cert = cli_read_cert(file);
    json_t *jwk = cert ? gw_certificate_jwk(cert) : NULL;
    X509_free(cert);
    if (!jwk)
        return cli_fail("%s: not a certificate (PEM or DER) with an RSA key", file);
    json_object_set_new(jwk, "key_ops", json_pack("[s,s,s]", "verify", "encrypt", "wrapKey"));
    return json_array_append_new(list, jwk) == 0 ? CLI_GO_ON : cli_fail("out of memory");
}

static int download(const struct domain_options *options)
{
    const char *certs = options->certs, *value;
    char file[1024];
    json_t *list = json_array(), *answer = NULL;
    char *end = NULL;
    long quorum = options->quorum ? strtol(options->quorum, &end, 10) : 0;
    int code = may_write(options->out);
    if (code == CLI_GO_ON && (!certs || !end || *end || quorum < 2 || quorum > 10))
        code = cli_usage(NULL, "keyward domain download needs --certs A.pem,B.pem,C.pem (3 to 10) "
                               "and --quorum M (2 to 10)");
    while (code == CLI_GO_ON && cli_next_name(&certs, file, sizeof file))
        code = add_cert(list, file);
    if (code == CLI_GO_ON) {
        json_t *body = json_pack("{s:O,s:I}", "certificates", list, "required", (json_int_t)quorum);
        code = ask(options, "POST", "/securitydomain/download", body, &answer);
        json_decref(body);
    }
    if (code == CLI_GO_ON) {
        value = json_string_value(json_object_get(answer, "value"));
        code = value ? write_file(options->out, value) : cli_fail("the answer has no value");
        if (code == 0)
            printf("%s: %zu shares, any %ld of their keys open it\n"
                   "Keep it and each private key in places of their own; keyward domain check %s "
                   "reads it again.\n",
                   options->out, json_array_size(list), quorum, options->out);
    }
    json_decref(answer);
    json_decref(list);
    return code;
}

/* --- recovery --- */

static int ask_exchange(const struct domain_options *options, X509 **out)
{
    json_t *answer = NULL;
    int code = ask(options, "GET", "/securitydomain/upload", NULL, &answer);
    if (code != CLI_GO_ON)
        return code;
    *out = cli_cert_of_jwk(json_string_value(json_object_get(answer, "transfer_key")));
    json_decref(answer);
    return *out ? CLI_GO_ON : cli_fail("the answer has no usable exchange key");
}

static int init_recovery(const struct domain_options *options)
{
    X509 *exchange = NULL;
    int code = may_write(options->out);
    if (code == CLI_GO_ON)
        code = ask_exchange(options, &exchange);
    if (code != CLI_GO_ON)
        return code;
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL, *text = NULL;
    long len = bio && PEM_write_bio_X509(bio, exchange) == 1 ? BIO_get_mem_data(bio, &pem) : 0;
    text = len > 0 ? strndup(pem, (size_t)len) : NULL;
    code = text ? write_file(options->out, text) : cli_fail("out of memory");
    free(text);
    BIO_free(bio);
    X509_free(exchange);
    if (code == 0)
        printf("%s: the exchange key of this start of the gateway; it is used once\n",
               options->out);
    return code;
}

static int make_blob(const struct domain_options *options, const char *name, X509 *exchange,
                     char **blob)
{
    static struct cli_quorum quorum;
    char error[2048];
    int code = read_domain_file(&quorum.file, name);
    if (code == CLI_GO_ON && cli_quorum_keys(&quorum, options->keys, error, sizeof error) != KW_OK)
        code = cli_fail("%s", error);
    if (code == CLI_GO_ON && cli_quorum_blob(blob, &quorum, exchange, error, sizeof error) != KW_OK)
        code = cli_fail("%s: %s; nothing was sent", name, error);
    cli_quorum_clear(&quorum);
    return code;
}

/* The gateway starts anew with the domain: its socket is away for a moment. */
static int wait_installed(const struct domain_options *options)
{
    const struct timespec step = {0, 200000000};
    for (int i = 0; i < INSTALL_TIME * 5; i++) {
        char error[512], *text = NULL;
        int http = 0;
        nanosleep(&step, NULL);
        if (cli_control(options->place.control, "GET", "/securitydomain/upload/pending", &http,
                        &text, error, sizeof error) != KW_OK)
            continue;
        json_t *answer = json_loads(text, 0, NULL);
        free(text);
        const char *status = json_string_value(json_object_get(answer, "status"));
        const char *details = json_string_value(json_object_get(answer, "status_details"));
        int code = CLI_GO_ON;
        if (status && strcmp(status, "Success") == 0)
            code = 0;
        else if (status && strcmp(status, "Failed") == 0)
            code = cli_fail("refused: %s", details ? details : "");
        json_decref(answer);
        if (code != CLI_GO_ON)
            return code;
    }
    return cli_fail("not installed within a minute; see the gateway's log");
}

static int send_blob(const struct domain_options *options, const char *blob)
{
    json_t *body = json_pack("{s:s}", "value", blob), *answer = NULL;
    int code = ask(options, "POST", "/securitydomain/upload", body, &answer);
    json_decref(body);
    json_decref(answer);
    if (code != CLI_GO_ON)
        return code;
    code = wait_installed(options);
    if (code == 0)
        printf("the security domain is installed; the tokens of the group join it\n");
    return code;
}

static int upload(const struct domain_options *options, const char *name)
{
    X509 *exchange = NULL;
    char *blob = NULL;
    if (!options->keys)
        return cli_usage(NULL, "keyward domain upload needs --keys A.key,B.key");
    int code = options->out ? may_write(options->out) : CLI_GO_ON;
    if (code == CLI_GO_ON && options->exchange && !(exchange = cli_read_cert(options->exchange)))
        code = cli_fail("%s: not a certificate", options->exchange);
    else if (code == CLI_GO_ON && !options->exchange)
        code = ask_exchange(options, &exchange);
    if (code == CLI_GO_ON)
        code = make_blob(options, name, exchange, &blob);
    X509_free(exchange);
    if (code == CLI_GO_ON)
        code = options->out ? write_file(options->out, blob) : send_blob(options, blob);
    free(blob);
    return code;
}

static int upload_blob(const struct domain_options *options, const char *name)
{
    char error[1024], *text = NULL;
    size_t len = 0;
    if (gw_config_read(name, GW_DOMAIN_FILE_MAX, &text, &len, error, sizeof error) != KW_OK)
        return cli_fail("%s", error);
    int code = send_blob(options, text);
    free(text);
    return code;
}

/* --- check --- */

/* Which of the named certificates has this x5t; NULL: none of them. */
static const char *holder(const char *certs, const char *x5t, char *name, size_t len)
{
    while (cli_next_name(&certs, name, len)) {
        char own[GW_DOMAIN_X5T_LEN + 1] = "";
        X509 *cert = cli_read_cert(name);
        bool same = cert && gw_domain_x5t(own, cert) == KW_OK && strcmp(own, x5t) == 0;
        X509_free(cert);
        if (same)
            return name;
    }
    return NULL;
}

static int check(const struct domain_options *options, const char *name)
{
    struct gw_domain_file file;
    char room[1024];
    size_t held = 0;
    int code = read_domain_file(&file, name);
    if (code != CLI_GO_ON)
        return code;
    printf("%s: security domain %s, %zu shares, quorum %u\n", name,
           file.check[0] ? file.check : "of another product", file.share_count, file.required);
    for (size_t i = 0; i < file.share_count; i++) {
        const char *who = holder(options->certs, file.x5t[i], room, sizeof room);
        held += who != NULL;
        printf("  share %zu: certificate x5t#S256 %s%s%s\n", i + 1, file.x5t[i], who ? "  " : "",
               who ? who : "");
    }
    code = 0;
    if (options->certs && held < file.required)
        code = cli_fail("%s: the given certificates hold %zu of its shares; its quorum is %u", name,
                        held, file.required);
    gw_domain_file_clear(&file);
    return code;
}

static int act(const struct cli_command *command, const struct cli_words *words,
               const struct domain_options *options)
{
    const char *word = words->count > 0 ? words->word[0] : "";
    const char *name = words->count == 2 ? words->word[1] : NULL;
    if (strcmp(word, "download") == 0 && words->count == 1)
        return download(options);
    if (strcmp(word, "init-recovery") == 0 && words->count == 1)
        return init_recovery(options);
    if (strcmp(word, "upload") == 0 && name)
        return options->keys ? upload(options, name) : upload_blob(options, name);
    if (strcmp(word, "check") == 0 && name)
        return check(options, name);
    return cli_usage(command,
                     "keyward domain: found \"%s\" with %zu words; allowed: download, "
                     "init-recovery, upload FILE, check FILE",
                     word, words->count);
}

int cli_domain(const struct cli_command *command, int argc, char **argv)
{
    struct domain_options options = {.file = NULL};
    const struct cli_option table[] = {
        {"--config", "-c", CLI_VALUE, "FILE", "the configuration of the gateway", &options.file},
        {"--data", NULL, CLI_VALUE, "DIR", "data directory of serve --dev (./" GW_DEV_DATA ")",
         &options.data},
        {"--certs", NULL, CLI_VALUE, "A,B,C", "the operators' certificates: download, check",
         &options.certs},
        {"--quorum", NULL, CLI_VALUE, "M", "download: how many of their keys open it",
         &options.quorum},
        {"--keys", NULL, CLI_VALUE, "A,B", "upload: the operators' private keys; they stay here",
         &options.keys},
        {"--exchange", NULL, CLI_VALUE, "FILE", "upload: what init-recovery wrote",
         &options.exchange},
        {"--output", "-o", CLI_VALUE, "FILE", "what is made; must not exist", &options.out},
        {.name = NULL}};
    struct cli_words words;
    char error[1024];
    int code = cli_read(command, table, argc, argv, &words);
    if (code != CLI_GO_ON)
        return code;
    if (options.file && options.data)
        return cli_usage(command, "-c FILE and --data DIR exclude each other");
    gw_process_harden();
    gw_json_wipes();
    if (gw_place_find(&options.place, options.file, options.data, error, sizeof error) != KW_OK) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    code = act(command, &words, &options);
    gw_place_clear(&options.place);
    return code;
}

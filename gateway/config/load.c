/* gw_config_load: text -> document (positions, names, types) -> libcyaml -> gw_config (meaning). */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/app.h"
#include "gateway/config/backup.h"
#include "gateway/config/defaults.h"
#include "gateway/config/document.h"
#include "gateway/config/files.h"
#include "gateway/config/members.h"
#include "gateway/config/raw.h"
#include "gateway/config/values.h"
#include "gateway/config/vaults.h"

/* libcyaml's last error line, for the case that it refuses what document.c let through. */
struct last_message {
    char text[256];
};

static void keep_message(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

static void keep_message(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct last_message *last = ctx;
    if (level != CYAML_LOG_ERROR || last->text[0] != '\0')
        return;
    vsnprintf(last->text, sizeof last->text, fmt, args);
    last->text[strcspn(last->text, "\n")] = '\0';
}

static cyaml_config_t cyaml_settings(struct last_message *last)
{
    return (cyaml_config_t){.log_fn = keep_message,
                            .log_ctx = last,
                            .log_level = CYAML_LOG_ERROR,
                            .mem_fn = cyaml_mem,
                            .flags = CYAML_CFG_NO_ALIAS};
}

static void duration(struct gw_document *doc, const char *path, const char *text, int64_t *ns)
{
    if (text && (gw_parse_duration(text, ns) != KW_OK || *ns == 0))
        gw_document_problem(doc, path, "found \"%.64s\"; allowed: " GW_DURATION_ALLOWED, text);
}

static void milliseconds(struct gw_document *doc, const char *path, const char *text, unsigned *ms)
{
    int64_t ns = 0;
    if (!text)
        return;
    duration(doc, path, text, &ns);
    *ms = (unsigned)(ns / 1000000);
}

static void size(struct gw_document *doc, const char *path, const char *text, size_t *bytes)
{
    if (text && gw_parse_size(text, bytes) != KW_OK)
        gw_document_problem(doc, path, "found \"%.64s\"; allowed: " GW_SIZE_ALLOWED, text);
}

static void number(struct gw_document *doc, const char *path, const unsigned *value, unsigned min,
                   unsigned max, unsigned *out)
{
    if (!value)
        return;
    if (*value < min || *value > max)
        gw_document_problem(doc, path, "found %u; allowed: %u to %u", *value, min, max);
    else
        *out = *value;
}

static void read_limits(struct gw_document *doc, const struct raw_limits *raw,
                        struct gw_limits *limits)
{
    if (!raw)
        return;
    number(doc, "limits.rate", raw->rate, 0, 1000000, &limits->rate);
    size(doc, "limits.max_body", raw->max_body, &limits->max_body);
    size(doc, "limits.max_batch_body", raw->max_batch_body, &limits->max_batch_body);
    number(doc, "limits.max_connections", raw->max_connections, 1, 1000000,
           &limits->max_connections);
    number(doc, "limits.max_streams", raw->max_streams, 1, 10000, &limits->max_streams);
    milliseconds(doc, "limits.header_timeout", raw->header_timeout, &limits->header_timeout_ms);
    milliseconds(doc, "limits.body_timeout", raw->body_timeout, &limits->body_timeout_ms);
    milliseconds(doc, "limits.idle_timeout", raw->idle_timeout, &limits->idle_timeout_ms);
    milliseconds(doc, "limits.handshake_timeout", raw->handshake_timeout,
                 &limits->handshake_timeout_ms);
    milliseconds(doc, "limits.drain", raw->drain, &limits->drain_ms);
}

static kw_status read_listener(struct gw_document *doc, const char *base, size_t index,
                               const struct raw_listener *raw, struct gw_listener_config *out)
{
    char path[64], field[96];
    snprintf(path, sizeof path, "listeners[%zu]", index);
    snprintf(field, sizeof field, "%s.bind", path);
    bool is_unix = false;
    char *bind = gw_config_bind(base, raw->bind);
    if (!bind)
        return KW_E_NOMEM;
    out->bind = bind;
    if (gw_parse_bind(bind, &is_unix, NULL) != KW_OK) {
        gw_document_problem(doc, field, "found \"%.128s\"; allowed: " GW_BIND_ALLOWED, raw->bind);
        return KW_OK;
    }
    if (is_unix && raw->tls) {
        gw_document_problem(doc, path, "found tls on a Unix socket; allowed: no tls there");
    } else if (!is_unix && !raw->tls) {
        gw_document_problem(doc, path,
                            "a TCP listener needs tls: { certificate: FILE, "
                            "private_key: FILE }");
    } else if (raw->tls) {
        out->certificate = gw_config_path(base, raw->tls->certificate);
        out->private_key = gw_config_path(base, raw->tls->private_key);
        out->client_ca = gw_config_path(base, raw->tls->client_ca);
        if (!out->certificate || !out->private_key || (raw->tls->client_ca && !out->client_ca))
            return KW_E_NOMEM;
        gw_config_check_tls(doc, path, out);
    }
    return KW_OK;
}

static kw_status read_listeners(struct gw_document *doc, const char *base,
                                const struct raw_config *raw, struct gw_config *config)
{
    config->listeners = calloc(raw->listeners_count, sizeof *config->listeners);
    if (!config->listeners)
        return KW_E_NOMEM;
    config->listener_count = raw->listeners_count;
    for (size_t i = 0; i < raw->listeners_count; i++) {
        KW_TRY(read_listener(doc, base, i, &raw->listeners[i], &config->listeners[i]));
        for (size_t j = 0; j < i; j++) {
            char path[64];
            snprintf(path, sizeof path, "listeners[%zu].bind", i);
            if (strcmp(config->listeners[j].bind, config->listeners[i].bind) == 0)
                gw_document_problem(doc, path, "found \"%.128s\" a second time",
                                    config->listeners[i].bind);
        }
    }
    if (!raw->admin)
        return KW_OK;
    config->admin_bind = gw_config_bind(base, raw->admin->bind);
    if (!config->admin_bind)
        return KW_E_NOMEM;
    if (gw_parse_bind(config->admin_bind, NULL, NULL) != KW_OK)
        gw_document_problem(doc, "admin.bind", "found \"%.128s\"; allowed: " GW_BIND_ALLOWED,
                            raw->admin->bind);
    return KW_OK;
}

static void read_group(struct gw_document *doc, const struct raw_group *raw,
                       struct gw_config *config)
{
    duration(doc, "group.soft_deadline", raw->soft_deadline, &config->soft_deadline_ns);
    duration(doc, "group.hard_deadline", raw->hard_deadline, &config->hard_deadline_ns);
    config->hedge = raw->hedge == RAW_HEDGE_ON;
    number(doc, "group.queue_max", raw->queue_max, 1, 1000000, &config->queue_max);
    number(doc, "group.min_copies", raw->min_copies, 1,
           raw->members_count > 0 ? raw->members_count : 1, &config->min_copies);
    if (!raw->recovery)
        return;
    duration(doc, "group.recovery.interval", raw->recovery->interval,
             &config->recovery_interval_ns);
    if (raw->recovery->retries) {
        config->recovery_retries = *raw->recovery->retries;
        if (config->recovery_retries < -1)
            gw_document_problem(doc, "group.recovery.retries",
                                "found %d; allowed: -1 (for ever), 0 (off) or a count",
                                config->recovery_retries);
    }
}

static void read_parts_to_come(struct gw_document *doc, const struct raw_config *raw)
{
    if (raw->store && raw->store->engine == RAW_ENGINE_POSTGRESQL)
        gw_document_problem(doc, "store.engine",
                            "found \"postgresql\", which is not available in "
                            "this version; allowed: sqlite");
    else if (raw->store && raw->store->dsn)
        gw_document_problem(doc, "store.dsn",
                            "unknown field for engine sqlite; the database is "
                            "keyward.db in the data directory");
    if (raw->auth && raw->auth->jwt)
        gw_document_problem(doc, "auth.jwt", "not available in this version; allowed: tokens");
}

static kw_status read_all(struct gw_document *doc, const char *base, const struct raw_config *raw,
                          struct gw_config *config)
{
    config->data = gw_config_path(base, raw->data);
    config->control_path = raw->control ? gw_config_path(base, raw->control)
                                        : gw_config_join(config->data, "control.sock");
    if (raw->auth && raw->auth->tokens)
        config->tokens_file = gw_config_path(base, raw->auth->tokens);
    if (!config->data || !config->control_path ||
        (raw->auth && raw->auth->tokens && !config->tokens_file))
        return KW_E_NOMEM;
    number(doc, "loops", raw->loops, 0, GW_MAX_LOOPS, &config->loops);
    number(doc, "workers", raw->workers, 0, 256, &config->workers);
    KW_TRY(read_listeners(doc, base, raw, config));
    if (raw->group) {
        read_group(doc, raw->group, config);
        KW_TRY(gw_config_members(doc, base, raw->group, config));
    }
    KW_TRY(gw_config_vaults(doc, raw, config));
    KW_TRY(gw_config_backup(doc, base, raw->backup, &config->backup));
    read_limits(doc, raw->limits, &config->limits);
    read_parts_to_come(doc, raw);
    return KW_OK;
}

static kw_status from_document(struct gw_document *doc, const char *text, size_t len,
                               struct gw_config *config)
{
    gw_document_check(doc, &gw_config_schema);
    if (doc->problems > 0)
        return KW_E_INPUT;
    struct last_message last = {.text = ""};
    cyaml_config_t settings = cyaml_settings(&last);
    struct raw_config *raw = NULL;
    cyaml_err_t err = cyaml_load_data((const uint8_t *)text, len, &settings, &gw_config_schema,
                                      (cyaml_data_t **)&raw, NULL);
    if (err != CYAML_OK) {
        gw_document_problem(doc, "", "%s (%s)", last.text, cyaml_strerror(err));
        return err == CYAML_ERR_OOM ? KW_E_NOMEM : KW_E_INPUT;
    }
    char *base = gw_config_folder(doc->file);
    kw_status status = base ? read_all(doc, base, raw, config) : KW_E_NOMEM;
    free(base);
    cyaml_free(&settings, &gw_config_schema, raw, 0);
    if (status == KW_OK && doc->problems > 0)
        status = KW_E_INPUT;
    return status;
}

static kw_status load(struct gw_config **out, const char *file, bool keep, char *error,
                      size_t error_len)
{
    *out = NULL;
    error[0] = '\0';
    size_t len = 0;
    char *text = NULL;
    KW_TRY(gw_config_read(file, GW_CONFIG_FILE_MAX, &text, &len, error, error_len));
    struct gw_document doc;
    struct gw_config *config = calloc(1, sizeof *config);
    kw_status status =
        config ? gw_document_open(&doc, file, text, len, error, error_len) : KW_E_NOMEM;
    if (status == KW_OK) {
        gw_config_defaults(config);
        status = from_document(&doc, text, len, config);
        gw_document_close(&doc);
    }
    if (config && config->data && !(config->path = strdup(file)))
        status = KW_E_NOMEM;
    free(text);
    if (status == KW_OK || (keep && status == KW_E_INPUT && config->data)) {
        *out = config;
        return status;
    }
    gw_config_free(config);
    if (error[0] == '\0')
        snprintf(error, error_len, "%s: %s", file,
                 status == KW_E_NOMEM ? "out of memory" : "cannot be read");
    return status;
}

kw_status gw_config_load(struct gw_config **out, const char *file, char *error, size_t error_len)
{
    return load(out, file, false, error, error_len);
}

kw_status gw_config_look(struct gw_config **out, const char *file, char *error, size_t error_len)
{
    return load(out, file, true, error, error_len);
}

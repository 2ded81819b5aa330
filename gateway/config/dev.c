/* The configuration of `serve --dev`, and finding a gateway's data for the CLI. */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/config/defaults.h"
#include "gateway/config/document.h"
#include "gateway/config/durable.h"
#include "gateway/config/files.h"
#include "gateway/config/values.h"

static kw_status check_bind(const char *option, const char *bind, char *error, size_t error_len)
{
    bool is_unix = false;
    if (gw_parse_bind(bind, &is_unix, NULL) == KW_OK && !is_unix)
        return KW_OK;
    snprintf(error, error_len,
             "%s: found \"%s\"; allowed: ADDRESS:PORT such as 127.0.0.1:8443 or [::1]:8443", option,
             bind);
    return KW_E_INPUT;
}

static kw_status fill(struct gw_config *config, const char *listen, const char *admin)
{
    config->listeners = calloc(1, sizeof *config->listeners);
    if (!config->listeners)
        return KW_E_NOMEM;
    config->listener_count = 1;
    struct gw_listener_config *listener = &config->listeners[0];
    listener->bind = strdup(listen);
    listener->certificate = gw_config_join(config->data, "tls.pem");
    listener->private_key = gw_config_join(config->data, "tls.key");
    config->admin_bind = strdup(admin);
    config->backup.folders = calloc(1, sizeof *config->backup.folders);
    if (!config->backup.folders)
        return KW_E_NOMEM;
    config->backup.folders[0] = gw_config_join(config->data, "backups");
    if (config->backup.folders[0])
        config->backup.folder_count = 1;
    config->control_path = gw_config_join(config->data, "control.sock");
    config->tokens_file = gw_config_join(config->data, "tokens.json");
    bool ok = listener->bind && listener->certificate && listener->private_key &&
              config->admin_bind && config->control_path && config->tokens_file &&
              config->backup.folder_count == 1;
    return ok ? KW_OK : KW_E_NOMEM;
}

kw_status gw_config_dev(struct gw_config **out, const char *dir, const char *listen,
                        const char *admin, char *error, size_t error_len)
{
    *out = NULL;
    dir = dir ? dir : GW_DEV_DATA;
    listen = listen ? listen : GW_DEV_LISTEN;
    admin = admin ? admin : GW_DEV_ADMIN;
    KW_TRY(check_bind("--listen", listen, error, error_len));
    KW_TRY(check_bind("--admin", admin, error, error_len));
    KW_TRY(gw_make_folder(dir, error, error_len));
    struct gw_config *config = calloc(1, sizeof *config);
    if (!config) {
        snprintf(error, error_len, "out of memory");
        return KW_E_NOMEM;
    }
    gw_config_defaults(config);
    config->dev = true;
    config->data = realpath(dir, NULL);
    kw_status status = config->data ? fill(config, listen, admin) : KW_E_NOMEM;
    if (status == KW_OK) {
        *out = config;
        return KW_OK;
    }
    snprintf(error, error_len, "%s: cannot be used as data directory", dir);
    gw_config_free(config);
    return status;
}

static kw_status place_in_file(struct gw_place *out, const char *file, char *error,
                               size_t error_len)
{
    char *text = NULL;
    size_t len = 0;
    struct gw_document doc;
    KW_TRY(gw_config_read(file, GW_CONFIG_FILE_MAX, &text, &len, error, error_len));
    kw_status status = gw_document_open(&doc, file, text, len, error, error_len);
    free(text);
    if (status != KW_OK)
        return status;
    char *base = gw_config_folder(file);
    const char *data = gw_document_text(&doc, "data");
    const char *control = gw_document_text(&doc, "control");
    const char *tokens = gw_document_text(&doc, "auth.tokens");
    if (!data) {
        snprintf(error, error_len, "%s: required field \"data\" is missing", file);
        status = KW_E_INPUT;
    } else if (base) {
        out->data = gw_config_path(base, data);
        out->control =
            control ? gw_config_path(base, control) : gw_config_join(out->data, "control.sock");
        out->tokens = gw_config_path(base, tokens);
    }
    if (status == KW_OK && (!out->data || !out->control || (tokens && !out->tokens))) {
        snprintf(error, error_len, "%s: out of memory", file);
        status = KW_E_NOMEM;
    }
    free(base);
    gw_document_close(&doc);
    return status;
}

kw_status gw_place_find(struct gw_place *out, const char *file, const char *dir, char *error,
                        size_t error_len)
{
    memset(out, 0, sizeof *out);
    kw_status status = KW_OK;
    if (file) {
        status = place_in_file(out, file, error, error_len);
    } else {
        out->data = strdup(dir ? dir : GW_DEV_DATA);
        out->control = gw_config_join(out->data, "control.sock");
        out->tokens = gw_config_join(out->data, "tokens.json");
        if (!out->data || !out->control || !out->tokens) {
            snprintf(error, error_len, "out of memory");
            status = KW_E_NOMEM;
        }
    }
    if (status != KW_OK)
        gw_place_clear(out);
    return status;
}

void gw_place_clear(struct gw_place *place)
{
    free(place->data);
    free(place->control);
    free(place->tokens);
    memset(place, 0, sizeof *place);
}

#include "gateway/config/config.h"

#include <stdint.h>
#include <stdlib.h>

#include "gateway/config/backup.h"
#include "gateway/config/defaults.h"
#include "gateway/config/vaults.h"

void gw_config_defaults(struct gw_config *config)
{
    config->recovery_retries = -1;
    config->recovery_interval_ns = KW_S(1);
    config->limits = (struct gw_limits){.rate = 0,
                                        .max_body = 262144,
                                        .max_batch_body = 16u << 20,
                                        .max_connections = 8192,
                                        .max_streams = 128,
                                        .header_timeout_ms = 10000,
                                        .body_timeout_ms = 30000,
                                        .idle_timeout_ms = 120000,
                                        .handshake_timeout_ms = 10000,
                                        .drain_ms = 30000};
}

/* The strings of a member are the configuration's; pool_member_config only borrows them. */
static void member_fini(struct pool_member_config *member)
{
    free((void *)(uintptr_t)member->module);
    free((void *)(uintptr_t)member->token_label);
    free((void *)(uintptr_t)member->token_serial);
    free((void *)(uintptr_t)member->pin_file);
    free((void *)(uintptr_t)member->url);
    free((void *)(uintptr_t)member->token_file);
    free((void *)(uintptr_t)member->ca);
    free((void *)(uintptr_t)member->probe_host);
    free((void *)(uintptr_t)member->paths);
}

void gw_config_free(struct gw_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->listener_count; i++) {
        free(config->listeners[i].bind);
        free(config->listeners[i].certificate);
        free(config->listeners[i].private_key);
        free(config->listeners[i].client_ca);
    }
    for (size_t i = 0; i < config->member_count; i++)
        member_fini(&config->members[i]);
    for (size_t i = 0; i < config->vault_count; i++)
        gw_config_vault_fini(&config->vaults[i]);
    gw_config_backup_fini(&config->backup);
    free(config->vaults);
    free(config->listeners);
    free(config->members);
    free(config->path);
    free(config->data);
    free(config->admin_bind);
    free(config->control_path);
    free(config->tokens_file);
    free(config);
}

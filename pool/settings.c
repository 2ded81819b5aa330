#include "pool/settings.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"

static char *copy_text(const char *text, kw_status *status)
{
    if (text == NULL || *status != KW_OK) {
        return NULL;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        *status = KW_E_NOMEM;
    }
    return copy;
}

static char *copy_bytes(const char *bytes, size_t len, kw_status *status)
{
    if (len == 0 || *status != KW_OK) {
        return NULL;
    }
    char *copy = malloc(len);
    if (copy == NULL) {
        *status = KW_E_NOMEM;
        return NULL;
    }
    return memcpy(copy, bytes, len);
}

static void free_text(const char **text)
{
    free((char *)(uintptr_t)*text);
    *text = NULL;
}

/* --- of a member --- */

kw_status pool_member_config_copy(struct pool_member_config *kept,
                                  const struct pool_member_config *config)
{
    kw_status status = KW_OK;
    *kept = *config;
    kept->module = copy_text(config->module, &status);
    kept->token_label = copy_text(config->token_label, &status);
    kept->token_serial = copy_text(config->token_serial, &status);
    kept->pin_file = copy_text(config->pin_file, &status);
    kept->url = copy_text(config->url, &status);
    kept->token_file = copy_text(config->token_file, &status);
    kept->ca = copy_text(config->ca, &status);
    kept->probe_host = copy_text(config->probe_host, &status);
    kept->paths = copy_bytes(config->paths, config->paths_len, &status);
    kept->sessions = config->sessions == 0 ? 8 : config->sessions;
    kept->hosts = config->hosts == 0 ? 1 : config->hosts;
    kept->loaded_keys = config->loaded_keys == 0 ? POOL_LOADED_KEYS : config->loaded_keys;
    kept->priority = config->priority == 0 ? 1 : config->priority;
    return status;
}

void pool_member_config_clear(struct pool_member_config *config)
{
    free_text(&config->module);
    free_text(&config->token_label);
    free_text(&config->token_serial);
    free_text(&config->pin_file);
    free_text(&config->url);
    free_text(&config->token_file);
    free_text(&config->ca);
    free_text(&config->probe_host);
    free_text(&config->paths);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

enum pool_differs pool_member_config_differs(const struct pool_member_config *a,
                                             const struct pool_member_config *b)
{
    if (a->kind != b->kind || a->opens_hsm_keys != b->opens_hsm_keys ||
        a->sessions != b->sessions || a->hosts != b->hosts || a->loaded_keys != b->loaded_keys ||
        a->coalesce_off != b->coalesce_off || !same(a->module, b->module) ||
        !same(a->token_label, b->token_label) || !same(a->token_serial, b->token_serial) ||
        !same(a->url, b->url) || !same(a->ca, b->ca) || a->sandbox != b->sandbox ||
        a->memory_max != b->memory_max || a->files_max != b->files_max ||
        a->paths_len != b->paths_len ||
        (a->paths_len > 0 && memcmp(a->paths, b->paths, a->paths_len) != 0)) {
        return POOL_DIFFERS;
    }
    bool in_place = a->role != b->role || a->priority != b->priority ||
                    !same(a->pin_file, b->pin_file) || !same(a->token_file, b->token_file) ||
                    !same(a->probe_host, b->probe_host) || a->probe_port != b->probe_port;
    return in_place ? POOL_DIFFERS_IN_PLACE : POOL_DIFFERS_NOT;
}

/* ---- of the group -----------------------------------------------------------------------------
 * The settings that may change while the group serves are read through one pointer; what it pointed
 * to before stays until the end, because threads may be reading it. Changes are rare and small. */

struct pool_settings {
    struct pool_settings *before;
    struct pool_config config;
};

static void fill_in(struct pool_config *config)
{
    config->queue_max = config->queue_max == 0 ? 4096 : config->queue_max;
    config->min_copies = config->min_copies == 0 ? 2 : config->min_copies;
    config->soft_deadline_ns = config->soft_deadline_ns == 0 ? KW_S(2) : config->soft_deadline_ns;
    config->hard_deadline_ns = config->hard_deadline_ns == 0 ? KW_S(20) : config->hard_deadline_ns;
    config->recovery_interval_ns =
        config->recovery_interval_ns == 0 ? KW_S(1) : config->recovery_interval_ns;
}

kw_status pool_settings_keep(struct pool *pool, const struct pool_config *config)
{
    kw_status status = KW_OK;
    pool->config = *config;
    pool->config.members = NULL;
    pool->config.host_program = copy_text(config->host_program, &status);
    pool->config.state_dir = copy_text(config->state_dir, &status);
    fill_in(&pool->config);
    return status;
}

void pool_settings_free(struct pool *pool)
{
    while (pool->settings != NULL) {
        struct pool_settings *settings = pool->settings;
        pool->settings = settings->before;
        free(settings);
    }
    free_text(&pool->config.host_program);
    free_text(&pool->config.state_dir);
}

const struct pool_config *pool_config(const struct pool *pool)
{
    const struct pool_config *now = atomic_load_explicit(&pool->config_now, memory_order_acquire);
    return now != NULL ? now : &pool->config;
}

static bool is_same(const struct pool_config *a, const struct pool_config *b)
{
    return a->queue_max == b->queue_max && a->min_copies == b->min_copies &&
           a->soft_deadline_ns == b->soft_deadline_ns &&
           a->hard_deadline_ns == b->hard_deadline_ns && a->hedge == b->hedge &&
           a->recovery_retries == b->recovery_retries &&
           a->recovery_interval_ns == b->recovery_interval_ns;
}

kw_status pool_settings_change(struct pool *pool, const struct pool_config *config, bool *changed)
{
    *changed = false;
    if (config->recovery_retries < -1 || config->soft_deadline_ns < 0 ||
        config->hard_deadline_ns < 0 || config->recovery_interval_ns < 0) {
        return KW_E_INPUT;
    }
    pthread_mutex_lock(&pool->change_lock);
    const struct pool_config *was = pool_config(pool);
    struct pool_config next = *was;
    next.queue_max = config->queue_max;
    next.min_copies = config->min_copies;
    next.soft_deadline_ns = config->soft_deadline_ns;
    next.hard_deadline_ns = config->hard_deadline_ns;
    next.hedge = config->hedge;
    next.recovery_retries = config->recovery_retries;
    next.recovery_interval_ns = config->recovery_interval_ns;
    fill_in(&next);
    kw_status status = KW_OK;
    if (!is_same(&next, was)) {
        struct pool_settings *settings = malloc(sizeof *settings);
        if (settings == NULL) {
            status = KW_E_NOMEM;
        } else {
            settings->config = next;
            settings->before = pool->settings;
            pool->settings = settings;
            atomic_store_explicit(&pool->config_now, &settings->config, memory_order_release);
            *changed = true;
        }
    }
    pthread_mutex_unlock(&pool->change_lock);
    if (*changed) {
        pool_supervisor_wake(pool);
    }
    return status;
}

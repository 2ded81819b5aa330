#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "pool/core/engine.h"
#include "pool/kinds.h"
#include "pool/limit.h"
#include "pool/member_state.h"
#include "pool/remote/via.h"
#include "pool/supervisor.h"

/* ---- settings
 * ------------------------------------------------------------------------------------- */

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

static void set_default_i64(int64_t *value, int64_t fallback)
{
    if (*value == 0) {
        *value = fallback;
    }
}

static kw_status keep_config(struct pool *pool, const struct pool_config *config)
{
    kw_status status = KW_OK;
    pool->config = *config;
    pool->config.members = NULL;
    pool->config.host_program = copy_text(config->host_program, &status);
    pool->config.state_dir = copy_text(config->state_dir, &status);
    if (pool->config.queue_max == 0) {
        pool->config.queue_max = 4096;
    }
    if (pool->config.min_copies == 0) {
        pool->config.min_copies = 2;
    }
    unsigned makers = 0; /* a remote member holds no key that is made here */
    for (size_t i = 0; i < config->member_count; i++) {
        makers += config->members[i].kind != POOL_MEMBER_REMOTE;
    }
    if (pool->config.min_copies > makers) {
        pool->config.min_copies = makers > 0 ? makers : 1;
    }
    set_default_i64(&pool->config.soft_deadline_ns, KW_S(2));
    set_default_i64(&pool->config.hard_deadline_ns, KW_S(20));
    set_default_i64(&pool->config.recovery_interval_ns, KW_S(1));
    return status;
}

static kw_status keep_member_config(struct pool_member_config *kept,
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
    kept->sessions = config->sessions == 0 ? 8 : config->sessions;
    kept->hosts = config->hosts == 0 ? 1 : config->hosts;
    kept->loaded_keys = config->loaded_keys == 0 ? POOL_LOADED_KEYS : config->loaded_keys;
    return status;
}

static void free_texts(struct pool *pool)
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member_config *config = &pool->members[i].config;
        free((char *)(uintptr_t)config->module);
        free((char *)(uintptr_t)config->token_label);
        free((char *)(uintptr_t)config->token_serial);
        free((char *)(uintptr_t)config->pin_file);
        free((char *)(uintptr_t)config->url);
        free((char *)(uintptr_t)config->token_file);
        free((char *)(uintptr_t)config->ca);
        free((char *)(uintptr_t)config->probe_host);
    }
    free((char *)(uintptr_t)pool->config.host_program);
    free((char *)(uintptr_t)pool->config.state_dir);
}

static kw_status check_config(const struct pool_config *config)
{
    if (config->member_count > POOL_MAX_MEMBERS || config->recovery_retries < -1 ||
        config->soft_deadline_ns < 0 || config->hard_deadline_ns < 0 ||
        config->recovery_interval_ns < 0) {
        return KW_E_INPUT;
    }
    for (size_t i = 0; i < config->member_count; i++) {
        const struct pool_member_config *member = &config->members[i];
        if (member->name[0] == 0 || memchr(member->name, 0, sizeof member->name) == NULL) {
            return KW_E_INPUT;
        }
        if (pool_kind_type(member->kind) == NULL) {
            return KW_E_UNSUPPORTED;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(member->name, config->members[j].name) == 0) {
                return KW_E_CONFLICT;
            }
        }
    }
    return KW_OK;
}

/* ---- members
 * -------------------------------------------------------------------------------------- */

static kw_status init_member(struct pool *pool, unsigned index,
                             const struct pool_member_config *config)
{
    struct pool_member *member = &pool->members[index];
    member->pool = pool;
    member->index = index;
    member->type = pool_kind_type(config->kind);
    member->next_retry_ns = INT64_MAX;
    /* The core has nothing to start: its self-tests ran in kc_lanes_init. */
    bool core = member->type == &pool_member_core;
    pool_member_init_state(member, config->role, core ? POOL_HEALTH_UP : POOL_HEALTH_STARTING);
    KW_TRY(keep_member_config(&member->config, config));
    if (core) {
        member->config.sessions = core_engine_workers(pool->engine);
        member->config.hosts = 1;
        pool->core_opens_hsm = pool->core_opens_hsm || config->opens_hsm_keys;
    }
    pool_limit_init(member);
    return KW_OK;
}

static kw_status create_members(struct pool *pool, const struct pool_config *config)
{
    static const struct pool_member_config implicit = {.name = "core", .kind = POOL_MEMBER_CORE};
    pool->member_count = (unsigned)config->member_count;
    for (unsigned i = 0; i < pool->member_count; i++) {
        KW_TRY(init_member(pool, i, &config->members[i]));
    }
    KW_TRY(init_member(pool, pool->member_count, &implicit));
    pool_core(pool)->type = &pool_member_core;
    for (unsigned i = 0; i <= pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        if (member->type->create != NULL) {
            KW_TRY(member->type->create(member, &member->config));
        }
        pool->created++;
    }
    return KW_OK;
}

/* ---- life
 * ----------------------------------------------------------------------------------------- */

static kw_status start(struct pool *pool, const struct pool_config *config)
{
    KW_TRY(pool_via_make(pool->instance));
    KW_TRY(keep_config(pool, config));
    KW_TRY(pool_supervisor_create(pool));
    KW_TRY(core_engine_create(&pool->engine, pool, config->workers));
    KW_TRY(create_members(pool, config));
    pool->retired = calloc(pool->member_count + 1, sizeof *pool->retired);
    if (pool->retired == NULL) {
        return KW_E_NOMEM;
    }
    return pool_supervisor_start(pool);
}

kw_status pool_create(struct pool **out, const struct pool_config *config,
                      const struct kc_domain *domain)
{
    *out = NULL;
    KW_TRY(check_config(config));
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return KW_E_NOMEM;
    }
    pool->domain = domain;
    pthread_mutex_init(&pool->state_lock, NULL);
    pthread_mutex_init(&pool->ports_lock, NULL);
    kw_status status = start(pool, config);
    if (status != KW_OK) {
        pool_destroy(pool);
        return status;
    }
    *out = pool;
    return KW_OK;
}

void pool_destroy(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pool_supervisor_stop(pool);
    for (unsigned i = 0; i < pool->created; i++) {
        struct pool_member *member = &pool->members[i];
        if (member->type->destroy != NULL) {
            member->type->destroy(member);
        }
    }
    pool_supervisor_free(pool);
    core_engine_destroy(pool->engine);
    free_texts(pool);
    free(pool->retired);
    pthread_mutex_destroy(&pool->ports_lock);
    pthread_mutex_destroy(&pool->state_lock);
    free(pool);
}

/* ---- for the rest of the pool
 * --------------------------------------------------------------------- */

void pool_emit(struct pool *pool, const struct pool_event *event)
{
    if (pool->config.observer.event != NULL) {
        pool->config.observer.event(pool->config.observer.ctx, event);
    }
}

void pool_forget(struct pool *pool, const uint8_t id[KW_KEY_ID_LEN])
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        if (member->type->forget != NULL) {
            member->type->forget(member, id);
        }
    }
}

const struct kc_domain *pool_domain(const struct pool *pool)
{
    return pool->domain;
}

const struct pool_config *pool_config(const struct pool *pool)
{
    return &pool->config;
}

const char *pool_instance(const struct pool *pool)
{
    return pool->instance;
}

const char *pool_other_member(const struct pool_member *member)
{
    struct pool *pool = member->pool;
    for (unsigned i = 0; i < pool->member_count; i++) {
        if (&pool->members[i] != member && pool_member_accepts(&pool->members[i])) {
            return pool->members[i].config.name;
        }
    }
    return NULL;
}

/* ---- operators
 * ------------------------------------------------------------------------------------ */

static struct pool_member *find_member(struct pool *pool, const char *name)
{
    for (unsigned i = 0; i < pool->member_count; i++) {
        if (strcmp(pool->members[i].config.name, name) == 0) {
            return &pool->members[i];
        }
    }
    return NULL;
}

kw_status pool_member_command(struct pool *pool, const char *name, enum pool_command command)
{
    struct pool_member *member = find_member(pool, name);
    if (member == NULL) {
        return KW_E_NOT_FOUND;
    }
    if (member->type->command != NULL) {
        KW_TRY(member->type->command(member, command));
    }
    switch (command) {
    case POOL_CMD_REPLACE:
    case POOL_CMD_RECOVER:
        pool_member_recover(member);
        return KW_OK;
    case POOL_CMD_ZEROIZE:
    case POOL_CMD_DRAIN:
        pool_member_set_admin(member, POOL_ADMIN_DRAIN);
        return KW_OK;
    case POOL_CMD_ACTIVATE:
        pool_member_set_admin(member, POOL_ADMIN_READY);
        return KW_OK;
    case POOL_CMD_SYNC:
        pool_supervisor_wake(pool);
        return KW_OK;
    }
    return KW_E_INPUT;
}

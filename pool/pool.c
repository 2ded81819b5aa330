#include <stdlib.h>
#include <string.h>

#include "crypto/base/clock.h"
#include "pool/core/engine.h"
#include "pool/kinds.h"
#include "pool/member_state.h"
#include "pool/remote/via.h"
#include "pool/settings.h"
#include "pool/slot.h"
#include "pool/supervisor.h"

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

static kw_status create_members(struct pool *pool, const struct pool_config *config)
{
    struct pool_member *member;
    KW_TRY(pool_slot_fill_core(pool));
    for (size_t i = 0; i < config->member_count; i++) {
        KW_TRY(pool_slot_fill(pool, &config->members[i], POOL_SLOT_ADD, &member));
    }
    return KW_OK;
}

/* ---- life
 * ----------------------------------------------------------------------------------------- */

static kw_status start(struct pool *pool, const struct pool_config *config)
{
    KW_TRY(pool_via_make(pool->instance));
    KW_TRY(pool_settings_keep(pool, config));
    KW_TRY(pool_supervisor_create(pool));
    KW_TRY(core_engine_create(&pool->engine, pool, config->workers));
    pool->retired = calloc(POOL_MAX_MEMBERS + 1, sizeof *pool->retired);
    if (pool->retired == NULL) {
        return KW_E_NOMEM;
    }
    KW_TRY(create_members(pool, config));
    pool->announces = true;
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
    pthread_mutex_init(&pool->change_lock, NULL);
    pthread_rwlock_init(&pool->slots_lock, NULL);
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
    pool_slots_free(pool);
    pool_supervisor_free(pool);
    core_engine_destroy(pool->engine);
    pool_settings_free(pool);
    free(pool->retired);
    pthread_rwlock_destroy(&pool->slots_lock);
    pthread_mutex_destroy(&pool->change_lock);
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
    pthread_rwlock_rdlock(&pool->slots_lock);
    for (unsigned i = 0; i < pool->member_count; i++) {
        struct pool_member *member = &pool->members[i];
        if (pool_slot_runs(member) && member->type->forget != NULL) {
            member->type->forget(member, id);
        }
    }
    pthread_rwlock_unlock(&pool->slots_lock);
}

const struct kc_domain *pool_domain(const struct pool *pool)
{
    return pool->domain;
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

/* While one comes up with new settings, what is about coming up is meant for it. */
static struct pool_member *find_member(struct pool *pool, const char *name,
                                       enum pool_command command)
{
    struct pool_member *heir = NULL;
    if (command == POOL_CMD_REPLACE || command == POOL_CMD_RECOVER) {
        heir = pool_slot_find(pool, name, true);
    }
    return heir != NULL ? heir : pool_slot_find(pool, name, false);
}

static kw_status run_command(struct pool_member *member, enum pool_command command)
{
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
        pool_supervisor_wake(member->pool);
        return KW_OK;
    }
    return KW_E_INPUT;
}

kw_status pool_member_command(struct pool *pool, const char *name, enum pool_command command)
{
    pthread_rwlock_rdlock(&pool->slots_lock);
    struct pool_member *member = find_member(pool, name, command);
    kw_status status = member != NULL ? run_command(member, command) : KW_E_NOT_FOUND;
    pthread_rwlock_unlock(&pool->slots_lock);
    return status;
}

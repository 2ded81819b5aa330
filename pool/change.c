/* The group is changed while it serves: members come, change and go, and its settings change. One
 * change at a time; what takes time is the supervisor's. */

#include <stdlib.h>
#include <string.h>

#include "pool/kinds.h"
#include "pool/member_state.h"
#include "pool/settings.h"
#include "pool/slot.h"

static kw_status check(const struct pool *pool, const struct pool_member_config *config)
{
    if (config->name[0] == 0 || memchr(config->name, 0, sizeof config->name) == NULL) {
        return KW_E_INPUT;
    }
    if (pool_is_core_alone(pool)) {
        return KW_E_UNSUPPORTED; /* the core holds the HSM keys here, from the start to the end */
    }
    return pool_kind_type(config->kind) != NULL ? KW_OK : KW_E_INPUT;
}

/* A core member opens HSM keys as they come from the store: those that are there already it has
 * not. */
static bool is_core(const struct pool_member_config *config)
{
    return config->kind == POOL_MEMBER_CORE;
}

static kw_status change_in_place(struct pool_member *member,
                                 const struct pool_member_config *config)
{
    struct pool_member_config *for_member = malloc(sizeof *for_member), wanted;
    if (for_member == NULL) {
        return KW_E_NOMEM;
    }
    kw_status status = pool_member_config_copy(for_member, config);
    if (status == KW_OK) {
        status = pool_member_config_copy(&wanted, config);
        if (status != KW_OK) {
            pool_member_config_clear(&wanted);
        }
    }
    if (status != KW_OK) {
        pool_member_config_clear(for_member);
        free(for_member);
        return status;
    }
    pool_member_config_clear(&member->wanted);
    member->wanted = wanted;
    struct pool_member_config *not_taken = atomic_exchange(&member->changed, for_member);
    if (not_taken != NULL) {
        pool_member_config_clear(not_taken);
        free(not_taken);
    }
    pool_supervisor_wake(member->pool);
    return KW_OK;
}

/* `kept`: a copy of the settings, for comparison. */
static kw_status set(struct pool *pool, const struct pool_member_config *kept, enum pool_set *what)
{
    struct pool_member *member = pool_slot_find(pool, kept->name, false);
    struct pool_member *heir = pool_slot_find(pool, kept->name, true), *made;
    if (member == NULL && heir == NULL) {
        *what = POOL_SET_ADDED;
        return is_core(kept) ? KW_E_UNSUPPORTED : pool_slot_fill(pool, kept, POOL_SLOT_ADD, &made);
    }
    struct pool_member *last = heir != NULL ? heir : member;
    bool stays = member != NULL && atomic_exchange(&member->leaves_when_safe, false);
    if (stays) {
        pool_member_note(member, "configured again");
    }
    switch (pool_member_config_differs(&last->wanted, kept)) {
    case POOL_DIFFERS_NOT:
        *what = stays ? POOL_SET_CHANGED : POOL_SET_SAME;
        return KW_OK;
    case POOL_DIFFERS_IN_PLACE:
        *what = POOL_SET_CHANGED;
        return is_core(kept) ? KW_E_UNSUPPORTED : change_in_place(last, kept);
    default:
        break;
    }
    *what = POOL_SET_REPLACED;
    if (is_core(kept) || is_core(&last->wanted)) {
        return KW_E_UNSUPPORTED;
    }
    if (heir != NULL && member != NULL) {
        pool_slot_leave(heir, false, "its settings changed again");
        if (pool_member_config_differs(&member->wanted, kept) != POOL_DIFFERS) {
            return change_in_place(member, kept); /* back to what it was */
        }
    }
    return pool_slot_fill(pool, kept, POOL_SLOT_ADD_HEIR, &made);
}

kw_status pool_member_set(struct pool *pool, const struct pool_member_config *config,
                          enum pool_set *what)
{
    struct pool_member_config kept;
    *what = POOL_SET_SAME;
    KW_TRY(check(pool, config));
    pthread_mutex_lock(&pool->change_lock);
    kw_status status = pool_member_config_copy(&kept, config);
    if (status == KW_OK) {
        status = set(pool, &kept, what);
    }
    pool_member_config_clear(&kept);
    pthread_mutex_unlock(&pool->change_lock);
    return status;
}

kw_status pool_member_differs(struct pool *pool, const struct pool_member_config *config,
                              enum pool_set *what)
{
    struct pool_member_config kept;
    *what = POOL_SET_SAME;
    pthread_mutex_lock(&pool->change_lock);
    kw_status status = pool_member_config_copy(&kept, config);
    struct pool_member *member = pool_slot_find(pool, config->name, true);
    if (member == NULL) {
        member = pool_slot_find(pool, config->name, false);
    }
    if (status == KW_OK && member == NULL) {
        *what = POOL_SET_ADDED;
    } else if (status == KW_OK) {
        enum pool_differs differs = pool_member_config_differs(&member->wanted, &kept);
        bool in_place = differs == POOL_DIFFERS_IN_PLACE || atomic_load(&member->leaves_when_safe);
        *what = differs == POOL_DIFFERS ? POOL_SET_REPLACED
                : in_place              ? POOL_SET_CHANGED
                                        : POOL_SET_SAME;
    }
    pool_member_config_clear(&kept);
    pthread_mutex_unlock(&pool->change_lock);
    return status;
}

kw_status pool_member_remove(struct pool *pool, const char *name, enum pool_remove how)
{
    kw_status status = KW_OK;
    pthread_mutex_lock(&pool->change_lock);
    struct pool_member *member = pool_slot_find(pool, name, false);
    struct pool_member *heir = pool_slot_find(pool, name, true);
    if (member == NULL && heir == NULL) {
        status = KW_E_NOT_FOUND;
    } else if (is_core(&(member != NULL ? member : heir)->config)) {
        status = KW_E_UNSUPPORTED;
    } else if (how != POOL_REMOVE_FORCED && member != NULL && !pool_slot_can_spare(member)) {
        status = KW_E_FORBIDDEN;
    }
    if (status == KW_E_FORBIDDEN && how == POOL_REMOVE_WHEN_SAFE) {
        atomic_store(&member->leaves_when_safe, true);
        pool_member_note(member, "it leaves when another member serves");
        status = KW_OK;
    } else if (status == KW_OK) {
        if (heir != NULL) {
            pool_slot_leave(heir, member == NULL, "removed from the configuration");
        }
        if (member != NULL) {
            pool_slot_leave(member, true, "removed from the configuration");
        }
    }
    pthread_mutex_unlock(&pool->change_lock);
    return status;
}

size_t pool_member_names(struct pool *pool, char names[POOL_MAX_MEMBERS][POOL_NAME_MAX + 1])
{
    size_t n = 0;
    pthread_mutex_lock(&pool->change_lock);
    for (unsigned i = 0; i < pool->member_count; i++) {
        const struct pool_member *member = &pool->members[i];
        /* one that has an heir is there under the same name */
        if (pool_slot(member) == POOL_SLOT_MEMBER) {
            memcpy(names[n++], member->config.name, POOL_NAME_MAX + 1);
        }
    }
    pthread_mutex_unlock(&pool->change_lock);
    return n;
}

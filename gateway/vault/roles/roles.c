#include "gateway/vault/roles/roles.h"

#include <stdlib.h>
#include <strings.h>

#include "gateway/vault/roles/internal.h"
#include "gateway/vault/vault.h"

/* --- life --- */

static struct vault_roles *create(struct vault *vault, const char *name)
{
    struct vault_roles *roles = calloc(1, sizeof *roles);
    if (!roles)
        return NULL;
    roles->vault = vault;
    memcpy(roles->name, name, strlen(name) + 1);
    pthread_rwlock_init(&roles->lock, NULL);
    pthread_mutex_init(&roles->line, NULL);
    return roles;
}

struct vault_roles *vault_roles_of(struct vault *vault, const char *name)
{
    if (strlen(name) > STORE_VAULT_MAX)
        return NULL;
    pthread_mutex_lock(&vault->roles_lock);
    struct vault_roles *roles = vault->roles;
    while (roles && strcasecmp(roles->name, name) != 0)
        roles = roles->next;
    if (!roles) {
        roles = create(vault, name);
        if (roles) {
            roles->next = vault->roles;
            vault->roles = roles;
        }
    }
    pthread_mutex_unlock(&vault->roles_lock);
    return roles;
}

void vault_roles_destroy(struct vault_roles *list)
{
    while (list) {
        struct vault_roles *roles = list;
        list = roles->next;
        roles_model_destroy(roles->model);
        pthread_rwlock_destroy(&roles->lock);
        pthread_mutex_destroy(&roles->line);
        free(roles);
    }
}

/* --- the line of changes --- */

static void run_posted(void *arg)
{
    struct roles_turn *turn = arg;
    turn->run(turn);
}

/* Under `line`: the first of the line has its turn, on its own loop. Without memory to say so it
 * stays, and goes with whoever comes next. */
static void call_first(struct vault_roles *roles)
{
    struct roles_turn *turn = roles->first;
    if (!turn || roles->busy ||
        store_post(roles->vault->store, turn->loop, run_posted, turn) != KW_OK)
        return;
    roles->first = turn->next;
    roles->busy = true;
}

void roles_enter(struct vault_roles *roles, struct roles_turn *turn)
{
    pthread_mutex_lock(&roles->line);
    bool now = !roles->busy && !roles->first;
    if (now) {
        roles->busy = true;
    } else {
        turn->next = NULL;
        *(roles->first ? &roles->last->next : &roles->first) = turn;
        roles->last = turn;
        call_first(roles);
    }
    pthread_mutex_unlock(&roles->line);
    if (now)
        turn->run(turn);
}

void roles_leave(struct vault_roles *roles)
{
    pthread_mutex_lock(&roles->line);
    roles->busy = false;
    call_first(roles);
    pthread_mutex_unlock(&roles->line);
}

/* --- reading --- */

enum vault_access vault_roles_allow(struct vault_roles *roles, const uint8_t principal[GW_GUID_LEN],
                                    unsigned action, struct role_scope resource)
{
    enum vault_access access = VAULT_ACCESS_UNKNOWN;
    pthread_rwlock_rdlock(&roles->lock);
    if (roles->model)
        access = roles_model_allows(roles->model, principal, action, resource) ? VAULT_ACCESS_YES
                                                                               : VAULT_ACCESS_NO;
    pthread_rwlock_unlock(&roles->lock);
    return access;
}

kw_status vault_roles_each(struct vault_roles *roles, vault_role_fn *each, void *ctx)
{
    const struct vault_role *role;
    pthread_rwlock_rdlock(&roles->lock);
    kw_status status = roles->model ? KW_OK : KW_E_UNAVAILABLE;
    for (size_t i = 0; status == KW_OK && (role = roles_model_role_at(roles->model, i)); i++) {
        if (!each(ctx, role))
            break;
    }
    pthread_rwlock_unlock(&roles->lock);
    return status;
}

kw_status vault_roles_each_assignment(struct vault_roles *roles, const uint8_t *after,
                                      vault_assignment_fn *each, void *ctx)
{
    const struct vault_assignment *a;
    pthread_rwlock_rdlock(&roles->lock);
    kw_status status = roles->model ? KW_OK : KW_E_UNAVAILABLE;
    size_t i = status == KW_OK && after ? roles_model_after(roles->model, after) : 0;
    for (; status == KW_OK && (a = roles_model_assignment_at(roles->model, i)); i++) {
        if (!each(ctx, a))
            break;
    }
    pthread_rwlock_unlock(&roles->lock);
    return status;
}

kw_status vault_roles_get(struct vault_roles *roles, const uint8_t id[GW_GUID_LEN],
                          vault_role_fn *with, void *ctx)
{
    pthread_rwlock_rdlock(&roles->lock);
    const struct vault_role *role = roles->model ? roles_model_role(roles->model, id) : NULL;
    kw_status status = role ? KW_OK : roles->model ? KW_E_NOT_FOUND : KW_E_UNAVAILABLE;
    if (role)
        with(ctx, role);
    pthread_rwlock_unlock(&roles->lock);
    return status;
}

kw_status vault_roles_get_assignment(struct vault_roles *roles, const uint8_t id[GW_GUID_LEN],
                                     vault_assignment_fn *with, void *ctx)
{
    pthread_rwlock_rdlock(&roles->lock);
    const struct vault_assignment *a =
        roles->model ? roles_model_assignment(roles->model, id) : NULL;
    kw_status status = a ? KW_OK : roles->model ? KW_E_NOT_FOUND : KW_E_UNAVAILABLE;
    if (a)
        with(ctx, a);
    pthread_rwlock_unlock(&roles->lock);
    return status;
}

kw_status vault_roles_setting(struct vault_roles *roles, bool *value)
{
    pthread_rwlock_rdlock(&roles->lock);
    kw_status status = roles->model ? KW_OK : KW_E_UNAVAILABLE;
    *value = status == KW_OK && roles_model_setting(roles->model);
    pthread_rwlock_unlock(&roles->lock);
    return status;
}

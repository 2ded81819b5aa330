#include "gateway/vault/vault.h"

#include <stdlib.h>

#include "gateway/vault/roles/internal.h"

kw_status vault_create_with(struct vault **out, struct store *store, struct pool *pool,
                            const struct kc_domain *domain, vault_port_fn *port,
                            size_t cache_capacity)
{
    struct vault *vault = calloc(1, sizeof *vault);
    if (!vault)
        return KW_E_NOMEM;
    vault->store = store;
    vault->pool = pool;
    vault->domain = domain;
    vault->port = port;
    pthread_mutex_init(&vault->roles_lock, NULL);
    vault->flights = vault_flights_create();
    kw_status status = vault->flights ? KW_OK : KW_E_NOMEM;
    for (unsigned kind = STORE_KEY; status == KW_OK && kind < VAULT_KINDS; kind++)
        status = vault_cache_create(&vault->caches[kind], cache_capacity);
    if (status != KW_OK) {
        vault_destroy(vault);
        return status;
    }
    *out = vault;
    return KW_OK;
}

void vault_set_scopes(struct vault *vault, vault_scope_fn *scope_of, void *ctx)
{
    vault->scope_of = scope_of;
    vault->scope_ctx = ctx;
}

unsigned vault_scope(const struct vault *vault, const char *vault_name)
{
    return vault->scope_of ? vault->scope_of(vault->scope_ctx, vault_name) : 0;
}

void vault_destroy(struct vault *vault)
{
    if (!vault)
        return;
    for (unsigned kind = STORE_KEY; kind < VAULT_KINDS; kind++)
        vault_cache_destroy(vault->caches[kind]);
    vault_flights_destroy(vault->flights);
    vault_roles_destroy(vault->roles);
    pthread_mutex_destroy(&vault->roles_lock);
    free(vault);
}

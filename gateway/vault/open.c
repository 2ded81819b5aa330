#include "gateway/vault/vault.h"

#define CACHE_KEYS 16384

kw_status vault_create(struct vault **out, struct store *store, struct pool *pool,
                       const struct kc_domain *domain)
{
    return vault_create_with(out, store, pool, domain, gw_loop_port, CACHE_KEYS);
}

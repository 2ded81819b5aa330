#include "gateway/vault/keys/keys.h"

/* nbf and exp bound what makes new material: sign, encrypt, wrap. What was made before must stay
 * readable and checkable, so decrypt, unwrap and verify go on outside the window. */
static bool time_bound(enum kw_kind kind)
{
    return kind == KW_KIND_SIGN || kind == KW_KIND_ENCRYPT || kind == KW_KIND_WRAP;
}

kw_status vault_key_permits(const struct vault_key *key, enum kw_kind kind, int64_t wall_s,
                            const char **why)
{
    const struct vault_attributes *a = &key->attributes;
    *why = NULL;
    if (!a->enabled)
        *why = "KeyDisabled";
    else if (kind > KW_KIND_UNWRAP || !(key->ops & (1u << kind)))
        *why = "KeyOperationForbidden";
    else if (time_bound(kind) && a->nbf != 0 && wall_s < a->nbf - VAULT_CLOCK_LEEWAY_S)
        *why = "KeyNotYetValid";
    else if (time_bound(kind) && a->exp != 0 && wall_s >= a->exp + VAULT_CLOCK_LEEWAY_S)
        *why = "KeyExpired";
    return *why ? KW_E_FORBIDDEN : KW_OK;
}

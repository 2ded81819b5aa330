#include "pool/kinds.h"

static const struct pool_member_type *overrides[POOL_MEMBER_REMOTE + 1];

const struct pool_member_type *pool_kind_type(enum pool_member_kind kind)
{
    if ((unsigned)kind > POOL_MEMBER_REMOTE) {
        return NULL;
    }
    if (overrides[kind] != NULL) {
        return overrides[kind];
    }
    static const struct pool_member_type *const types[] = {
        [POOL_MEMBER_CORE] = &pool_member_core,
        [POOL_MEMBER_PKCS11] = &pool_member_pkcs11,
        [POOL_MEMBER_REMOTE] = &pool_member_remote,
    };
    return types[kind];
}

void pool_kind_override(enum pool_member_kind kind, const struct pool_member_type *type)
{
    overrides[kind] = type;
}

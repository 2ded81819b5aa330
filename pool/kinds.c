#include "pool/kinds.h"

static const struct pool_member_type *overrides[POOL_MEMBER_PKCS11 + 1];

const struct pool_member_type *pool_kind_type(enum pool_member_kind kind)
{
    if ((unsigned)kind > POOL_MEMBER_PKCS11) {
        return NULL;
    }
    if (overrides[kind] != NULL) {
        return overrides[kind];
    }
    return kind == POOL_MEMBER_CORE ? &pool_member_core : &pool_member_pkcs11;
}

void pool_kind_override(enum pool_member_kind kind, const struct pool_member_type *type)
{
    overrides[kind] = type;
}

#pragma once
/* The pool's own view of a key handle. */

#include "pool/pool_impl.h"

struct pool_key {
    _Atomic unsigned refs;
    struct pool *pool;
    _Atomic bool sent; /* a member got the blob */
    bool hsm;
    uint8_t scope;
    /* resident keys: per member, the reading of its keys (pool_member.holdings) by which it has not
     * got this one, 0: not known; NULL for other keys */
    _Atomic uint32_t *lacking;
    uint8_t id[KW_KEY_ID_LEN];
    struct kc_public pub;
    struct kc_key
        *core;  /* opened key, or public half; NULL for an oct key that only members open */
    char *name; /* NULL: remote members do not know it */
    size_t blob_len;
    uint8_t blob[]; /* HSM keys: wrapped under the domain, no secret; resident keys: their
                       reference (POOL_REFERENCE) */
};

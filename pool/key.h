#pragma once
/* The pool's own view of a key handle. */

#include "pool/pool_impl.h"

struct pool_key {
    _Atomic unsigned refs;
    struct pool *pool;
    _Atomic bool sent; /* a member got the blob */
    bool hsm;
    uint8_t id[KW_KEY_ID_LEN];
    struct kc_public pub;
    struct kc_key
        *core; /* opened key, or public half; NULL for an oct key that only members open */
    size_t blob_len;
    uint8_t blob[]; /* HSM keys: wrapped under the domain, no secret */
};

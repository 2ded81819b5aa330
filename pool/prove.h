#pragma once
/* Copies of a new key. A key whose blob opens on one member alone is lost with that member, so
 * before its creation is answered it is used once on as many members as `min_copies` says, each
 * asked for itself: RSA and EC keys sign a random digest (verified with the public half, as every
 * signature is), secret keys encrypt a random block, and all members must agree on the result. */

#include "pool/op.h"

struct pool;
struct pool_proof;
typedef void pool_proof_fn(struct pool_proof *proof);

struct pool_proof {
    /* the caller's part */
    struct pool_key *key; /* borrowed until on_done */
    uint64_t shown_on;    /* members that have used it already (pool_op.served_on), or 0 */
    int64_t deadline_ns;
    pool_proof_fn *on_done;
    void *owner;

    /* the result: KW_OK; KW_E_COPIES: not enough members that could show it; KW_E_INTEGRITY: they
     * do not agree; else why an attempt failed */
    kw_status status;

    /* the pool's part */
    struct pool_port *port;
    struct pool_op op;
    uint8_t plain[64], first[KW_AES_BLOCK_LEN];
    bool has_first;
    uint8_t out[KW_RSA_MAX_BYTES];
};

/** KW_OK when enough members take work for a new HSM key to get its copies; KW_E_COPIES when not.
 *  To be asked before an HSM spends seconds on a key. Any thread. */
KW_MUST_CHECK kw_status pool_copies_possible(struct pool *pool, unsigned scope);

/** Uses the key on further members until `min_copies` have shown it. Software keys, and all keys of
 *  a pool without members, need none. Calls on_done once, perhaps before it returns. Port's thread;
 *  `proof` must stay until on_done. */
void pool_prove(struct pool_port *port, struct pool_proof *proof);

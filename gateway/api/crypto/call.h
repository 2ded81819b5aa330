#pragma once
/* One key operation between its JSON and the pool; shared by the single requests and the batch.
 *
 *   gw_call_read    body text -> algorithm and bytes                   (400)
 *   gw_call_prepare key -> may it, does it fit, room for the result    (403, 400)
 *   pool_submit(&call->op), unless `decided`
 *   gw_call_write   result -> JSON, or gw_call_fault when op.lane.status says so
 *   gw_call_drop    lets the key go */

#include "gateway/api/crypto/body.h"
#include "gateway/vault/keys/keys.h"

struct gw_call {
    struct pool_op op;
    enum kw_kind kind;
    enum kw_alg alg;
    struct vault_key *key; /* a reference, from gw_call_prepare to gw_call_drop */
    bool decided;          /* the result is known without the pool: a signature of wrong length */
    struct kw_span value, digest, iv, aad, tag; /* decoded; data NULL: absent */
    uint8_t iv_room[KW_AES_BLOCK_LEN];
};

/** How long an operation may take, the pool's retries included. */
#define GW_CALL_DEADLINE_NS KW_S(30)

/** Decodes into the arena. `call` must be zero. */
bool gw_call_read(struct gw_call *call, enum kw_kind kind, const struct gw_crypto_body *body,
                  struct gw_arena *arena, struct gw_fault *fault);
/** Takes over the reference `key`, on failure too. */
bool gw_call_prepare(struct gw_call *call, struct vault_key *key, struct gw_arena *arena,
                     struct gw_fault *fault);
/** The fault of an operation that ended with `status`, or that the pool refused with it. */
bool gw_call_fault(const struct gw_call *call, kw_status status, struct gw_fault *fault);
/** Writes the members of the result, without braces: "kid":...,"value":... */
void gw_call_write(const struct gw_call *call, struct kw_span authority, struct gw_out *out);
void gw_call_drop(struct gw_call *call);

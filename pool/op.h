#pragma once
/* The operation: one sign, verify, encrypt, decrypt, wrap, unwrap, generate or random on its way
 * through the pool. The gateway fills the top part and submits; the pool calls on_done once. */

#include "crypto/domain/domain.h"
#include "crypto/lanes/lanes.h"

struct pool_key;
struct pool_op;
struct pool_port;
struct pool_member;
struct pool_hedge;

/** What a GENERATE gives back; the caller provides the room (`generated`). */
struct pool_generated {
    struct kc_public pub;
    uint8_t blob[KC_BLOB_MAX];
    size_t blob_len;
};

/** Called exactly once for each accepted operation, on the thread that owns the port, from inside
 *  pool_port_run (never from inside pool_submit). The op belongs to the caller again. */
typedef void pool_done_fn(struct pool_op *op);

struct pool_op {
    /* --- the caller's part --- */
    struct kc_lane_op lane; /* kind, alg, spans and out buffer; `lane.key` is set by the pool;
                               results (status, out.len, tag, valid) come back here. The buffers
                               must stay alive until on_done: a caller whose client went away
                               waits for on_done before it frees them. RANDOM: out.cap bytes. */
    struct pool_key *key;   /* borrowed from the caller's reference until on_done; NULL for
                               GENERATE and RANDOM */
    struct {                /* GENERATE: what to make */
        enum kw_kty kty;
        enum kw_curve curve;
        unsigned bits;
        uint32_t exponent;
        bool hsm;       /* in a member of the group; false: by the core */
        unsigned scope; /* as in pool_key_desc */
        uint8_t key_id[KW_KEY_ID_LEN];
        struct pool_generated *out;
    } generate;
    int64_t deadline_ns; /* monotonic; KW_E_DEADLINE once it has passed */
    uint64_t client;     /* whose it is, as a hash: clients that wait share members and workers
                            equally by service time; those that give the same (0) are one */
    const char *via;     /* gateways the request came through (POOL_VIA_FIELD); NULL: none */
    bool trial;          /* a wrong answer ends it with KW_E_INTEGRITY and is nobody's fault: to see
                            whether a member's key is the one that is meant */
    uint64_t avoid;      /* members that must not take it: bits as in served_on; else 0 */
    pool_done_fn *on_done;
    void *owner; /* the caller's */

    /* --- results beside lane --- */
    const char *served_by; /* member's name, static for the life of the pool; NULL when none did */
    uint64_t served_on;    /* the same as the member's bit; 0 when none did */

    unsigned
        retry_after_s; /* with KW_E_BUSY, also of pool_submit: when what waits will be served */

    /* --- the pool's part: set by pool_submit, not to be touched by the caller, who gives `state`
     * as 0 (a zeroed op, or one that came back through on_done) ----------------------------------
     */
    struct pool_op *next;
    struct pool_port *port;
    struct pool_member *serving; /* the member that has it now */
    enum kc_shape shape;         /* KC_SHAPE_COUNT: none (GENERATE, RANDOM) */
    uint8_t state;               /* enum pool_op_state, changed by pool_op_set_state alone */
    uint8_t attempts;            /* members tried so far */
    uint8_t flags;               /* POOL_OP_* of pool/op_state.h */
    uint64_t tried;              /* bit per member index */
    uint32_t expected_ns;        /* what was added to the member's load */
    int64_t ahead_ns;            /* the member's load when this operation joined it */
    int64_t submitted_ns;
    int64_t sent_ns;
    int64_t fair_tag;                        /* its turn, in virtual time (pool/fair.h) */
    struct pool_op *fair_child;              /* in a queue by that order */
    int64_t wait_ns;                         /* a quarter of what it may wait */
    int64_t give_up_ns;                      /* waits for a member no longer than this */
    uint32_t line_ns;                        /* expected work it added to the line */
    uint64_t failed_on;                      /* bit per member whose attempt failed uncharged */
    uint64_t wire_id;                        /* id within a member's channel */
    void *member_data;                       /* the serving member's, while in flight */
    struct pool_hedge *hedge;                /* the second attempt beside this one, or NULL */
    struct pool_op *hedge_next, *hedge_prev; /* waiting to be sent twice */
    int64_t hedge_due_ns;
};

#pragma once
/* Where an operation is. One function changes it, and only along the listed edges. */

#include "pool/op.h"

enum pool_op_state {
    POOL_OP_IDLE,     /* the caller's */
    POOL_OP_ACCEPTED, /* in the group's hands, between members */
    POOL_OP_SERVING,  /* with a member */
    POOL_OP_CHECKING, /* the member's answer is being verified */
    POOL_OP_FINISHED, /* waits for on_done */
    POOL_OP_STATE_COUNT
};

#define POOL_OP_INTERNAL 1u  /* the pool's own (a check): no statistics, no queue limit */
#define POOL_OP_CHARGED  2u  /* holds one unit of the retry budget */
#define POOL_OP_TWIN     4u  /* the second attempt of a hedged operation; its owner is the hedge */
#define POOL_OP_WATCHED  8u  /* in the list of those that may be hedged */
#define POOL_OP_HEDGED   16u /* was sent twice: once is enough */
#define POOL_OP_PARKED   32u /* its own attempt failed; the twin is still under way */
#define POOL_OP_HELD     64u /* has its answer; the twin's check still reads the caller's buffers */

#define POOL_OP_WAITED 128u /* long enough for members of the best rank: any other will do */

/** Moves `op` to `next`; an edge that is not listed is a bug and aborts. Port's thread. */
void pool_op_set_state(struct pool_op *op, enum pool_op_state next);

#include "pool/op_state.h"

#include <stdlib.h>

/* Bit per allowed next state. */
#define BIT(s) (1u << (s))
static const uint8_t edges[POOL_OP_STATE_COUNT] = {
    [POOL_OP_IDLE] = BIT(POOL_OP_ACCEPTED),
    /* accepted -> idle: refused inside pool_submit, on_done will not come */
    [POOL_OP_ACCEPTED] = BIT(POOL_OP_SERVING) | BIT(POOL_OP_FINISHED) | BIT(POOL_OP_IDLE),
    [POOL_OP_SERVING] = BIT(POOL_OP_ACCEPTED) | BIT(POOL_OP_CHECKING) | BIT(POOL_OP_FINISHED),
    [POOL_OP_CHECKING] = BIT(POOL_OP_ACCEPTED) | BIT(POOL_OP_FINISHED),
    [POOL_OP_FINISHED] = BIT(POOL_OP_IDLE),
};

void pool_op_set_state(struct pool_op *op, enum pool_op_state next)
{
    if (op->state >= POOL_OP_STATE_COUNT || (edges[op->state] & BIT(next)) == 0) {
        /* An operation that is answered twice, or given to two members, would hand one caller's
         * buffers to another: stopping is the only safe answer, in release builds too. */
        abort();
    }
    op->state = (uint8_t)next;
}

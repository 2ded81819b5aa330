#pragma once
/* The group: which member takes an operation, and what happens when an attempt ends. */

#include "pool/choice.h"

/** Gives an accepted op to `member`: load, state, the kind's submit. Port's thread. */
void pool_group_assign(struct pool_op *op, struct pool_member *member);

/** Ends an op: result and state; on_done comes with the turn. Port's thread. */
void pool_group_finish(struct pool_op *op, kw_status status);

/** The check of a member's answer ended. KW_OK: right, KW_E_CRYPTO: wrong; anything else: it could
 *  not be checked, and the operation ends with that. Port's thread. */
void pool_group_checked(struct pool_op *op, kw_status verdict);

/** The operation goes to another member than `from`, or ends when there is none. Its attempts have
 *  failed. Port's thread. */
void pool_group_retry(struct pool_op *op, struct pool_member *from);

/** An operation that waited in line gets no member: random bytes come from the core, others end
 * with `why`. Port's thread. */
void pool_group_unplaced(struct pool_op *op, kw_status why);

/** Takes an attempt that is under way from its member (a kind that can `abandon`). Port's thread.
 */
void pool_group_abandon(struct pool_op *op);

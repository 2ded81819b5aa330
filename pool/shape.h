#pragma once
/* What an operation needs, checked before any member sees it. */

#include "pool/pool_impl.h"

/** Checks op against its key and fills op->shape (KC_SHAPE_COUNT for GENERATE and RANDOM). The
 * rules are those of kc_lanes_shape; for keys whose private half the core does not hold they are
 * applied here. `public_op` is set when the public half is enough. */
KW_MUST_CHECK kw_status pool_op_shape(struct pool_op *op, bool *public_op);

/** Expected time in nanoseconds of `op` on a member nothing is known of yet. */
uint32_t pool_op_cost_ns(const struct pool_op *op);

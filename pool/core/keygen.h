#pragma once
/* Key generation in the core. */

#include "pool/op.h"

/** Makes the key that `op->generate` asks for, wraps it under the domain (as a MEMBER blob when it
 * is for the group), and fills `op->generate.out`. Blocks for up to seconds. */
KW_MUST_CHECK kw_status core_keygen(const struct kc_domain *domain, struct pool_op *op);

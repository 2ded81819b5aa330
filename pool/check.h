#pragma once
/* Verification of what HSM members answer, before it may leave. */

#include "pool/port.h"

/** True when the answer of `member` to `op` can be checked with the public key: every RSA and ECDSA
 *  signature, and the public half of a new key. The core checks its own results. */
bool pool_check_wanted(const struct pool_op *op, const struct pool_member *member);

/** Starts the check; pool_group_checked follows, at once or later. Op is in state CHECKING. */
void pool_check_begin(struct pool_op *op);

/** Frees what the port keeps for checks. */
void pool_check_free_all(struct pool_port *port);

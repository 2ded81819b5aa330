#pragma once
/* The loop guard. A request that one gateway sends to another carries the instances it has come
 * through: "id,id" in the field x-keyward-via. A gateway refuses a request that has been with it
 * before, and one that has been with POOL_VIA_MAX others. */

#include <stdbool.h>

#include "crypto/base/status.h"
#include "pool/pool.h"

/** Makes the random id of an instance: 16 hexadecimal digits. */
KW_MUST_CHECK kw_status pool_via_make(char id[POOL_VIA_ID_LEN + 1]);

/** Writes `via` (NULL: none) with `id` behind it. KW_E_TOO_LARGE when that would be too many. */
KW_MUST_CHECK kw_status pool_via_append(char out[POOL_VIA_TEXT_MAX + 1], const char *via,
                                        const char *id);

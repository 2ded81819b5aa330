#pragma once
/* Names of algorithms and curves as JOSE and the Key Vault API spell them (RFC 7518, RFC 8812). One
 * table for those who read them and those who send them. */

#include "crypto/base/alg.h"

/** "RS256", "CKM_AES_KEY_WRAP", ...; NULL for KW_ALG_NONE and unknown values. Static; any thread.
 */
const char *kw_alg_jose(enum kw_alg alg);

/** "P-256", ...; NULL for KW_CURVE_NONE and unknown values. Static; any thread. */
const char *kw_curve_jose(enum kw_curve curve);

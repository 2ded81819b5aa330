#pragma once
/* Principals: what role assignments name. */

#include "crypto/base/status.h"
#include "gateway/base/guid.h"

/** A new one, random (RFC 9562 version 4). */
KW_MUST_CHECK kw_status gw_principal_new(uint8_t out[GW_GUID_LEN]);
/** That of a token which was made before tokens had one: from its name, always the same (RFC 9562
 *  version 8). */
KW_MUST_CHECK kw_status gw_principal_of_token(uint8_t out[GW_GUID_LEN], const char *id);

#pragma once
/* base64url without padding (RFC 4648 section 5), as the few fields of a remote member's messages
 * carry it. */

#include <stdbool.h>

#include "crypto/base/span.h"
#include "crypto/base/status.h"

/** Appends the text of `in`. KW_E_TOO_LARGE when `out` has no room; then `out` is as it was. */
KW_MUST_CHECK kw_status pool_remote_b64_put(struct kw_buf *out, struct kw_span in);

/** Decodes `text` whole into `out` (len set). Strict: no padding, no other characters, no bits left
 *  over. KW_E_INPUT for a text that is not one, KW_E_TOO_LARGE for one that does not fit. */
KW_MUST_CHECK kw_status pool_remote_b64_get(struct kw_buf *out, struct kw_span text);

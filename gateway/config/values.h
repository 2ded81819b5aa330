#pragma once
/* Small values as people write them. Inside gateway/config and gateway/cli. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/base/status.h"

#define GW_DURATION_ALLOWED "a number with ms, s, m or h, such as 250ms, 1s, 2m"
#define GW_SIZE_ALLOWED     "bytes, or a number with KiB or MiB"
#define GW_BIND_ALLOWED     "ADDRESS:PORT such as 127.0.0.1:8443 or [::1]:8443, or unix:/PATH"

/** "250ms", "1s", "2m", "1h" to nanoseconds; KW_E_INPUT otherwise, also beyond 30 days. */
KW_MUST_CHECK kw_status gw_parse_duration(const char *text, int64_t *ns);

/** "262144", "256KiB", "16MiB" to bytes; KW_E_INPUT otherwise, also for 0 and beyond 1 GiB. */
KW_MUST_CHECK kw_status gw_parse_size(const char *text, size_t *bytes);
/** The same with a bound of the caller's. */
KW_MUST_CHECK kw_status gw_parse_size_to(const char *text, size_t max, size_t *bytes);

/** Checks a listener's address: numeric IPv4 or bracketed IPv6 with a port, or a Unix path that
 * fits sockaddr_un. `*is_unix` and `*port` (TCP) are set on KW_OK; both may be NULL. */
KW_MUST_CHECK kw_status gw_parse_bind(const char *text, bool *is_unix, unsigned *port);

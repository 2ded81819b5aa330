#pragma once
/* Where a remote member is. */

#include <stdbool.h>

#include "crypto/base/status.h"

struct pool_remote_url {
    char host[256]; /* without brackets */
    char port[6];
    char authority[272]; /* as it stands in requests: the port only when it is not 443 */
    bool numeric;        /* the host is an IP address */
};

/** Reads "https://HOST[:PORT][/]" (RFC 3986; an IPv6 address in brackets). KW_E_INPUT for anything
 *  else: another scheme, user information, a path, a query, an empty or impossible host or port. */
KW_MUST_CHECK kw_status pool_remote_url_read(const char *text, struct pool_remote_url *out);

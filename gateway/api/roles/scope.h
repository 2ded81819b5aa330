#pragma once
/* Which scope a request is about, read off its route. */

#include "gateway/api/route.h"
#include "gateway/vault/roles/role.h"

/** What is below "/keys/{}" or "/deletedkeys/{}" is about the key that is the first parameter, what
 *  else is below "/keys" or "/deletedkeys" about all keys, everything else about the whole. */
struct role_scope gw_route_scope(const struct gw_route *route, const struct kw_span *params);

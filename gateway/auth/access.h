#pragma once
/* The one place that decides what an identity may do. */

#include "gateway/auth/auth.h"

/** May `identity` do the data action (of gw_route.action: "keys/sign/action") on the key `name`?
 *  `name` is empty where the action is about no single key. Today every identity that was found
 *  holds every action of its listener; role assignments are decided here. Loop thread. */
bool gw_access_allows(const struct gw_identity *identity, const char *action, struct kw_span name);

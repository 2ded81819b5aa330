#pragma once
/* The order to join what is found under a member's name: an uploaded security domain is to be taken
 * by every member of the group, also by those that are away at that moment. `join-NAME.json` in the
 * state directory, written before the domain takes its place (pool_join_order in pool/pool.h) and
 * removed when the member has joined. It names the domain, so that it means nothing under another
 * one. */

#include <stdbool.h>

#include "crypto/base/status.h"

/** Is there an order to join this member to the domain of check value `check`? */
bool pool_join_ordered(const char *dir, const char *member, const char *check);
/** The member has joined, or has left the group. KW_OK when there is no order. */
KW_MUST_CHECK kw_status pool_join_end(const char *dir, const char *member);

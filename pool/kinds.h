#pragma once
/* Which type stands behind each kind of member. */

#include "pool/member.h"

/** The type of a kind, or NULL when this build has none. */
const struct pool_member_type *pool_kind_type(enum pool_member_kind kind);

/** Puts `type` in the place of a kind's own; NULL puts the own one back. For tests of the group's
 *  logic with scripted members; call it before pool_create and from one thread. */
void pool_kind_override(enum pool_member_kind kind, const struct pool_member_type *type);

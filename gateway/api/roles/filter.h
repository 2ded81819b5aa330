#pragma once
/* The `$filter` of role lists: clauses joined by "and". */

#include "gateway/api/error.h"
#include "gateway/vault/roles/role.h"

#define GW_FILTER_MAX 1024 /* bytes, decoded */

struct gw_role_filter {
    bool at_scope;      /* atScope(): assignments at the scope or above it */
    bool has_principal; /* principalId eq 'GUID', assignedTo('GUID') */
    uint8_t principal[GW_GUID_LEN];
    bool has_name, has_type; /* roleName eq '...', type eq '...' */
    struct kw_span name, type;
};

/** Reads it; empty: no clause. What is quoted borrows from `text`, or is a copy in the arena.
 * `assignments`: whether clauses of assignments or those of definitions are known; atScope() and
 * atScopeAndBelow() are of both. */
bool gw_role_filter_read(struct gw_role_filter *out, struct kw_span text, bool assignments,
                         struct gw_arena *arena, struct gw_fault *fault);

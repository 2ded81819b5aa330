#pragma once
/* Reading the few members that a remote member's answers are asked for. The whole text must be one
 * valid JSON object (RFC 8259) of bounded depth; what was not asked for is checked and passed over.
 * Nothing is allocated or copied. */

#include <stdbool.h>

#include "crypto/base/span.h"
#include "crypto/base/status.h"

#define POOL_REMOTE_JSON_DEPTH 16

enum pool_remote_json_type {
    POOL_REMOTE_JSON_ABSENT,
    POOL_REMOTE_JSON_STRING,
    POOL_REMOTE_JSON_TRUE,
    POOL_REMOTE_JSON_FALSE
};

struct pool_remote_json_want {
    const char *parent; /* NULL: a member of the object itself; else of its member of this name */
    const char *name;
    enum pool_remote_json_type type; /* result; another type of value than these is KW_E_INPUT */
    struct kw_span text;             /* result for STRING: its bytes, printable ASCII, borrowed */
};

/** Fills `wants`. KW_E_INPUT: not valid, too deep, a wanted member twice, or one whose string has
 *  escapes or other than printable ASCII (nothing that is wanted ever needs them). */
KW_MUST_CHECK kw_status pool_remote_json_read(struct kw_span json,
                                              struct pool_remote_json_want *wants, size_t count);

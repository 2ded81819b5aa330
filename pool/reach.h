#pragma once
/* Does something take TCP connections at HOST:PORT? Name resolution and connection run in the
 * background, so that the supervisor's thread waits for neither. */

#include <stdbool.h>
#include <stdint.h>

#include "crypto/base/status.h"

enum pool_reach_state {
    POOL_REACH_RESOLVING,
    POOL_REACH_CONNECTING,
    POOL_REACH_OK,
    POOL_REACH_NO_NAME, /* `why` says what the resolver said */
    POOL_REACH_REFUSED  /* `why` says what the last address answered */
};

struct pool_reach;

/** Begins; the strings are copied. The caller owns `out`. */
KW_MUST_CHECK kw_status pool_reach_start(struct pool_reach **out, const char *host, unsigned port,
                                         int64_t now_ns, int64_t limit_ns);

/** Goes on as far as it can without waiting; ends as OK, NO_NAME or REFUSED by the limit. One
 *  thread at a time. */
enum pool_reach_state pool_reach_step(struct pool_reach *reach, int64_t now_ns);

/** The address tried last ("10.0.0.5"), or "". */
const char *pool_reach_address(const struct pool_reach *reach);
/** A short reason, "" while it goes on. */
const char *pool_reach_why(const struct pool_reach *reach);

/** Ends it in any state. NULL is allowed. */
void pool_reach_free(struct pool_reach *reach);

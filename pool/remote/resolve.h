#pragma once
/* Name resolution beside everything else: getaddrinfo blocks for as long as the system's resolver
 * likes, so each question runs on a short-lived thread of its own. */

#include <stdbool.h>
#include <sys/socket.h>

#include "crypto/base/status.h"

#define POOL_REMOTE_ADDRESSES 8

struct pool_remote_addresses {
    struct sockaddr_storage list[POOL_REMOTE_ADDRESSES];
    socklen_t lens[POOL_REMOTE_ADDRESSES];
    unsigned count;
};

struct pool_remote_resolve;

/** Asks for the addresses of `host` and `port` (both copied). */
KW_MUST_CHECK kw_status pool_remote_resolve_start(struct pool_remote_resolve **out,
                                                  const char *host, const char *port);
/** True when the answer is there: `out` is filled, or `why` says what went wrong (static text). */
bool pool_remote_resolve_done(struct pool_remote_resolve *resolve,
                              struct pool_remote_addresses *out, const char **why);
/** Drops the question, answered or not; never waits. NULL is allowed. */
void pool_remote_resolve_drop(struct pool_remote_resolve *resolve);

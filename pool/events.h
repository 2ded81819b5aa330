#pragma once
/* What the pool tells whoever watches. The pool never logs and never formats for humans beyond a
 * short reason; gateway/obs turns events into log lines and counters. */

#include <stddef.h>
#include <stdint.h>

enum pool_event_type {
    POOL_EVENT_MEMBER_STATE,  /* a transition of health, role or admin: from, to, reason */
    POOL_EVENT_HOST_STARTED,  /* number = process id */
    POOL_EVENT_HOST_ENDED,    /* number = wait status; reason says exit or signal */
    POOL_EVENT_LOGIN_REFUSED, /* number = CK_RV */
    POOL_EVENT_FAILOVER,      /* an operation went to another member; reason = why */
    POOL_EVENT_WRONG_ANSWER,  /* a member's result did not verify; it never left */
    POOL_EVENT_KEY_LACKING,   /* a member has not got a resident key; reason = which, and how it is
                                 known */
    POOL_EVENT_TOKEN_REFUSED, /* a remote member refused the bearer token */
    POOL_EVENT_CERTIFICATE, /* a remote member's certificate ends in number days; reason = where */
    POOL_EVENT_MEMBERSHIP,  /* a member came, took over, leaves or is gone: from, to, reason */
    POOL_EVENT_OUTLIER, /* to "last" for number seconds: worse than the others, reason = how; or to
                           "back" */
    POOL_EVENT_NO_LANDLOCK, /* once: `strict` is asked for, and the kernel cannot narrow the view of
                               the file system */
    POOL_EVENT_CORE_ALARM   /* the core caught a wrong result of its own */
};

struct pool_event {
    enum pool_event_type type;
    const char *member;    /* name; valid during the call */
    const char *from, *to; /* states, for MEMBER_STATE; else NULL */
    const char *reason;    /* short, never secret */
    int64_t number;
};

/** Called from any of the pool's threads and from loop threads: must be thread-safe and quick. */
struct pool_observer {
    void (*event)(void *ctx, const struct pool_event *event);
    void *ctx;
};

#pragma once
/* A loop thread's own part of the pool. Nothing here is touched by another thread but what is
 * atomic (posted, calls) and the counters, which others read. */

#include "crypto/base/clock.h"
#include "pool/fair.h"
#include "pool/op_state.h"
#include "pool/pool_impl.h"

struct pool_check;
struct pool_hedge;

/** What a port knows of the speed of one shape, and the operations of it that may be hedged. */
#define POOL_HEDGE_BUCKETS 128
struct pool_hedge_shape {
    struct pool_op *first, *last; /* by due moment */
    int64_t delay_ns;             /* the 95th percentile; 0: not known yet */
    uint32_t total, counts[POOL_HEDGE_BUCKETS];
};

struct pool_port_watch {
    int fd;
    struct pool_member *member;
    void *link;
};

struct pool_port_call {
    struct pool_port_call *next;
    void (*fn)(struct pool_port *, void *);
    void *arg;
};

#define POOL_PORT_CLIENTS 256u

struct pool_port {
    struct pool *pool;
    struct pool_port *next; /* pool's list */

    int epoll_fd, event_fd, timer_fd;
    int64_t now_ns;      /* read once per step of a turn */
    int64_t armed_ns;    /* what the timer is set to; INT64_MAX: off */
    int64_t expire_ns;   /* next moment a link wants its expire */
    int64_t deadline_ns; /* earliest deadline submitted since the last expire */

    struct pool_op *done_first, *done_last; /* wait for on_done */
    size_t in_flight;                       /* accepted, on_done not called yet */
    uint64_t dirty;                         /* bit per member: its link gathered something */
    bool closing;                           /* no second attempts any more */
    bool running;                           /* inside pool_port_run */

    _Atomic(struct pool_op *) posted;       /* workers -> port, newest first */
    _Atomic(struct pool_port_call *) calls; /* other threads -> port, newest first */
    _Atomic unsigned posting; /* threads that are about to wake the port: until then it stays */

    void *links[POOL_MAX_MEMBERS + 1];
    bool attached[POOL_MAX_MEMBERS + 1];
    struct pool_port_watch *watches;
    size_t watch_count, watch_cap;

    struct pool_fair_clock line_clock; /* of those that wait for a member (pool/line.h) */
    struct pool_fair_queue line;
    int64_t line_ns;                       /* the first of them gives up */
    uint32_t placed[POOL_MAX_MEMBERS + 1]; /* attempts of this port under way, per member */
    uint32_t held[POOL_PORT_CLIENTS];      /* operations in flight, by client; some share a place */

    struct pool_counters *counters; /* per member */
    struct pool_check *checks_free;

    struct pool_hedge *hedges_free;
    double hedge_tokens; /* operations that may be sent twice now */
    int64_t hedge_ns;    /* next moment one is due; INT64_MAX: none */
    struct pool_hedge_shape hedge_shapes[KC_SHAPE_COUNT + 1]; /* the last: no shape, never used */
    uint64_t random;                                          /* state of the choice's generator */
};

/** Port's thread, through pool_port_call: a member is there; it leaves. */
void pool_port_take_member(struct pool_port *port, void *member);
void pool_port_drop_member(struct pool_port *port, void *member);

/** While anything is in flight, links' expire runs at least this often. */
#define POOL_PORT_TICK_NS KW_MS(100)

/** Appends to the list whose on_done calls come at the end of the turn. */
void pool_port_finish(struct pool_port *port, struct pool_op *op);

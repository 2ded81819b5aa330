#pragma once
/* Inside pool/: what each kind of member provides, and what the group gives it.
 *
 * The way of an operation: pool_submit -> group chooses a member -> type->submit (gathers) ->
 * type->flush (end of the loop turn: sends) -> ... -> pool_op_return (verdict) -> group: done, or
 * another member -> on_done. submit, flush, readable and pool_op_return run on the port's thread.
 */

#include <stdatomic.h>

#include "pool/pool.h"

struct pool_member;

/** Health of a member (DESIGN: one of three axes). Changed by pool_member_transition alone. */
enum pool_health {
    POOL_HEALTH_STARTING,
    POOL_HEALTH_PROBING,
    POOL_HEALTH_SYNCING,
    POOL_HEALTH_WARMING,
    POOL_HEALTH_UP,
    POOL_HEALTH_SUSPECT,
    POOL_HEALTH_DOWN,
    POOL_HEALTH_AUTH_FAILED, /* left by an operator or a changed PIN only */
    POOL_HEALTH_MISMATCHED,  /* left by an operator only */
    POOL_HEALTH_COUNT
};
enum pool_admin { POOL_ADMIN_READY, POOL_ADMIN_DRAIN, POOL_ADMIN_MAINTENANCE };

/** What happened to a member; with its health this picks the row of the transition table.
 *
 * The way up is STARTING -LOGGED_IN-> SYNCING -IN_STEP-> PROBING -PROBE_OK-> WARMING -WARMED-> UP;
 * a kind reports the first three in this order, and HOST_STARTED first when the member was DOWN.
 * The supervisor reports WARMED. The group reports ERROR after three attempts in a row came back
 * with POOL_VERDICT_OTHER, LATE when one in five comes back uncharged, and WRONG_ANSWER; kinds
 * report LATE, LOST, LOGIN_REFUSED and WRONG_DOMAIN, and report LOST before they give back the
 * operations that were lost with it. */
enum pool_health_event {
    POOL_EV_HOST_STARTED, /* the process runs, nothing known yet */
    POOL_EV_LOGGED_IN,
    POOL_EV_IN_STEP,  /* domain installed, keys usable */
    POOL_EV_PROBE_OK, /* a known-answer operation succeeded */
    POOL_EV_WARMED,   /* slow start is over */
    POOL_EV_LATE,     /* soft deadline passed */
    POOL_EV_ERROR,    /* member-class errors that reached the limit, or a probe that failed */
    POOL_EV_LOST,     /* process died, channel closed, hard deadline, fatal code */
    POOL_EV_WRONG_ANSWER,
    POOL_EV_LOGIN_REFUSED,
    POOL_EV_WRONG_DOMAIN,
    POOL_EV_OPERATOR_RECOVER, /* also: the PIN file changed after LOGIN_REFUSED */
    POOL_EV_COUNT
};

/** What a member says of one attempt (classes of reference PKCS#11 return codes). */
enum pool_verdict {
    POOL_VERDICT_DONE,       /* op->lane.status is final (success or the caller's fault) */
    POOL_VERDICT_OTHER,      /* try another member; the attempt counts against this one */
    POOL_VERDICT_OTHER_FREE, /* try another member; not this one's fault (ambiguous, local, busy) */
    POOL_VERDICT_ELSEWHERE,  /* not here now (no such key, asked to wait, never sent): another
                                member, at no cost to the retry budget or to this one */
    POOL_VERDICT_UNSUPPORTED, /* this member cannot; use one that can, remember it */
    POOL_VERDICT_WRONG /* its answer was seen to be wrong: the member goes down, try another */
};

/** How the reason of a member begins whose device takes no connections; its state says so too. */
#define POOL_UNREACHABLE "unreachable"

struct pool_member_type {
    const char *kind;
    /** Attempts that a member of this kind may have under way for each of its sessions: never fewer
     * than `depth_min`, and up to `depth_max` while its latency allows (pool/limit.h). 0: no such
     * limit. */
    unsigned depth_min, depth_max;
    /** Supervisor or creating thread: make and free the member's own state (`member->impl`). */
    kw_status (*create)(struct pool_member *member, const struct pool_member_config *config);
    void (*destroy)(struct pool_member *member);
    /** Port's thread: per-port state of this member, e.g. a channel to its host. May be NULL. */
    kw_status (*attach)(struct pool_member *member, struct pool_port *port, void **link);
    /** Gives back every op that the link still holds (POOL_VERDICT_OTHER_FREE) before it is freed:
     *  the port waits for them without limit. */
    void (*detach)(struct pool_member *member, struct pool_port *port, void *link);
    /** Port's thread. Takes the op; it comes back through pool_op_return exactly once. */
    void (*submit)(struct pool_member *member, void *link, struct pool_op *op);
    /** Port's thread: lets go of an op that submit took and that has not come back. It will not
     *  come back, and nothing writes to its buffers any more. True: the work itself goes on where
     *  it runs, and the kind calls pool_member_unload for it when that ends. NULL: the kind cannot
     *  let go, and its operations are never hedged. */
    bool (*abandon)(struct pool_member *member, void *link, struct pool_op *op);
    /** Port's thread, end of turn: send what submit gathered. May be NULL. */
    void (*flush)(struct pool_member *member, void *link);
    /** Port's thread: a descriptor that the link registered with pool_port_watch is ready. */
    void (*ready)(struct pool_member *member, void *link, uint32_t epoll_events);
    /** Port's thread, a few times a second and at deadlines: give up what is late. Returns the next
     *  moment (monotonic ns) it wants to be called, or INT64_MAX. May be NULL. */
    int64_t (*expire)(struct pool_member *member, void *link, int64_t now_ns);
    /** Any thread: can this member do the operation at all (mechanism known missing)? */
    bool (*can)(const struct pool_member *member, const struct pool_op *op);
    /** Any thread: may it be given the operation at this moment? False passes it over as if it were
     *  not there. May be NULL. */
    bool (*now)(const struct pool_member *member, const struct pool_op *op);
    /** Supervisor thread: start, watch and restart what stands behind the member. Returns the next
     *  moment it wants to be called. `wake` of the supervisor calls it at once. */
    int64_t (*supervise)(struct pool_member *member, int64_t now_ns);
    /** Supervisor thread, for a member that leaves and that no port is attached to any more, until
     * it returns true: ends what runs behind it, without waiting. `for_good`: forgets on disk who
     * it was, too. Comes before `destroy`. May be NULL. */
    bool (*retire)(struct pool_member *member, int64_t now_ns, bool for_good);
    /** Any thread: nobody in the gateway knows this key any more; whoever has it loaded may drop
     * it. May be NULL. */
    void (*forget)(struct pool_member *member, const uint8_t id[KW_KEY_ID_LEN]);
    /** Any thread: the kind's part of an operator's word, before the pool's own. KW_E_CONFLICT: it
     *  has no meaning in the state that the member is in. May be NULL. */
    kw_status (*command)(struct pool_member *member, enum pool_command command);
    /** Any thread: begins to read what keys are there. The kind calls pool_inventory_* for what it
     *  finds, on one thread, and pool_inventory_end once, from the supervisor. False: there is
     *  nothing to read. NULL: never. */
    bool (*inventory)(struct pool_member *member, struct pool_inventory *inventory);
    /** Any thread: fill the kind's own part of the statistics. May be NULL. */
    void (*stats)(struct pool_member *member, struct pool_member_stats *out);
};

/** How many attempts a member may have under way; changed in pool/limit.c alone. */
struct pool_limit {
    uint32_t least, most; /* 0: not limited */
    _Atomic uint32_t now;
    _Atomic uint32_t
        unloaded_ns[KC_SHAPE_COUNT];   /* time of an answer while little is under way; 0: unknown */
    _Atomic uint32_t samples, pressed; /* of this window: answers, those given at the limit */
    _Atomic uint64_t stretch_sum;      /* time of an answer over the unloaded one, in 1/256 */
};

/** How a member does beside the others (pool/outlier.h). */
struct pool_outlier {
    _Atomic uint32_t answered, failed; /* of this window */
    _Atomic int64_t until_ns;          /* it is asked last until then; 0: never was */
    _Atomic uint64_t ejections;
    /* of whoever looks at the window */
    unsigned in_row, windows_late;
    bool told;
};

struct pool_member {
    const struct pool_member_type *type;
    struct pool *pool;
    struct pool_member_config config; /* owned; its strings are the supervisor's to read, and to
                                         change */
    unsigned index;                   /* of its slot: bit in pool_op.tried */
    void *impl;

    /* one word that all threads read: role | admin << 8 | health << 16 | slot state << 24 */
    _Atomic uint32_t word;
    _Atomic unsigned priority;
    _Atomic unsigned attached; /* ports that have a link to it, or are about to have one */
    _Atomic int64_t load_ns;   /* expected work outstanding */
    _Atomic int64_t in_flight;
    struct pool_limit limit;
    struct pool_outlier outlier;
    _Atomic uint32_t service_ns[KC_SHAPE_COUNT]; /* moving average of service time, 0: unknown */
    _Atomic uint32_t errors_in_row;
    _Atomic uint32_t refusals;   /* uncharged failures, weighed against successes (pool/group.c) */
    _Atomic int64_t up_since_ns; /* slow start counts from here */
    /* which reading of the keys on it counts; another number, new in this process, after each start
     * and each sync; 0: none yet */
    _Atomic uint32_t holdings;

    /* pool/slot.c and pool/change.c */
    struct pool_member_config wanted;             /* as last asked for; under the change lock */
    _Atomic(struct pool_member_config *) changed; /* for the supervisor to take over in place */
    atomic_bool leaves_when_safe;
    bool for_good;                            /* it leaves, and is not followed by an heir */
    int64_t leave_by_ns, told_ns, emptied_ns; /* the supervisor's */

    /* under the pool's state lock, in pool/member_state.c alone */
    unsigned retry;        /* recovery attempts since it was last up */
    bool trying;           /* an attempt is under way */
    int64_t next_retry_ns; /* as planned when it fell; INT64_MAX: then there was to be none */
    int64_t failed_ns;     /* when it fell, or the last attempt failed */
    char reason[192];
};

/* --- what the group gives the kinds --- */

/** The only way health changes: looks (health, event) up in the table of pool/member_state.c,
 * stores the new word, tells the observer. An unlisted pair changes nothing and is counted. Any
 * thread. */
void pool_member_transition(struct pool_member *member, enum pool_health_event event,
                            const char *reason);
/** May it take work now? The truth table is in pool/member_state.c. Any thread. */
bool pool_member_accepts(const struct pool_member *member);
enum pool_health pool_member_health(const struct pool_member *member);
const char *pool_health_name(enum pool_health health);
const char *pool_health_event_name(enum pool_health_event event);

/** Supervisor thread: may a recovery attempt of a member that is DOWN begin now? The settings
 *  `recovery_retries` and `recovery_interval_ns` decide (doubling to 60 s, +-15 % jitter; the count
 *  goes back to 0 when the member is UP; while no member at all serves, and the retries have no
 *  limit, no wait is longer than the interval or 2 s). True: the attempt is counted; report
 * HOST_STARTED when the host runs, or LOST or ERROR when it could not be started. False: `next_ns`
 * is the moment to ask again, INT64_MAX when only an operator can help. `next_ns` may be NULL. */
bool pool_member_retry_due(struct pool_member *member, int64_t now_ns, int64_t *next_ns);

/** An attempt ended. Port's thread only. The group updates load, statistics and health counters,
 *  checks cheap-to-check results, and finishes the op or sends it elsewhere. */
void pool_op_return(struct pool_member *member, struct pool_op *op, enum pool_verdict verdict,
                    const char *reason);

/** The work of an abandoned op has ended: takes `expected_ns` (what the op had there) off the
 *  member's account. Any thread. */
void pool_member_unload(struct pool_member *member, uint32_t expected_ns);

/** Any thread: hands an op that a worker finished back to its port and wakes the port once.
 *  The port then calls pool_op_return(DONE) for it. */
void pool_port_post(struct pool_op *op, struct pool_member *member);

/** The same for ops of one port, chained by `next` from `first` to `last`, with at most one
 *  wake-up. Any thread. */
void pool_port_post_chain(struct pool_port *port, struct pool_op *first, struct pool_op *last);

/** Port's thread: (un)register a descriptor in the port's epoll for a member's link. */
kw_status pool_port_watch(struct pool_port *port, int fd, uint32_t epoll_events,
                          struct pool_member *member, void *link);
void pool_port_unwatch(struct pool_port *port, int fd);

/** Port's thread: links' expire runs at this moment (monotonic ns) at the latest, also while
 * nothing is in flight. */
void pool_port_expire_by(struct pool_port *port, int64_t moment_ns);

/** Runs `fn(arg)` on the port's thread soon (used by the supervisor to hand over channels). */
kw_status pool_port_call(struct pool_port *port, void (*fn)(struct pool_port *, void *), void *arg);

/** Iterates the ports that exist now, under the pool's lock. */
void pool_each_port(struct pool *pool, void (*fn)(struct pool_port *, void *), void *arg);

/** Link of a member on a port (what attach stored). Port's thread. */
void *pool_port_link(struct pool_port *port, const struct pool_member *member);

/** Wakes the supervisor thread so that `supervise` of every member runs now. Any thread. */
void pool_supervisor_wake(struct pool *pool);

/** Tells the observer. Any thread. */
void pool_emit(struct pool *pool, const struct pool_event *event);

/* accessors that keep struct pool private to pool.c */
const struct kc_domain *pool_domain(const struct pool *pool);
/** As they are now: may be others at the next call. Any thread. */
const struct pool_config *pool_config(const struct pool *pool);
/** Takes a member out of the group until an operator activates it: no work, and nothing is started
 *  behind it. `why` is what operators read. Any thread. */
void pool_member_park(struct pool_member *member, const char *why);
bool pool_member_parked(const struct pool_member *member);
/** Changes what operators read of a member, and nothing else. Any thread. */
void pool_member_note(struct pool_member *member, const char *why);
/** Name of a member that takes work, other than this one; NULL when there is none. Any thread. */
const char *pool_other_member(const struct pool_member *member);
/** The next member of the same kind after `after` (NULL: from the first), heirs as well; NULL at
 * the end. Supervisor thread. */
struct pool_member *pool_next_of_kind(const struct pool_member *member,
                                      const struct pool_member *after);
/** It leaves, and no port has anything with it any more. Any thread. */
bool pool_slot_detached(const struct pool_member *member);

/* key, as members see it (pool/key.c) */
/** What remote members call it; NULL when they do not know it. */
const char *pool_key_name(const struct pool_key *key);
const uint8_t *pool_key_id(const struct pool_key *key);
bool pool_key_is_hsm(const struct pool_key *key);
struct kw_span pool_key_blob(const struct pool_key *key);
bool pool_key_is_resident(const struct pool_key *key);
/** The member has not got this resident key, or another one under its id: it is not asked again for
 *  it before its keys are read anew. Tells the observer. Any thread. */
void pool_key_lacked(struct pool_key *key, struct pool_member *member, const char *why);
/** Any thread; false for keys that are not resident. */
bool pool_key_lacks(const struct pool_key *key, const struct pool_member *member);
/** What was known of resident keys that the member lacks is forgotten. Any thread. */
void pool_member_read_anew(struct pool_member *member);
/* what a kind puts into an inventory (pool/inventory.c) */
/** False: memory is short, or there are too many. */
bool pool_inventory_put_key(struct pool_inventory *inventory, const struct pool_found_key *key);
bool pool_inventory_put_loaded(struct pool_inventory *inventory, const struct pool_member *member,
                               struct kw_span ids);
/** `why` NULL: all there is was read. */
void pool_inventory_end(struct pool_inventory *inventory, const struct pool_member *member,
                        const char *why);
bool pool_inventory_wants_tokens(const struct pool_inventory *inventory);
/** The key goes to a member now: when it goes here, members are told to forget it. Any thread. */
void pool_key_mark_sent(struct pool_key *key);
/** The core's view of a key: the opened software key, or the public half of an HSM key; borrowed.
 */
const struct kc_key *pool_key_core(const struct pool_key *key);

extern const struct pool_member_type pool_member_core;
extern const struct pool_member_type pool_member_pkcs11;
extern const struct pool_member_type pool_member_remote;

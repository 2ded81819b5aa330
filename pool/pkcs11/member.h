#pragma once
/* Inside pool/pkcs11/, gateway side: a member's hosts and what its files share.
 *
 *   member.c   the kind: create, destroy, what it can do, statistics
 *   hosts.c    supervisor: starting, watching and restarting hosts
 *   hosts_patience.c   supervisor: how long a start may take
 *   hosts_login.c   supervisor: the guarded login, who the token is
 *   hosts_zeroize.c   supervisor: what is ours on a token is destroyed
 *   hosts_inventory.c   supervisor: what is on a token and what hosts have loaded is read
 *   probe.c    supervisor: the real operation that shows a host works
 *   link.c, link_life.c   a port's channels: operations out, answers in, deadlines */

#include <pthread.h>
#include <sys/types.h>

#include "pool/member.h"
#include "pool/pkcs11/identity.h"
#include "pool/pkcs11/wire.h"

#define POOL_P11_HOSTS_MAX 16u

enum pool_p11_phase {
    POOL_P11_IDLE,
    POOL_P11_WAIT_LOCK,  /* spawned; waits for the token store's lock */
    POOL_P11_WAIT_HELLO, /* loads the module */
    POOL_P11_WAIT_TURN,  /* another member tries the same PIN for the first time */
    POOL_P11_WAIT_LOGIN,
    POOL_P11_WAIT_READY,
    POOL_P11_WAIT_PROBE, /* ready; the first probe is out */
    POOL_P11_SERVING,
    POOL_P11_DYING /* killed, not yet reaped */
};

struct pool_p11_host {
    unsigned number;
    /* under the member's lock; ports read them to open channels */
    uint32_t generation; /* of the process; 0: none */
    bool serving;
    int control;
    bool kill_wanted;
    char why[128];

    /* the supervisor's */
    enum pool_p11_phase phase;
    pid_t pid;
    unsigned sessions;
    unsigned
        failures; /* starts that failed in a row, for the back-off of hosts beside a serving one */
    int64_t start_ns, phase_deadline_ns, next_start_ns, next_turn_ns;
    int probe_fd;
    int64_t probe_sent_ns, next_probe_ns;
    bool probe_out, probe_late;
    unsigned probe_failures;
    bool zeroize_sent;
    bool forget_all; /* it missed some words: it shall drop every key */
    uint64_t probe_id;
    uint8_t probe_plain[KW_AES_BLOCK_LEN], probe_expected[KW_AES_BLOCK_LEN];
    uint8_t *probe_in;
    size_t probe_in_len;
};

struct pool_p11 {
    struct pool_member *member;
    unsigned host_count;
    struct pool_p11_host hosts[POOL_P11_HOSTS_MAX];
    pthread_mutex_t lock;
    unsigned serving; /* hosts that serve; under the lock */

    /* keys that hosts may drop, under the lock; more than fit: all of them */
    uint8_t forget[POOL_WIRE_FORGET_MAX][KW_KEY_ID_LEN];
    unsigned forget_count;
    bool forget_all;

    _Atomic bool zeroize; /* an operator wants the group's objects on this token destroyed */
    _Atomic bool join; /* the next token under this name is to be joined, whatever it was before */
    _Atomic uint64_t unable[KW_KIND_COUNT]; /* bit per algorithm that the token refused */

    _Atomic(struct pool_inventory *) inventory; /* what is to be read; NULL: nothing */

    /* the supervisor's */
    struct { /* the reading that is under way (hosts_inventory.c) */
        bool out;
        unsigned host; /* that is asked */
        uint32_t sequence;
        unsigned listed;
        size_t loaded; /* bytes of ids from this host */
        int64_t deadline_ns;
        const char *fault;
    } list;
    uint8_t *room; /* POOL_CONTROL_MAX bytes for control packets, secret memory */
    bool auth_failed, operator_allows;
    char domain[2 * POOL_DOMAIN_CHECK_LEN + 1]; /* check value of this group's */
    struct pool_reach *reach; /* the connect probe before a start, while it runs */
    int64_t pin_checked_ns;
    int64_t pin_ctime_ns;
    uint64_t pin_inode;
    struct kw_secret probe_blob, probe_key;

    /* for statistics, under the lock */
    struct pool_wire_hello token;
    int32_t attempts_left;
    pid_t pid;
};

/* --- hosts.c --- */

int64_t pool_p11_supervise(struct pool_member *member, int64_t now_ns);
/** Any thread: the host of this generation serves no more and must be killed. When it was the last
 *  one, the member is LOST. Once per generation; later calls do nothing. */
void pool_p11_host_lost(struct pool_p11 *p11, unsigned number, uint32_t generation,
                        const char *why);
/** Any thread: hosts drop this key soon. */
void pool_p11_forget(struct pool_member *member, const uint8_t id[KW_KEY_ID_LEN]);
/** Kills and reaps every host; for destroy, when no port is left. */
void pool_p11_stop(struct pool_p11 *p11);
/** Supervisor: tells every serving host what pool_p11_forget gathered (hosts_forget.c). */
void pool_p11_pass_on_forget(struct pool_p11 *p11);

/** Opens the lock file that hosts of one token store share, close-on-exec; -1 when it cannot. */
int pool_p11_open_lock(const char *state_dir, const char *module);

/** Tells the observer about this member. */
void pool_p11_emit(struct pool_p11 *p11, enum pool_event_type type, const char *reason,
                   int64_t number);
/** Kills a host; it is reaped in later calls. */
void pool_p11_kill_host(struct pool_p11 *p11, struct pool_p11_host *host, const char *why);
/** A start that did not reach service. With no other host serving the member is LOST. */
void pool_p11_start_failed(struct pool_p11 *p11, struct pool_p11_host *host, const char *why);

/* --- hosts_patience.c --- */

/** Has a host that starts had its time? */
bool pool_p11_start_is_late(const struct pool_p11 *p11, const struct pool_p11_host *host,
                            int64_t now_ns);

/* --- hosts_login.c --- */

/** The host has found its token: PIN and wrapping key go to it when the record allows it. */
void pool_p11_on_hello(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body);
/** While the host waits for its turn to log in: asks again. */
void pool_p11_try_login(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns);
/** The login's outcome: settled in the record. */
void pool_p11_on_logged_in(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body);
/** The token is not the one that was joined under this name, or of another domain: only an operator
 *  helps. */
void pool_p11_mismatch(struct pool_p11 *p11, struct pool_p11_host *host, const char *why);
/** The token serves: it is written down who the member is. */
kw_status pool_p11_keep_identity(struct pool_p11 *p11);
/** A host found another domain's mark on the token. */
void pool_p11_on_other_domain(struct pool_p11 *p11, struct pool_p11_host *host, const char *other);
/** Is the PIN file another one than at the last login? */
bool pool_p11_pin_file_changed(const struct pool_p11 *p11);

/* --- hosts_zeroize.c --- */

/** Asks a host when an operator wants it and nothing is in flight. */
void pool_p11_run_zeroize(struct pool_p11 *p11);
/** A host has done it. */
void pool_p11_on_zeroized(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body);

/* --- hosts_inventory.c --- */

/** Any thread: the hosts are asked soon. */
bool pool_p11_inventory(struct pool_member *member, struct pool_inventory *inventory);
/** Supervisor: goes on with it; when it wants to be called next. */
int64_t pool_p11_run_inventory(struct pool_p11 *p11, int64_t now_ns);
/** The member goes: what is asked of it ends unanswered. */
void pool_p11_end_inventory(struct pool_p11 *p11);
/** Takes a record of the answer. False: the host broke the protocol. */
bool pool_p11_on_listed(struct pool_p11 *p11, struct pool_p11_host *host, struct kw_span body);

/* --- probe.c --- */

kw_status pool_p11_probe_create(struct pool_p11 *p11);
void pool_p11_probe_destroy(struct pool_p11 *p11);
/** Opens the supervisor's own data channel to a host. */
kw_status pool_p11_probe_open(struct pool_p11_host *host);
void pool_p11_probe_close(struct pool_p11_host *host);
/** Sends one probe: a fresh random block under the known probe key. */
kw_status pool_p11_probe_send(struct pool_p11 *p11, struct pool_p11_host *host, int64_t now_ns);
/** KW_OK: the right answer came. KW_E_NOT_FOUND: none yet. KW_E_INTEGRITY: a wrong one.
 *  KW_E_UNAVAILABLE: the host reports a failure of its token. KW_E_IO: the channel is broken. */
kw_status pool_p11_probe_receive(struct pool_p11_host *host);

/* --- link.c --- */

kw_status pool_p11_attach(struct pool_member *member, struct pool_port *port, void **link);
void pool_p11_detach(struct pool_member *member, struct pool_port *port, void *link);
void pool_p11_submit(struct pool_member *member, void *link, struct pool_op *op);
bool pool_p11_abandon(struct pool_member *member, void *link, struct pool_op *op);
void pool_p11_flush(struct pool_member *member, void *link);
void pool_p11_ready(struct pool_member *member, void *link, uint32_t epoll_events);
int64_t pool_p11_expire(struct pool_member *member, void *link, int64_t now_ns);
/** Port's thread, through pool_port_call: opens channels to hosts that this port has none to. */
void pool_p11_open_channels(struct pool_port *port, void *member);

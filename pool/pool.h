#pragma once
/* The one public header of the pool: a group of members that hold the same keys, and the way in.
 *
 * Threads. A *port* belongs to one event-loop thread: submit, run and every on_done happen there.
 * Crypto workers and the supervisor are threads of the pool's own. pool_key objects may be shared.
 * Nothing here blocks an event loop; start and stop may. */

#include "pool/events.h"
#include "pool/inventory.h"
#include "pool/op.h"
#include "pool/prove.h"

#define POOL_MAX_MEMBERS 32
#define POOL_NAME_MAX    63
#define POOL_LOADED_KEYS 256 /* default of a member's loaded_keys */

enum pool_member_kind { POOL_MEMBER_CORE, POOL_MEMBER_PKCS11, POOL_MEMBER_REMOTE };
enum pool_role { POOL_ROLE_ACTIVE, POOL_ROLE_STANDBY };

/** How tightly a member's host is confined; what each refuses is in pool/pkcs11/sandbox.h. */
enum pool_sandbox { POOL_SANDBOX_DEFAULT, POOL_SANDBOX_STRICT, POOL_SANDBOX_OFF };

#define POOL_PATHS_MAX 4096u

/** How one member is reached. Strings are copied by pool_create. */
struct pool_member_config {
    char name[POOL_NAME_MAX + 1];
    enum pool_member_kind kind;
    enum pool_role role;
    unsigned priority; /* 1 (as 0) first; a higher number serves while no lower one can */
    uint64_t scopes;   /* bit per scope that it belongs to (pool_key_desc.scope) */
    /* core as a member of the group: only where the config says in plain words that it may open
     * HSM keys (`opens_hsm_keys: true`) */
    bool opens_hsm_keys;
    /* pkcs11 */
    const char *module;      /* path of the shared object */
    const char *token_label; /* NULL: any; selection is by label and serial, never by slot number */
    const char *token_serial; /* NULL: any */
    const char *pin_file;     /* read when a host starts; mode must not allow others */
    unsigned sessions;        /* parallel sessions per host; default 8 */
    unsigned hosts;           /* host processes; default 1 */
    bool coalesce_off;        /* never run many key wraps as one, however quick that is */
    unsigned loaded_keys;     /* keys a host keeps loaded; the least recently used goes; 0: 256 */
    /* remote: another keyward or any Key-Vault-compatible endpoint */
    const char *url;        /* as pool_remote_url_check allows */
    const char *token_file; /* bearer token; read for each connection; mode as of pin_file */
    const char *ca;         /* more trusted certificates (PEM) beside the system's; NULL: none */
    enum pool_sandbox sandbox;
    uint64_t memory_max;    /* bytes of a host's address space; 0: no limit */
    unsigned files_max;     /* descriptors of a host; 0: no limit of its own */
    const char *paths;      /* what a host in POOL_SANDBOX_STRICT may read and write besides: whole
                               paths, each ended by a zero byte; NULL: nothing */
    size_t paths_len;       /* of all, with those bytes; at most POOL_PATHS_MAX */
    const char *probe_host; /* what must take TCP connections for the device to be reachable: name
                               or address; NULL: nothing to try */
    unsigned probe_port;
};

struct pool_config {
    const struct pool_member_config *members; /* none: the core alone serves, HSM keys included */
    size_t member_count;
    unsigned workers;         /* crypto worker threads of the core; 0: one per processor */
    unsigned queue_max;       /* operations waiting, for each member that serves; 0: 4096 */
    int64_t soft_deadline_ns; /* a member's answer is given up and failed over after; 0: 2 s */
    int64_t hard_deadline_ns; /* a silent host is killed after; 0: 20 s */
    bool hedge; /* send an operation to a second member after the group's 95th percentile */
    int recovery_retries;         /* 0 off, -1 for ever, N */
    int64_t recovery_interval_ns; /* first wait; doubles to 60 s, with jitter; 0: 1 s */
    unsigned min_copies; /* members on which a new HSM key must have worked; 0: 2, or 1 in a group
                            of one */
    const char *host_program; /* path of the keyward binary for `keyward member-host`; NULL:
                                 /proc/self/exe */
    const char *state_dir;    /* for locks shared by hosts of one token store and login records */
    struct pool_observer observer;
};

struct pool;

/** Starts workers and the supervisor; members come up in the background. `domain` is borrowed for
 *  the life of the pool. kc_lanes_init must have been called. */
KW_MUST_CHECK kw_status pool_create(struct pool **out, const struct pool_config *config,
                                    const struct kc_domain *domain);

/** Stops threads and host processes. Every port must be destroyed and every key released before.
 * NULL is allowed. */
void pool_destroy(struct pool *pool);

/* --- keys --- */

/** What the pool must know of a key. The pool copies it. */
#define POOL_SCOPE_MAX 63

struct pool_key_desc {
    uint8_t id[KW_KEY_ID_LEN]; /* the key version's id; becomes CKA_ID in members */
    bool hsm;                  /* RSA-HSM, EC-HSM, oct-HSM: the group's members; else the core */
    struct kc_public pub;
    struct kw_span blob;
    struct kw_span resident; /* CKA_ID of a key that lives on the members' tokens, 1 to
                                POOL_RESIDENT_ID_MAX bytes: `hsm` and no blob then; else empty */
    struct kw_span check;    /* of a resident secret key: pool_agreement.check; else empty */
    unsigned scope; /* 1 to POOL_SCOPE_MAX: only members of that scope serve it; 0: every member */
    const char *name; /* what remote members call it, its version being the id in hexadecimal;
                         NULL: no remote member serves it */
};

/** Makes a key usable. Software keys are opened here (KW_E_INTEGRITY when the blob is not this
 *  domain's); blobs of HSM keys are only carried. Any thread. The caller owns one reference. */
KW_MUST_CHECK kw_status pool_key_create(struct pool_key **out, struct pool *pool,
                                        const struct pool_key_desc *desc);
struct pool_key *pool_key_ref(struct pool_key *key);
/** With the last reference to a key that members were given they are told to forget it: what a
 *  deleted, disabled or refused key leaves in a token's memory goes at once. */
void pool_key_unref(struct pool_key *key);
const struct kc_public *pool_key_public(const struct pool_key *key);

/** Wraps an imported key for the store: a SOFTWARE blob, or for `hsm` a MEMBER blob. Any thread. */
KW_MUST_CHECK kw_status pool_key_wrap(struct pool *pool, const uint8_t id[KW_KEY_ID_LEN],
                                      const struct kc_key *key, bool hsm, struct kw_buf *blob);

/* --- ports --- */

/** One per event-loop thread. */
KW_MUST_CHECK kw_status pool_port_create(struct pool_port **out, struct pool *pool);

/** Waits until nothing of this port is in flight (bounded by the hard deadline), then frees it. */
void pool_port_destroy(struct pool_port *port);

/** A file descriptor (an epoll instance) that becomes readable when pool_port_run has work. The
 *  loop watches it for reading, level-triggered. */
int pool_port_fd(const struct pool_port *port);

/** Runs at the end of each loop turn and when the fd is readable: executes the cheap operations
 *  gathered in this turn as batches, sends what was gathered for members, takes in answers and
 *  completions, fails over what is late, and calls on_done. Never blocks. */
void pool_port_run(struct pool_port *port);

/** Hands an operation to the group. KW_OK: accepted, on_done will come. Anything else: refused,
 *  on_done will not come (KW_E_INPUT, KW_E_UNSUPPORTED, KW_E_FORBIDDEN as kc_lanes_shape;
 *  KW_E_BUSY: queues are full; KW_E_UNAVAILABLE: no member can serve this key now). */
KW_MUST_CHECK kw_status pool_submit(struct pool_port *port, struct pool_op *op);

/** The same, for the member of this name alone: it goes to no other one. KW_E_NOT_FOUND: no member
 *  has the name. For an operator's probe, not for clients. */
KW_MUST_CHECK kw_status pool_submit_to(struct pool_port *port, struct pool_op *op,
                                       const char *member);

/* --- what can be seen --- */

/** Upper bounds in nanoseconds of the latency histogram's buckets; the last is +Inf (0). */
#define POOL_LATENCY_BUCKETS 20
extern const uint64_t pool_latency_bounds_ns[POOL_LATENCY_BUCKETS];
#define POOL_LANE_BUCKETS 17 /* exact lane counts 1..16, and more */

struct pool_member_stats {
    char name[POOL_NAME_MAX + 1];
    const char *kind; /* "core", "pkcs11" */
    const char *role; /* "active", "standby" */
    unsigned priority;
    const char *admin;  /* "ready", "drain", "maintenance", or "leaving" */
    const char *health; /* "up", ... */
    char sense[96];     /* what operators read: "active", "down (retry 3/10, next in 40s)", ... */
    char reason[192];   /* why it is in this health */
    bool serving;
    int32_t login_attempts_left; /* -1: unknown */
    uint64_t in_flight, queued;
    uint64_t ejections;       /* times it was an outlier */
    bool outlier;             /* it is one now: asked last */
    uint64_t in_flight_limit; /* as much as it is given at once, by the latency measured */
    uint64_t host_pid;        /* pkcs11: the first host's process id, 0 when none */
    char endpoint[272];       /* remote: host and port; else empty */
    int64_t
        certificate_not_after; /* remote: end of its certificate, seconds since 1970; 0: unknown */
    char token_label[33], token_serial[17], manufacturer[33], model[17], firmware[16];
    struct {
        uint64_t ok, caller_error, failed;
        uint64_t seconds_ns_sum, buckets[POOL_LATENCY_BUCKETS];
    } kinds[KW_KIND_COUNT];
};

struct pool_stats {
    struct pool_member_stats members[POOL_MAX_MEMBERS + 1]; /* the implicit core is the last */
    size_t member_count;
    uint64_t failovers, retries, hedges, wrong_answers, queue_depth;
    uint64_t batches, batch_lanes_sum, batch_lanes[POOL_LANE_BUCKETS];
    unsigned members_up; /* members that may take work now */
    bool hsm;            /* at least one member is not the core */
    bool can_serve;      /* some member can serve each kind of key */
};

/** A snapshot. Any thread. `out` is large: not for a small stack. */
void pool_stats_read(struct pool *pool, struct pool_stats *out);

/** Operator's words on one member. */
enum pool_command {
    POOL_CMD_RECOVER, /* try again at once */
    POOL_CMD_DRAIN,   /* no new work */
    POOL_CMD_ACTIVATE,
    POOL_CMD_REPLACE, /* a MISMATCHED member: the token that is there now is joined in its place */
    POOL_CMD_ZEROIZE, /* drain, destroy what is ours on the token, verify, park the member */
    POOL_CMD_SYNC     /* drop what is loaded: every key comes anew from its blob */
};

/** By name. KW_E_NOT_FOUND for another name; KW_E_CONFLICT: it has no meaning now (REPLACE of a
 *  member that is not mismatched, ZEROIZE of one that is not logged in). Any thread. The work is
 * done by the supervisor; the event log says what came of it. */
KW_MUST_CHECK kw_status pool_member_command(struct pool *pool, const char *name,
                                            enum pool_command command);

/** Orders, durably, that the tokens under the names of these members be joined to `domain`,
 * whatever they were before, when a pool of that domain meets them. For a domain that an operator
 * has brought in with its quorum. Members without a token have nothing to join. Any thread, blocks.
 */
KW_MUST_CHECK kw_status pool_join_order(const char *state_dir,
                                        const struct pool_member_config *members, size_t count,
                                        const struct kc_domain *domain);

/* --- changes while it serves ------------------------------------------------------------------
 * Any thread that may block for some milliseconds. Nothing that is under way is dropped: a member
 * that is new takes work once it is up, one that leaves first ends what it works on, and one whose
 * settings need another start is followed by an heir of its name, which takes over when it is up.
 */

enum pool_set {
    POOL_SET_SAME,
    POOL_SET_ADDED,
    POOL_SET_CHANGED, /* in place: role, priority, pin_file, token_file, probe */
    POOL_SET_REPLACED /* an heir comes up beside it */
};

/** Makes a member of this name have these settings. KW_E_UNSUPPORTED: that needs a restart (a core
 *  member, or the first member of a group of none); KW_E_BUSY: too many changes in a short time;
 *  KW_E_INPUT as pool_create. `what` also says what was tried when it failed. */
KW_MUST_CHECK kw_status pool_member_set(struct pool *pool, const struct pool_member_config *config,
                                        enum pool_set *what);
/** What pool_member_set would do; nothing is changed. */
KW_MUST_CHECK kw_status pool_member_differs(struct pool *pool,
                                            const struct pool_member_config *config,
                                            enum pool_set *what);

enum pool_remove {
    POOL_REMOVE_IF_SAFE, /* KW_E_FORBIDDEN when it is the last one, or the last HSM, that serves */
    POOL_REMOVE_WHEN_SAFE, /* then it waits for another one to serve */
    POOL_REMOVE_FORCED
};

/** The member drains, what runs behind it ends, and what is kept of it on disk goes but for the
 *  record of its logins: a PIN that was refused stays refused. KW_E_NOT_FOUND; KW_E_UNSUPPORTED for
 *  a core member, which needs a restart. */
KW_MUST_CHECK kw_status pool_member_remove(struct pool *pool, const char *name,
                                           enum pool_remove how);

/** Names of the members that are in the group now; returns how many. */
size_t pool_member_names(struct pool *pool, char names[POOL_MAX_MEMBERS][POOL_NAME_MAX + 1]);

/** Takes over queue_max, min_copies, deadlines, hedge and recovery of `config`; nothing else of it
 *  is looked at. */
KW_MUST_CHECK kw_status pool_settings_change(struct pool *pool, const struct pool_config *config,
                                             bool *changed);

/* --- remote members --- */

/** KW_OK for "https://HOST[:PORT]"; else KW_E_INPUT. */
KW_MUST_CHECK kw_status pool_remote_url_check(const char *url);

/* The loop guard: requests of one gateway to another carry the instances they came through,
 * "id,id", in this field. */
#define POOL_VIA_FIELD    "x-keyward-via"
#define POOL_VIA_ID_LEN   16
#define POOL_VIA_MAX      3
#define POOL_VIA_TEXT_MAX (POOL_VIA_MAX * (POOL_VIA_ID_LEN + 1) - 1)

/** This pool's instance id: random, new at each start. Any thread. */
const char *pool_instance(const struct pool *pool);

/** May a request that came with `via` be served by the instance `own`? Not when it has been here
 *  before, has been through more than POOL_VIA_MAX others, or `via` is malformed. Empty: yes. */
bool pool_via_allows(const char *own, struct kw_span via);

/** The life of a member host process: `keyward member-host` calls it with the inherited control
 *  socket (fd 3). Returns the process's exit code. */
int pool_host_main(int control_fd);

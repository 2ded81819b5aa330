#pragma once
/* Inside the member host process: its parts and what they share.
 *
 *   host_main.c     control socket, life of the process
 *   host_token.c    module, token, login, domain
 *   host_domain.c   whose domain the token belongs to
 *   host_keys.c     the keys that are loaded now
 *   host_objects.c  what the token holds by itself: where resident keys are found
 *   host_list.c     the same, for operators
 *   host_run.c      one operation: retry rules and verdict
 *   host_rsa.c host_ec.c host_aes.c host_wrap.c host_generate.c   what an operation calls
 *   host_coalesce.c many key wraps as one
 *   host_work.c     the session threads and their queue
 *   host_turns.c    how many of them work at a time
 *   host_channel.c  requests in, answers out
 *
 * A host serves one token for one gateway and keeps nothing on disk. */

#include <pthread.h>
#include <stdatomic.h>

#include <p11-kit/pkcs11.h>

#include "crypto/domain/domain.h"
#include "pool/pkcs11/wire.h"
#include "pool/pool.h"

/** A resident key that this token has not got, or has more than once: not a code of any token. */
#define POOL_HOST_LACKS (CKR_VENDOR_DEFINED | 0x6b770001UL)

/** Output room of a session: an answer, and behind it a joined or padded copy of an input. */
#define POOL_HOST_ROOM (2u * POOL_WIRE_DATA_MAX + 64u)

struct pool_host_keys;
struct pool_host_work;
struct pool_host_objects;

struct pool_host {
    int control_fd;
    int lock_fd; /* -1 once init and login are over */
    void *library;
    enum pool_wire_stage stage; /* how far the start has come, for the report of a failure */
    CK_FUNCTION_LIST *p11;
    CK_SLOT_ID slot;
    CK_TOKEN_INFO token;
    unsigned sessions;
    unsigned processors; /* that this host may fill when its library computes by itself */
    size_t loaded_keys;  /* kept at most; the least recently used goes first */
    enum pool_sandbox sandbox;

    /* The anchor session keeps the login alive and owns every key object; it never signs. */
    pthread_mutex_t objects; /* one call at a time on the anchor */
    CK_SESSION_HANDLE anchor;
    CK_OBJECT_HANDLE wrapping_key; /* the domain's member wrapping key */
    CK_OBJECT_HANDLE canary_key;
    uint8_t canary[KW_AES_BLOCK_LEN]; /* what the canary key makes of a zero block */

    /* what the token can do, found out at start or on first use */
    bool rsa_raw;                /* CKM_RSA_X_509 decrypts */
    bool may_coalesce;           /* the configuration allows it */
    bool coalesce;               /* many wraps through multi-block ECB steps are quicker */
    bool wrap_raw, wrap_raw_p;   /* C_Encrypt with CKM_AES_KEY_WRAP, ..._KWP passes its vectors */
    CK_MECHANISM_TYPE transport; /* for PKCS#8 blobs */
    _Atomic int gcm_layout;      /* 0: with ulIvBits, 1: without */

    pthread_mutex_t finding; /* one search at a time, on a session of its own */
    CK_SESSION_HANDLE finder;
    struct pool_host_objects *objects_known; /* NULL: not looked yet */

    pthread_mutex_t generating; /* key generation is serial: tokens race there */
    struct pool_host_keys *keys;
    struct pool_host_work *work;
};

/** One key as the host holds it; made from a blob, destroyed on eviction. */
struct pool_host_key;

/** One operation under way on one session. */
struct pool_host_call {
    struct pool_host *host;
    CK_SESSION_HANDLE session;
    const struct pool_wire_request *req;
    struct pool_host_key *key;
    CK_OBJECT_HANDLE handle;
    uint8_t *out; /* POOL_HOST_ROOM bytes */
    size_t out_len;
    uint8_t tag[KW_GCM_TAG_LEN];
    bool valid;
    bool wrong;           /* the token's answer was seen to be wrong */
    kw_status status;     /* the host's own judgement of the caller's data */
    struct kc_public pub; /* GENERATE */
};

/* --- host_token.c --- */

/** Loads the module, initialises it and finds the token by label and serial (blank padding cut);
 *  none or more than one is an error. `reason` gets a short text. */
CK_RV pool_host_open_token(struct pool_host *host, const struct pool_wire_config *config,
                           char *reason, size_t reason_len);
/** Opens the anchor session and logs in. A result that is no word about the PIN (5, 0x102) is tried
 *  once more on a freshly initialised module, unless the token counted a failure. */
CK_RV pool_host_login(struct pool_host *host, struct kw_span pin);
/** Installs the wrapping key and the canary and finds out what the token can do. */
CK_RV pool_host_install(struct pool_host *host, struct kw_span wrapping_key);
/** Reads the token's flags again. */
CK_RV pool_host_flags(struct pool_host *host, CK_FLAGS *flags);
CK_RV pool_host_open_session(struct pool_host *host, CK_SESSION_HANDLE *session);
/** Does the token still compute? Uses `session`. CKR_OPERATION_ACTIVE and the like are a word about
 *  the session, not about the token. */
CK_RV pool_host_canary(struct pool_host *host, CK_SESSION_HANDLE session);
/** Is the anchor, and with it the login and every key object, still there? */
bool pool_host_anchored(struct pool_host *host);

/* --- host_domain.c --- */

/** Holds the token's mark (a data object) against the domain's check value. A token without a mark
 *  gets one; with `join` it is replaced. `match` false: the token belongs to another domain, whose
 *  check value is in `other` (65 bytes, printable). A token that keeps no data objects matches. */
CK_RV pool_host_domain(struct pool_host *host, struct kw_span check, bool join, bool *match,
                       char *other);

/** Destroys every object of this gateway: loaded keys, the wrapping key, the domain's mark. Counts
 *  what went from the token itself, looks again, and counts what is left. No operation may run. */
void pool_host_zeroize(struct pool_host *host, struct pool_wire_zeroized *result);

/* --- host_keys.c --- */

struct pool_host_keys *pool_host_keys_create(size_t limit);
void pool_host_keys_destroy(struct pool_host_keys *keys);
/** The key of a request, held; NULL when the host has not got it and no usable blob came along
 *  (`bad_blob` tells which). Release with pool_host_key_put. Any thread. */
struct pool_host_key *pool_host_key_get(struct pool_host *host, const struct pool_wire_request *req,
                                        bool *bad_blob);
void pool_host_key_put(struct pool_host *host, struct pool_host_key *key);
/** The object handle for ciphers and signatures, or for HMAC; unwraps the blob when needed. */
CK_RV pool_host_key_handle(struct pool_host *host, struct pool_host_key *key, bool hmac,
                           CK_OBJECT_HANDLE *out);
/** Forgets a handle that the token no longer knows. */
void pool_host_key_stale(struct pool_host *host, struct pool_host_key *key,
                         CK_OBJECT_HANDLE handle);

/** Drops the keys with these ids (none: all) and destroys their objects, those in use when their
 *  operation ends. */
void pool_host_keys_forget(struct pool_host *host, struct kw_span ids);

/** Copies the ids of the keys that are held now; at most `max`. */
size_t pool_host_keys_ids(struct pool_host_keys *keys, uint8_t (*ids)[KW_KEY_ID_LEN], size_t max);

/* --- host_objects.c --- */

/** An object that lives on the token. */
struct pool_host_object {
    CK_OBJECT_CLASS class;
    CK_KEY_TYPE type; /* keys only */
    CK_OBJECT_HANDLE handle;
    bool long_id;
    uint8_t id_len;
    uint8_t id[POOL_RESIDENT_ID_MAX];
};

/** Sorted by class, id and type. */
struct pool_host_objects {
    struct pool_host_object *list;
    size_t count, cap;
    bool cut; /* there are more */
};

/** Finds the private or secret key with this CKA_ID. The first call reads the ids of all keys on
 *  the token, later ones ask what was read then. POOL_HOST_LACKS when it was not there, or twice,
 *  or is a secret key of another check value (`check` empty: none to compare). Any thread. */
CK_RV pool_host_object_find(struct pool_host *host, CK_OBJECT_HANDLE *out, enum kw_kty kty,
                            struct kw_span id, struct kw_span check);
/** The handle does not stand for the key any more: the token is asked for this one id again. */
void pool_host_object_stale(struct pool_host *host, CK_OBJECT_HANDLE handle);
/** What was read is forgotten. */
void pool_host_objects_forget(struct pool_host *host);
/** Reads all objects of a class into `objects` (at most POOL_FOUND_MAX of them). Under
 *  host->finding. */
CK_RV pool_host_objects_read(struct pool_host *host, struct pool_host_objects *objects,
                             CK_OBJECT_CLASS class);
void pool_host_objects_sort(struct pool_host_objects *objects);
/** The first of those with this class and id; `count` gets how many follow each other. */
const struct pool_host_object *pool_host_objects_with(const struct pool_host_objects *objects,
                                                      CK_OBJECT_CLASS class, struct kw_span id,
                                                      size_t *count);
void pool_host_objects_free(struct pool_host_objects *objects);
/** Opens the session for searches when there is none, or it is lost. Under host->finding. */
CK_RV pool_host_finder(struct pool_host *host);

/* --- host_list.c --- */

/** Answers a LIST over the control socket. KW_E_IO when that is gone. */
KW_MUST_CHECK kw_status pool_host_list(struct pool_host *host, const struct pool_wire_list *list);

/* --- host_generate.c --- */

/** DER object identifier of a curve (CKA_EC_PARAMS), and back (KW_CURVE_NONE: another one). */
struct kw_span pool_host_curve_oid(enum kw_curve curve);
enum kw_curve pool_host_curve_of(struct kw_span oid);
/** Reads the coordinates out of a CKA_EC_POINT: a DER octet string by the standard, the bare point
 *  with some modules. False when it is none of this width. */
bool pool_host_read_point(struct kc_public *pub, const uint8_t *point, size_t len, size_t width);
/** Removes leading zeros of a big-endian number in place; its new length. */
size_t pool_host_strip_zeros(uint8_t *number, size_t len);

/* --- host_run.c --- */

struct pool_host_result {
    struct pool_wire_answer answer; /* out borrows from the session's buffer */
    bool need_key;
    bool generated;
    struct kc_public pub;
};
/** Runs one request to its verdict. `session` may be replaced by a new one. */
void pool_host_run(struct pool_host *host, CK_SESSION_HANDLE *session, uint8_t *out,
                   const struct pool_wire_request *req, struct pool_host_result *result);

/* --- the calls; CKR_OK with call->status KW_OK is success --- */

CK_RV pool_host_rsa(struct pool_host_call *call);
CK_RV pool_host_ecdsa(struct pool_host_call *call);
CK_RV pool_host_hmac(struct pool_host_call *call);
CK_RV pool_host_aes(struct pool_host_call *call);
CK_RV pool_host_wrap(struct pool_host_call *call);
CK_RV pool_host_random(struct pool_host_call *call);
/** Lays out what W works on (RFC 3394 or RFC 5649, by the request); its length, or 0 when the
 *  input's length is not allowed. `out` has room for the input and 16 bytes. */
size_t pool_host_wrap_fill(const struct pool_wire_request *req, uint8_t *out);
/** Length of the plaintext behind the first 8 of `total` bytes, or SIZE_MAX: not authentic. */
size_t pool_host_unwrapped_len(const uint8_t *data, size_t total, bool padded);
/** Makes a key pair or secret key, wraps it and proves that the blob signs or encrypts. */
CK_RV pool_host_generate(struct pool_host_call *call);
/** One C_SignInit + C_Sign, C_EncryptInit + C_Encrypt or C_DecryptInit + C_Decrypt. */
CK_RV pool_host_sign(struct pool_host_call *call, CK_MECHANISM *mechanism, struct kw_span in,
                     uint8_t *out, size_t cap, size_t *out_len);
CK_RV pool_host_encrypt(struct pool_host_call *call, CK_MECHANISM *mechanism, struct kw_span in,
                        uint8_t *out, size_t cap, size_t *out_len);
CK_RV pool_host_decrypt(struct pool_host_call *call, CK_MECHANISM *mechanism, struct kw_span in,
                        uint8_t *out, size_t cap, size_t *out_len);

/* --- host_coalesce.c --- */

#define POOL_HOST_COALESCE_MAX 64u
/** May `other` run together with `first`, of which `count` are together already? */
bool pool_host_coalesces(const struct pool_host *host, const struct pool_wire_request *first,
                         const struct pool_wire_request *other, size_t count);
/** Runs them together. False: something was in the way, nothing is answered, and each has to run
 *  by itself (whose rules then say what failed). `out` is POOL_HOST_ROOM bytes. */
bool pool_host_run_many(struct pool_host *host, CK_SESSION_HANDLE session, uint8_t *out,
                        const struct pool_wire_request *const *reqs, size_t count,
                        struct pool_host_result *results);
/** Compares both ways on the canary key, answers and times, and sets host->coalesce. */
void pool_host_coalesce_measure(struct pool_host *host);

/* --- host_work.c --- */

/** Starts the session threads. */
kw_status pool_host_work_start(struct pool_host *host);
/** Takes over a data channel's descriptor. */
kw_status pool_host_work_add(struct pool_host *host, int fd);

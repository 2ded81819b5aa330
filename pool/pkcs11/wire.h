#pragma once
/* The language between the gateway and a member host. Both ends treat the other as hostile: every
 * length is checked against what is there and against a bound, every enumeration against its range,
 * and a record must be used up to its last byte.
 *
 * A record is a 4-byte length (of what follows), one type byte and fields. Integers are
 * little-endian; strings and byte strings carry a 4-byte length. On data channels (SOCK_STREAM)
 * many records travel in one write; on the control socket (SOCK_SEQPACKET) one per packet.
 *
 * Decoded spans borrow from the record. Encoding appends to `out` or leaves it as it was. */

#include "crypto/base/alg.h"
#include "crypto/keys/key.h"
#include "pool/inventory.h"

#define POOL_WIRE_DATA_MAX   (320u * 1024) /* input, output or aad of one operation */
#define POOL_WIRE_RECORD_MAX (2 * POOL_WIRE_DATA_MAX + 8192u) /* whole record with its length */
#define POOL_WIRE_TEXT_MAX   1024u
#define POOL_WIRE_PIN_MAX    256u
#define POOL_WIRE_FORGET_MAX 256u   /* key ids of one record */
#define POOL_WIRE_KEYS_MAX   65536u /* keys that a host may be told to keep loaded */

enum pool_wire_type {
    /* data channel, gateway to host */
    POOL_WIRE_REQUEST = 1,
    /* data channel, host to gateway */
    POOL_WIRE_ANSWER,
    POOL_WIRE_NEED_KEY,
    POOL_WIRE_GENERATED,
    /* control, gateway to host */
    POOL_WIRE_CONFIG,  /* with the lock file's descriptor */
    POOL_WIRE_LOGIN,   /* PIN and member wrapping key */
    POOL_WIRE_CHANNEL, /* with the host's end of a data channel */
    POOL_WIRE_FORGET,  /* keys that are not wanted any more */
    POOL_WIRE_ZEROIZE, /* destroy what is ours on the token */
    POOL_WIRE_LIST,    /* say what is loaded, and what keys there are on the token */
    /* control, host to gateway */
    POOL_WIRE_LOCKED, /* the token store's lock is held; module calls begin */
    POOL_WIRE_HELLO,
    POOL_WIRE_LOGGED_IN,
    POOL_WIRE_READY,
    POOL_WIRE_ZEROIZED,
    POOL_WIRE_FAILED,
    POOL_WIRE_LISTED,     /* one key on the token */
    POOL_WIRE_LOADED,     /* keys that are loaded */
    POOL_WIRE_LISTED_ALL, /* the end of an answer to LIST */
    POOL_WIRE_TYPE_COUNT
};

struct pool_wire_request {
    uint64_t id;
    enum kw_kind kind;
    enum kw_alg alg;
    uint8_t key_id[KW_KEY_ID_LEN];
    enum kw_kty kty; /* of the key, or of what to generate */
    enum kw_curve curve;
    uint32_t bits;
    uint32_t exponent; /* GENERATE */
    uint32_t out_cap;  /* room for the answer's output; RANDOM: bytes wanted */
    uint8_t tag[KW_GCM_TAG_LEN];
    struct kw_span blob; /* or the reference of a resident key (POOL_REFERENCE); empty: the host has
                            the key already */
    struct kw_span in, sig, iv, aad;
    struct kw_span n, e; /* RSA: the public half, which checks what the token makes of `in` */
};

/** Verdicts of the host; the gateway maps them to enum pool_verdict. */
enum pool_wire_verdict {
    POOL_WIRE_DONE,
    POOL_WIRE_OTHER,      /* counts against the member */
    POOL_WIRE_OTHER_FREE, /* does not */
    POOL_WIRE_UNSUPPORTED,
    POOL_WIRE_FATAL, /* counts, and the host must be restarted */
    POOL_WIRE_WRONG, /* the token's answer was seen to be wrong */
    POOL_WIRE_LACKS, /* there is no such resident key on the token, or more than one */
    POOL_WIRE_VERDICT_COUNT
};

struct pool_wire_answer {
    uint64_t id;
    enum pool_wire_verdict verdict;
    kw_status status; /* for DONE */
    bool valid;       /* VERIFY */
    uint64_t ckr;     /* raw return code behind it, 0 when none */
    uint8_t tag[KW_GCM_TAG_LEN];
    struct kw_span out;
};

struct pool_wire_generated {
    uint64_t id;
    struct kc_public pub;
    struct kw_span blob;
};

struct pool_wire_config {
    struct kw_span module, token_label, token_serial; /* label, serial: empty means any */
    uint32_t sessions;
    uint32_t processors;  /* at most so many calls at a time, if the library computes by itself */
    bool coalesce;        /* many key wraps may run as one */
    uint32_t loaded_keys; /* 1 to POOL_WIRE_KEYS_MAX */
    uint8_t sandbox;      /* enum pool_sandbox */
    uint64_t memory;      /* limits of the host: bytes of address space, descriptors; 0: none */
    uint32_t files;
    struct kw_span paths; /* as in struct pool_member_config */
};

struct pool_wire_login {
    struct kw_span pin;
    struct kw_span wrapping_key; /* 32 bytes */
    struct kw_span domain;       /* check value of the security domain, 1 to 64 bytes of text */
    bool join;                   /* the token is to take this domain, whatever it had before */
};

struct pool_wire_hello {
    uint64_t flags; /* CK_TOKEN_INFO.flags, read before any login */
    char label[33], serial[17], manufacturer[33], model[17], firmware[16];
};

struct pool_wire_logged_in {
    uint64_t ckr;
    uint64_t flags; /* token flags after the attempt */
};

struct pool_wire_ready {
    uint32_t sessions;
};

struct pool_wire_zeroized {
    uint32_t destroyed, left; /* objects on the token, counted again afterwards */
};

/** `sequence`: the gateway's number of the LIST that this belongs to. */
struct pool_wire_list {
    uint32_t sequence;
    bool tokens;
};

struct pool_wire_listed {
    uint32_t sequence;
    struct pool_found_key key; /* `member` is not sent */
};

struct pool_wire_loaded {
    uint32_t sequence;
    struct kw_span ids; /* whole key ids, at most POOL_WIRE_FORGET_MAX */
};

struct pool_wire_listed_all {
    uint32_t sequence;
    uint64_t ckr; /* the token did not let itself be read */
    bool cut;     /* there are more than POOL_FOUND_MAX */
};

enum pool_wire_stage {
    POOL_WIRE_STAGE_SANDBOX,
    POOL_WIRE_STAGE_MODULE,
    POOL_WIRE_STAGE_INITIALIZE,
    POOL_WIRE_STAGE_TOKEN,
    POOL_WIRE_STAGE_DOMAIN,
    POOL_WIRE_STAGE_MISMATCH, /* the token belongs to another domain; reason: its check value */
    POOL_WIRE_STAGE_RUN,
    POOL_WIRE_STAGE_COUNT
};

struct pool_wire_failed {
    enum pool_wire_stage stage;
    uint64_t ckr;
    struct kw_span reason;
};

/** Takes the next whole record off the front of `stream`. KW_OK: `body` is the record without its
 *  length. KW_E_NOT_FOUND: more bytes are needed. KW_E_INPUT: the stream is broken for good. */
KW_MUST_CHECK kw_status pool_wire_next(struct kw_span *stream, struct kw_span *body);

/** Type byte of a record's body; 0 for an empty one. */
uint8_t pool_wire_type_of(struct kw_span body);

/* Encoders: KW_E_TOO_LARGE when `out` has no room or a field is over its bound. */
KW_MUST_CHECK kw_status pool_wire_put_request(struct kw_buf *out,
                                              const struct pool_wire_request *msg);
KW_MUST_CHECK kw_status pool_wire_put_answer(struct kw_buf *out,
                                             const struct pool_wire_answer *msg);
KW_MUST_CHECK kw_status pool_wire_put_need_key(struct kw_buf *out, uint64_t id);
KW_MUST_CHECK kw_status pool_wire_put_generated(struct kw_buf *out,
                                                const struct pool_wire_generated *msg);
KW_MUST_CHECK kw_status pool_wire_put_config(struct kw_buf *out,
                                             const struct pool_wire_config *msg);
KW_MUST_CHECK kw_status pool_wire_put_login(struct kw_buf *out, const struct pool_wire_login *msg);
KW_MUST_CHECK kw_status pool_wire_put_hello(struct kw_buf *out, const struct pool_wire_hello *msg);
KW_MUST_CHECK kw_status pool_wire_put_logged_in(struct kw_buf *out,
                                                const struct pool_wire_logged_in *msg);
KW_MUST_CHECK kw_status pool_wire_put_ready(struct kw_buf *out, const struct pool_wire_ready *msg);
KW_MUST_CHECK kw_status pool_wire_put_failed(struct kw_buf *out,
                                             const struct pool_wire_failed *msg);
KW_MUST_CHECK kw_status pool_wire_put_zeroized(struct kw_buf *out,
                                               const struct pool_wire_zeroized *msg);
KW_MUST_CHECK kw_status pool_wire_put_list(struct kw_buf *out, const struct pool_wire_list *msg);
KW_MUST_CHECK kw_status pool_wire_put_listed(struct kw_buf *out,
                                             const struct pool_wire_listed *msg);
KW_MUST_CHECK kw_status pool_wire_put_loaded(struct kw_buf *out,
                                             const struct pool_wire_loaded *msg);
KW_MUST_CHECK kw_status pool_wire_put_listed_all(struct kw_buf *out,
                                                 const struct pool_wire_listed_all *msg);
/** `ids`: whole key ids, one after the other, at most POOL_WIRE_FORGET_MAX; none: every key. */
KW_MUST_CHECK kw_status pool_wire_put_forget(struct kw_buf *out, struct kw_span ids);
/** A record of the type alone: CHANNEL, LOCKED, ZEROIZE. */
KW_MUST_CHECK kw_status pool_wire_put_plain(struct kw_buf *out, enum pool_wire_type type);

/* Decoders: KW_E_INPUT for another type, a wrong length or a value out of range. */
KW_MUST_CHECK kw_status pool_wire_get_request(struct kw_span body, struct pool_wire_request *msg);
KW_MUST_CHECK kw_status pool_wire_get_answer(struct kw_span body, struct pool_wire_answer *msg);
KW_MUST_CHECK kw_status pool_wire_get_need_key(struct kw_span body, uint64_t *id);
KW_MUST_CHECK kw_status pool_wire_get_generated(struct kw_span body,
                                                struct pool_wire_generated *msg);
KW_MUST_CHECK kw_status pool_wire_get_config(struct kw_span body, struct pool_wire_config *msg);
KW_MUST_CHECK kw_status pool_wire_get_login(struct kw_span body, struct pool_wire_login *msg);
KW_MUST_CHECK kw_status pool_wire_get_hello(struct kw_span body, struct pool_wire_hello *msg);
KW_MUST_CHECK kw_status pool_wire_get_logged_in(struct kw_span body,
                                                struct pool_wire_logged_in *msg);
KW_MUST_CHECK kw_status pool_wire_get_ready(struct kw_span body, struct pool_wire_ready *msg);
KW_MUST_CHECK kw_status pool_wire_get_failed(struct kw_span body, struct pool_wire_failed *msg);
KW_MUST_CHECK kw_status pool_wire_get_zeroized(struct kw_span body, struct pool_wire_zeroized *msg);
KW_MUST_CHECK kw_status pool_wire_get_list(struct kw_span body, struct pool_wire_list *msg);
KW_MUST_CHECK kw_status pool_wire_get_listed(struct kw_span body, struct pool_wire_listed *msg);
KW_MUST_CHECK kw_status pool_wire_get_loaded(struct kw_span body, struct pool_wire_loaded *msg);
KW_MUST_CHECK kw_status pool_wire_get_listed_all(struct kw_span body,
                                                 struct pool_wire_listed_all *msg);
KW_MUST_CHECK kw_status pool_wire_get_forget(struct kw_span body, struct kw_span *ids);
KW_MUST_CHECK kw_status pool_wire_get_plain(struct kw_span body, enum pool_wire_type type);

/** Bytes that a request's record takes at most. */
size_t pool_wire_request_size(const struct pool_wire_request *msg);

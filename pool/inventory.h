#pragma once
/* What keys there are on the members' tokens and which each member has loaded; and whether a key
 * that lives on several tokens is the same one on all of them. For operators, who adopt such keys:
 * they were made on a token, or put there, and the vendor replicates them ("resident").
 *
 * Reading a token takes up to seconds and runs beside its work; nothing waits for it. */

#include "pool/op.h"

#define POOL_RESIDENT_ID_MAX 128    /* bytes of CKA_ID */
#define POOL_LABEL_MAX       128    /* bytes of CKA_LABEL */
#define POOL_FOUND_MAX       16384u /* key objects of one token that are read; the rest is not */
#define POOL_CHECK_MAX       3      /* bytes of CKA_CHECK_VALUE */

/* What stands in the place of a blob for a resident key: POOL_REFERENCE, or a check value, and the
 * CKA_ID. (Blobs begin with their version, 1.) A check value tells one AES key from another, so
 * that a member never encrypts with another key that has the same id: one byte that says how it is
 * made, then the first bytes of the SHA-256 of a constant block, encrypted or decrypted. */
#define POOL_REFERENCE          0x80u
#define POOL_CHECK_BY_ENCRYPT   0x81u
#define POOL_CHECK_BY_DECRYPT   0x82u
#define POOL_RESIDENT_CHECK_LEN 17u

extern const uint8_t pool_check_block[KW_AES_BLOCK_LEN];
/** `block` is what the key makes of pool_check_block; `how` one of the two above. */
KW_MUST_CHECK kw_status pool_check_value(uint8_t out[POOL_RESIDENT_CHECK_LEN], uint8_t how,
                                         const uint8_t block[KW_AES_BLOCK_LEN]);

struct pool;
struct pool_agreement;

/** Where the public half of a key was read. */
enum pool_found_source {
    POOL_FOUND_NOWHERE,
    POOL_FOUND_KEY,        /* in the private key's own object */
    POOL_FOUND_PUBLIC_KEY, /* in a public key with the same id */
    POOL_FOUND_CERTIFICATE /* in a certificate with the same id */
};

/** One private or secret key object on one token. */
struct pool_found_key {
    unsigned member; /* index of pool_inventory.members */
    bool known;      /* RSA, EC or AES: `pub.kty` says which; else only `type` says what it is */
    uint64_t type;   /* CKA_KEY_TYPE as the token gives it */
    bool secret;     /* a secret key, not a private one */
    struct kc_public pub; /* kty, bits and curve as far as they are known, and the public half */
    enum pool_found_source source;
    uint16_t ops;  /* bit (1 << enum kw_kind) of what the token allows and keyward can do with it */
    bool asks_pin; /* CKA_ALWAYS_AUTHENTICATE: the token wants its PIN for each operation */
    bool extractable; /* CKA_EXTRACTABLE */
    bool twice;       /* another key of this class and type has the same id on this token */
    bool long_id;     /* its id is over POOL_RESIDENT_ID_MAX: `id` is empty */
    uint8_t id[POOL_RESIDENT_ID_MAX];
    size_t id_len;
    char label[POOL_LABEL_MAX + 1]; /* cut to fit, control characters replaced */
    uint8_t check[POOL_CHECK_MAX];  /* of an AES key, when the token tells */
    size_t check_len;
};

/** What one member said. */
struct pool_inventory_member {
    char name[64]; /* empty: there is no member in this place */
    const char *kind;
    bool hsm;                         /* holds keys on a token of its own */
    bool complete;                    /* it was read to the end */
    char why[96];                     /* when it was not */
    uint8_t (*loaded)[KW_KEY_ID_LEN]; /* key versions it has loaded now */
    size_t loaded_count, loaded_cap;
};

struct pool_inventory {
    struct pool_inventory_member *members; /* by place in the group: bits as in served_on */
    size_t member_count;
    struct pool_found_key *keys; /* by member */
    size_t key_count, key_cap;
    struct pool_inventory_read *read; /* the pool's */
};

/** `inventory` is the callee's to free. Port's thread. */
typedef void pool_inventory_fn(void *ctx, struct pool_inventory *inventory);

/** Reads what members have loaded, and with `tokens` what key objects are on their tokens. Calls
 *  `done` once, later, on the port's thread. KW_E_BUSY: one is under way in this pool. Port's
 *  thread. */
KW_MUST_CHECK kw_status pool_inventory(struct pool_port *port, bool tokens, pool_inventory_fn *done,
                                       void *ctx);
/** NULL is allowed. */
void pool_inventory_free(struct pool_inventory *inventory);

/* --- agreement --- */

enum pool_agreement_result {
    POOL_AGREE_SAME,
    POOL_AGREE_LACKS,   /* no such key there */
    POOL_AGREE_DIFFERS, /* a key with this id, of other material */
    POOL_AGREE_CANNOT   /* `why` says what an attempt ended with */
};

typedef void pool_agreement_fn(struct pool_agreement *agreement);

/** Uses a resident key on each of some members and holds the results against its public half, or
 *  for a secret key against each other: signatures are verified; what was encrypted for the key is
 *  decrypted; a block is encrypted on each and what the first made of it decrypted on each. A wrong
 *  answer is a result here, and no charge against the member. */
struct pool_agreement {
    /* the caller's part */
    struct pool_key *key; /* borrowed until on_done */
    uint64_t members;     /* bits as in served_on */
    uint16_t ops;         /* bits (1 << enum kw_kind) that shall be shown */
    pool_agreement_fn *on_done;
    void *owner;

    /* the results, for the members asked */
    enum pool_agreement_result results[64];
    kw_status why[64];
    uint8_t check[POOL_RESIDENT_CHECK_LEN]; /* of a secret key that a member agreed on */
    size_t check_len;

    /* the pool's part */
    struct pool_port *port;
    struct pool_op op;
    unsigned member, step;
    uint8_t plain[64], cipher[KW_RSA_MAX_BYTES], out[KW_RSA_MAX_BYTES];
    size_t plain_len, cipher_len;
    bool has_cipher;
};

/** Calls on_done once, perhaps before it returns. Port's thread; `agreement` must stay until then.
 */
void pool_agree(struct pool_port *port, struct pool_agreement *agreement);

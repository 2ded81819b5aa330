#pragma once
/* Keys as objects with versions: what a record holds, the cache in front of the store, and the
 * changes. api/ makes JSON of these; pool/ does the work with them. */

#include "gateway/vault/kind.h"
#include "pool/pool.h"

/** Which key on the members' tokens a resident key is. */
struct vault_resident {
    uint8_t id[POOL_RESIDENT_ID_MAX];
    size_t id_len;
    uint8_t check[POOL_RESIDENT_CHECK_LEN]; /* of a secret key: pool_agreement.check */
    size_t check_len;
    char label[POOL_LABEL_MAX + 1]; /* as it was when the key was adopted; for people */
};

/** One key version; see struct vault_object. */
struct vault_key {
    VAULT_OBJECT;
    bool hsm;
    bool managed;    /* belongs to the certificate of its name and version */
    enum kw_kty kty; /* type and size, in pages too */
    enum kw_curve curve;
    unsigned bits;
    uint16_t ops;              /* bit (1 << enum kw_kind) for sign..unwrap */
    bool op_import, op_export; /* key_ops "import", "export" */
    struct pool_key *key;      /* usable as it is; NULL in pages (lists show no material) */
    uint8_t *blob;             /* the wrapped private half, as in the record */
    size_t blob_len;
    struct vault_resident *resident; /* the key lives on the tokens, `blob` is empty; else NULL */
};

/** Keys among the kinds of objects. */
extern const struct vault_kind vault_key_kind;

void vault_key_unref(struct vault_key *key);
struct vault_key *vault_key_ref(struct vault_key *key);

/** The scope (pool_key_desc.scope) of a vault by its name. Any thread. */
typedef unsigned vault_scope_fn(void *ctx, const char *vault_name);

/* struct vault: cache + store + pool + domain; one per gateway */

/** `store`, `pool` and `domain` are borrowed for the vault's life. */
KW_MUST_CHECK kw_status vault_create(struct vault **out, struct store *store, struct pool *pool,
                                     const struct kc_domain *domain);
/** From here on `scope_of` says which members serve the keys of a vault; before any key is used. */
void vault_set_scopes(struct vault *vault, vault_scope_fn *scope_of, void *ctx);
/** Every loop must have its answers: drain the loops first. NULL is allowed. Keys that callers
 * still hold live on. */
void vault_destroy(struct vault *vault);

/** On what terms a new version is stored: a rotation's. */
struct vault_put_terms {
    char base[STORE_VERSION_LEN + 1]; /* must be the newest version then, else KW_E_CONFLICT */
    int64_t was_wake, wake_at;        /* of the rotation policy: as it must be, and as it becomes */
};

/** What create, import and update ask for. Borrowed for the call. */
struct vault_key_request {
    const char *vault, *name;
    enum kw_kty kty;
    enum kw_curve curve;
    unsigned bits;
    uint32_t exponent;
    bool hsm;
    uint16_t ops;
    bool op_import, op_export;
    struct vault_attributes attributes;
    const struct vault_tag *tags;
    size_t tag_count;
    const struct vault_put_terms *terms; /* NULL: none */
};

/** Which members of an update are present. KW_E_INPUT where `op_import` would come or go, or a key
 * that has it would get other operations. */
struct vault_key_change {
    struct vault_change common;
    bool has_ops;
    uint16_t ops;
    bool op_import, op_export;
};

/** `key` is borrowed during the call (take a reference to keep it); NULL unless status is KW_OK,
 * and NULL after a purge. Runs on the loop that asked, once, also when the client is gone; may run
 * before the asking call returns (cache hit, refusal). Besides what the calls name: KW_E_INPUT for
 * a name that cannot be one, KW_E_NOT_FOUND, KW_E_BUSY, KW_E_UNAVAILABLE (store read-only, no
 * member), KW_E_IO (a change that is not to be relied on), KW_E_INTEGRITY (a record that was
 * tampered with). */
typedef void vault_key_fn(void *ctx, kw_status status, struct vault_key *key);

/** Borrowed rows of one page, without their pool half; `more` when another page follows. */
typedef void vault_page_fn(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                           bool more);

/** A live key version; version empty: the newest. From the cache without leaving the thread, else
 *  from the store. */
void vault_key_get(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                   struct kw_span name, struct kw_span version, vault_key_fn *done, void *ctx);

/** The cache alone: a new reference, or NULL when it is not there. The hot path of a sign. */
struct vault_key *vault_key_peek(struct vault *vault, const char *vault_name, struct kw_span name,
                                 struct kw_span version);

/** Generates in the pool, stores, publishes. KW_E_CONFLICT for a deleted name. */
void vault_key_create(struct vault *vault, struct gw_loop *loop,
                      const struct vault_key_request *req, vault_key_fn *done, void *ctx);
/** Stores `key` (a new reference is taken) as a new version. */
void vault_key_import(struct vault *vault, struct gw_loop *loop,
                      const struct vault_key_request *req, struct kc_key *key, vault_key_fn *done,
                      void *ctx);
/** Stores a key that lives on the members' tokens, whose public half is `pub` (of a secret key:
 * type and bits). The caller has seen that members agree on it (pool_agree). */
void vault_key_adopt(struct vault *vault, struct gw_loop *loop, const struct vault_key_request *req,
                     const struct vault_resident *resident, const struct kc_public *pub,
                     vault_key_fn *done, void *ctx);
/** Changes what `change` has, of one version (empty: the newest). Concurrent changes of one version
 *  are applied one after the other, none is lost. */
void vault_key_update(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, struct kw_span version,
                      const struct vault_key_change *change, vault_key_fn *done, void *ctx);
/** Soft delete of all versions, to be purged `retention_days` later; no operation that starts after
 *  the answer can use the key. */
void vault_key_delete(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                      struct kw_span name, unsigned retention_days, vault_key_fn *done, void *ctx);
void vault_key_get_deleted(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                           struct kw_span name, vault_key_fn *done, void *ctx);
void vault_key_recover(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       struct kw_span name, vault_key_fn *done, void *ctx);
void vault_key_purge(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                     struct kw_span name, vault_key_fn *done, void *ctx);
void vault_key_list(struct vault *vault, struct gw_loop *loop, const char *vault_name, bool deleted,
                    const char *after, unsigned limit, vault_page_fn *done, void *ctx);
void vault_key_versions(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                        struct kw_span name, const char *after, unsigned limit, vault_page_fn *done,
                        void *ctx);

struct vault_restored;
/** `key` is the newest version that was restored, else NULL and `what` says why. */
typedef void vault_key_restore_fn(void *ctx, const struct vault_restored *what,
                                  struct vault_key *key);
/** A key from its backup blob (vault/backup.h). */
void vault_key_restore(struct vault *vault, struct gw_loop *loop, const char *vault_name,
                       struct kw_span blob, vault_key_restore_fn *done, void *ctx);

/** Seconds by which nbf and exp are widened on both sides, for clocks that differ. */
#define VAULT_CLOCK_LEEWAY_S 120

/** May the key do this now? KW_OK, or KW_E_FORBIDDEN with which rule in `why`
 *  ("KeyDisabled", "KeyNotYetValid", "KeyExpired", "KeyOperationForbidden"; static). A disabled key
 *  does nothing. Outside nbf..exp sign, encrypt and wrap are refused; decrypt, unwrap and verify go
 *  on, so that what was made before stays readable. Any thread. */
KW_MUST_CHECK kw_status vault_key_permits(const struct vault_key *key, enum kw_kind kind,
                                          int64_t wall_s, const char **why);

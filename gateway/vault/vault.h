#pragma once
/* Inside the vault: its parts, and what every call that goes to the store carries. The calls over
 * struct vault_object serve every kind; keys.c, secret.c and their like give them their types. */

#include <pthread.h>

#include "gateway/vault/cache.h"
#include "gateway/vault/keys/keys.h"
#include "gateway/vault/keys/object.h"
#include "gateway/vault/keys/record.h"

struct vault_flights;

/** gw_loop_port, or what stands in for it where no event loop runs. */
typedef struct pool_port *vault_port_fn(struct gw_loop *loop);

#define VAULT_KINDS (STORE_CERTIFICATE + 1)

struct vault {
    struct store *store;
    struct pool *pool;
    const struct kc_domain *domain;
    vault_port_fn *port;
    struct vault_cache *caches[VAULT_KINDS]; /* by enum store_kind */
    struct vault_flights *flights;
    pthread_mutex_t roles_lock; /* over the list; each has locks of its own */
    struct vault_roles *roles;
    vault_scope_fn *scope_of; /* NULL: every vault is served by every member */
    void *scope_ctx;
};

/** Which members serve the keys of that vault (pool_key_desc.scope). */
unsigned vault_scope(const struct vault *vault, const char *vault_name);

KW_MUST_CHECK kw_status vault_create_with(struct vault **out, struct store *store,
                                          struct pool *pool, const struct kc_domain *domain,
                                          vault_port_fn *port, size_t cache_capacity);

/** One call on its way through the store: who asked, for which object. First member of the larger
 *  structures of the single operations; freed with free() by whoever answers. */
struct vault_job {
    struct vault *vault;
    const struct vault_kind *kind;
    struct gw_loop *loop;
    vault_any_fn *done; /* called through kind->answer */
    void *ctx;
    uint64_t generation; /* of the cache, noted before the store was asked */
    bool has_terms;      /* of a new version */
    struct vault_put_terms terms;
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char version[STORE_VERSION_LEN + 1];
};

/** What most calls are given; borrowed for the call. */
struct vault_call {
    const struct vault_kind *kind;
    struct vault *vault;
    struct gw_loop *loop;
    const char *vault_name;
    struct kw_span name, version; /* empty version: the newest */
    unsigned retention_days;      /* of a delete; 0: the default */
    vault_any_fn *done;
    void *ctx;
};

/** Allocates `size` zeroed bytes that begin with a vault_job, and fills it. NULL: `done` was called
 *  (KW_E_NOMEM; KW_E_INPUT for a name, KW_E_NOT_FOUND for a version, that cannot exist). */
void *vault_job_create(size_t size, const struct vault_call *call);
struct store_ref vault_job_ref(const struct vault_job *job);
/** Calls `done` and frees the job. `object` stays the caller's. */
void vault_job_end(struct vault_job *job, kw_status status, struct vault_object *object);

/* The job's object in the cache of its kind. */
struct vault_cache *vault_job_cache(const struct vault_job *job);
/** Notes the generation again: before the store is asked anew. */
void vault_job_note(struct vault_job *job);
/** Forgets what the cache has of it. */
void vault_job_drop(const struct vault_job *job);

/* --- calls of every kind; what they answer is said in keys.h --- */

void vault_object_get(const struct vault_call *call);
void vault_object_get_deleted(const struct vault_call *call);
void vault_object_delete(const struct vault_call *call);
void vault_object_recover(const struct vault_call *call);
void vault_object_purge(const struct vault_call *call);

struct vault_page_call {
    const struct vault_kind *kind;
    struct vault *vault;
    struct gw_loop *loop;
    const char *vault_name;
    bool deleted;
    const char *after; /* NULL: from the start */
    unsigned limit;
    vault_any_fn *done; /* called through kind->answer_page */
    void *ctx;
};
void vault_object_list(const struct vault_page_call *call);
void vault_object_versions(const struct vault_page_call *call, struct kw_span name);

/* The usual case: every parameter of the caller has the name of its member. */
#define VAULT_CALL(kind_, ...)                                                                     \
    (const struct vault_call)                                                                      \
    {                                                                                              \
        .kind = (kind_), .vault = vault, .loop = loop, .vault_name = vault_name, .name = name,     \
        .done = (vault_any_fn *)done, .ctx = ctx, __VA_ARGS__                                      \
    }
#define VAULT_PAGE_CALL(kind_, ...)                                                                \
    (const struct vault_page_call)                                                                 \
    {                                                                                              \
        .kind = (kind_), .vault = vault, .loop = loop, .vault_name = vault_name, .after = after,   \
        .limit = limit, .done = (vault_any_fn *)done, .ctx = ctx, __VA_ARGS__                      \
    }

/** What a kind changes beside vault_change; `more` is the copy that the update took. */
typedef kw_status vault_apply_fn(struct vault_object *object, const void *more);
/** Read, change, write if it is still what was read; otherwise again. `apply` may be NULL; `more`
 *  is copied, what it points to is not. */
void vault_object_update(const struct vault_call *call, const struct vault_change *change,
                         vault_apply_fn *apply, const void *more, size_t more_len);

/** Stores a new object under its version: put, publish, answer. Takes over the reference. `created`
 *  is that of its attributes. A job of vault_job_create whose structure may be larger. */
void vault_job_put(struct vault_job *job, struct vault_object *object);

/* --- keys --- */

/** Opens a row into a key; with `usable` also its pool half. */
KW_MUST_CHECK kw_status vault_row_open(struct vault *vault, const char *vault_name,
                                       const struct store_row *row, bool usable,
                                       struct vault_key **out);
/** The pool half of `key` from its public half and its blob. */
KW_MUST_CHECK kw_status vault_key_make_usable(struct vault *vault, struct vault_key *key,
                                              const struct kc_public *pub);

/** Reads that are under way (get.c). */
struct vault_flights *vault_flights_create(void);
void vault_flights_destroy(struct vault_flights *flights);

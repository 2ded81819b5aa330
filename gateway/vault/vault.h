#pragma once
/* Inside the vault: its parts, and what every call that goes to the store carries. */

#include "gateway/vault/cache.h"
#include "gateway/vault/object.h"
#include "gateway/vault/record.h"

struct vault_flights;

/** gw_loop_port, or what stands in for it where no event loop runs. */
typedef struct pool_port *vault_port_fn(struct gw_loop *loop);

struct vault {
    struct store *store;
    struct pool *pool;
    const struct kc_domain *domain;
    vault_port_fn *port;
    struct vault_cache *cache;
    struct vault_flights *flights;
};

KW_MUST_CHECK kw_status vault_create_with(struct vault **out, struct store *store,
                                          struct pool *pool, const struct kc_domain *domain,
                                          vault_port_fn *port, size_t cache_capacity);

/** One call on its way through the store: who asked, for which object. First member of the larger
 *  structures of the single operations; freed with free() by whoever answers. */
struct vault_job {
    struct vault *vault;
    struct gw_loop *loop;
    vault_key_fn *done;
    void *ctx;
    uint64_t generation; /* of the cache, noted before the store was asked */
    char vault_name[STORE_VAULT_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char version[STORE_VERSION_LEN + 1];
};

/** Allocates `size` zeroed bytes that begin with a vault_job, and fills it. NULL: `done` was called
 *  (KW_E_NOMEM; KW_E_INPUT for a name, KW_E_NOT_FOUND for a version, that cannot exist). */
void *vault_job_create(size_t size, struct vault *vault, struct gw_loop *loop,
                       const char *vault_name, struct kw_span name, struct kw_span version,
                       vault_key_fn *done, void *ctx);
struct store_ref vault_job_ref(const struct vault_job *job);
/** Calls `done` and frees the job. `key` stays the caller's. */
void vault_job_end(struct vault_job *job, kw_status status, struct vault_key *key);
/** Forgets what the cache has of the job's object. */
void vault_job_drop(const struct vault_job *job);

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

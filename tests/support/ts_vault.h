#pragma once
/* A vault over a real store, a real pool (the core alone) and a real domain, its calls made
 * blocking. */

#include "gateway/vault/vault.h"
#include "tests/support/ts_store.h"

struct ts_vault {
    char dir[64];
    struct kc_domain *domain;
    struct store *store;
    struct pool *pool;
    struct pool_port *port;
    struct ts_loop *loop;
    struct vault *vault;
};

struct ts_vault *ts_vault_create(void);
void ts_vault_destroy(struct ts_vault *tv);

/** What a key call answered; holds a reference. */
struct ts_key_answer {
    bool done;
    unsigned calls;
    kw_status status;
    struct vault_key *key;
};

/** vault_key_fn with a struct ts_key_answer as its context. */
void ts_key_take(void *ctx, kw_status status, struct vault_key *key);
/** Waits for the answer. The key is the caller's to unref when `key` is not NULL, else dropped. */
kw_status ts_key_finish(struct ts_vault *tv, struct ts_key_answer *answer, struct vault_key **key);

kw_status ts_key_create(struct ts_vault *tv, const char *name, enum kw_kty kty,
                        struct vault_key **key);
kw_status ts_key_get(struct ts_vault *tv, const char *name, const char *version,
                     struct vault_key **key);
kw_status ts_key_delete(struct ts_vault *tv, const char *name);
kw_status ts_key_enable(struct ts_vault *tv, const char *name, const char *version, bool enabled);

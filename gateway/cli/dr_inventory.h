#pragma once
/* What a store or a backup holds, version by version: enough to say whether two of them hold the
 * same. Secrets leave nothing here but the digest of their record. */

#include "crypto/domain/domain.h"
#include "gateway/store/store.h"
#include "gateway/vault/keys/keys.h"

/** Of a key version. */
struct dr_key {
    struct kc_public pub;
    uint16_t ops;
    bool hsm, resident, managed, exchange, enabled;
    int64_t nbf, exp;
};

struct dr_object {
    char vault[STORE_VAULT_MAX + 1];
    enum store_kind kind;
    char name[STORE_NAME_MAX + 1];
    char version[STORE_VERSION_LEN + 1];
    int64_t created, deleted_at;
    uint8_t digest[32]; /* SHA-256 of the record's plain text */
    struct dr_key *key; /* of STORE_KEY; else NULL */
};

struct dr_inventory {
    struct dr_object *list;
    size_t count, cap;
    kw_status status; /* the first thing that went wrong while it was gathered */
};

/** Adds one version: `plain` is its record. The failure stays in `status`. */
void dr_inventory_add(struct dr_inventory *inventory, const struct kc_domain *domain,
                      const char *vault, const struct store_row *row, struct kw_span plain);

/** Everything of the store in `data`, beside a gateway that runs or without one; nothing is
 *  changed. Records that do not open give KW_E_INTEGRITY. `error` gets a sentence. The caller
 *  clears `out` in both cases. */
KW_MUST_CHECK kw_status dr_inventory_of_store(struct dr_inventory *out, const char *data,
                                              const struct kc_domain *domain, char *error,
                                              size_t error_len);

/** How many versions a vault (NULL: all) has in the store, without opening any. */
KW_MUST_CHECK kw_status dr_count_of_store(size_t *versions, const char *data, const char *vault,
                                          char *error, size_t error_len);

/** By vault, kind, name and version; needed before a comparison. */
void dr_inventory_sort(struct dr_inventory *inventory);

/** Of two sorted ones: versions that both have and are equal, that differ, that only one has.
 *  `vault` NULL: all. The first names of each are told to `tell` (may be NULL). */
struct dr_difference {
    size_t same, changed, only_first, only_second;
};
typedef void dr_tell_fn(void *ctx, const struct dr_object *first, const struct dr_object *second);
void dr_compare(struct dr_difference *out, const struct dr_inventory *first,
                const struct dr_inventory *second, const char *vault, dr_tell_fn *tell, void *ctx);

/** Binary search in a sorted one. */
const struct dr_object *dr_inventory_find(const struct dr_inventory *inventory,
                                          const struct dr_object *like);
void dr_inventory_clear(struct dr_inventory *inventory);

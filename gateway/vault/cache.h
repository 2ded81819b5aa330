#pragma once
/* Objects of one kind that were used lately, shared by all loops. Sharded by object (vault and name
 * without case); an object holds its versions and which of them is the newest, as far as they are
 * known.
 *
 * Staleness. Each shard has a generation that every acknowledged change moves on. Whoever asks the
 * store notes the generation first; what the store answers is kept only if no change was published
 * in between. A change notes it too: if another one was published in between, the order in which
 * the two were committed is unknown, so the object is dropped and the next reader asks the store.
 */

#include "gateway/vault/kind.h"

struct vault_cache;

/** Room for about `capacity` versions. */
KW_MUST_CHECK kw_status vault_cache_create(struct vault_cache **out, size_t capacity);
void vault_cache_destroy(struct vault_cache *cache);

/** A new reference, or NULL. `version` empty: the newest. Any thread; no allocation. */
struct vault_object *vault_cache_peek(struct vault_cache *cache, const char *vault,
                                      struct kw_span name, struct kw_span version);

/** To be noted before the store is asked. */
uint64_t vault_cache_generation(struct vault_cache *cache, const char *vault, struct kw_span name);

/** Keeps what a read of the store gave, unless a change was published since `generation`. */
void vault_cache_fill(struct vault_cache *cache, struct vault_object *item, bool newest,
                      uint64_t generation);

/** A durable change of one version, before it is acknowledged: visible to every later peek. */
void vault_cache_publish(struct vault_cache *cache, struct vault_object *item, bool newest,
                         uint64_t generation);

/** A change of the whole object, or one of unknown outcome: forgets every version. */
void vault_cache_drop(struct vault_cache *cache, const char *vault, struct kw_span name);

/** Everything of a vault was exchanged: forgets it, and keeps nothing that was read before. */
void vault_cache_drop_vault(struct vault_cache *cache, const char *vault);

/** How many versions are kept. */
size_t vault_cache_count(struct vault_cache *cache);

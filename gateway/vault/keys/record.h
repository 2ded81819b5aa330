#pragma once
/* What a record of the store says of a key, beside what every kind says (fields.h); sealed and
 * bound to its place (seal.h). */

#include "crypto/domain/domain.h"
#include "gateway/vault/keys/keys.h"

/** Writes what `key` says, with its public half, as a sealed record; `*out` is malloc'd. */
KW_MUST_CHECK kw_status vault_record_seal(const struct kc_domain *domain,
                                          const struct vault_key *key, const struct kc_public *pub,
                                          uint8_t **out, size_t *out_len);

/** Opens the record of `row` into a new key without its pool half (`key` is NULL), and its public
 *  half. KW_E_INTEGRITY when it was changed, moved or is of another domain; KW_E_UNSUPPORTED when a
 *  newer program wrote it. */
KW_MUST_CHECK kw_status vault_record_open(const struct kc_domain *domain, const char *vault,
                                          const struct store_row *row, struct vault_key **out,
                                          struct kc_public *pub);

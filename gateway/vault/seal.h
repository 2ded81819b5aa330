#pragma once
/* Records bound to their place: kind, vault, name and version are the additional data of the seal,
 * so that a record that was changed, or moved to another name, does not open. Plain text is wiped
 * on every way out. */

#include "crypto/domain/domain.h"
#include "gateway/vault/kind.h"

/** Seals for a place, of which all members are needed. `*out` is malloc'd; `plain` stays the
 *  caller's. Any thread. */
KW_MUST_CHECK kw_status vault_seal_at(const struct kc_domain *domain, const struct store_ref *place,
                                      struct kw_span plain, uint8_t **out, size_t *out_len);

/** Seals `plain`, which is wiped and freed whatever comes of it; `*out` is malloc'd. */
KW_MUST_CHECK kw_status vault_seal(const struct kc_domain *domain, const struct vault_object *place,
                                   struct kw_buf *plain, uint8_t **out, size_t *out_len);

/** Opens the record of `row`; `plain->data` is malloc'd, the caller wipes it with vault_plain_free.
 *  KW_E_INTEGRITY when it was changed, moved or is of another domain. */
KW_MUST_CHECK kw_status vault_unseal(const struct kc_domain *domain, enum store_kind kind,
                                     const char *vault, const struct store_row *row,
                                     struct kw_buf *plain);
void vault_plain_free(struct kw_buf *plain);

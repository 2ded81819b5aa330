#pragma once
/* Records as they lie in the store: sealed under the domain and bound to their place (vault, kind,
 * name, version), so that one that was changed, or moved elsewhere, does not open. Names are bound
 * without case, as they compare. For every kind of object; what the plain form says is the business
 * of each kind. */

#include "crypto/domain/domain.h"
#include "gateway/store/store.h"

/** `*out` is malloc'd. `place` needs all its members. Any thread. */
KW_MUST_CHECK kw_status vault_seal(const struct kc_domain *domain, const struct store_ref *place,
                                   struct kw_span plain, uint8_t **out, size_t *out_len);

/** `out->data` is malloc'd and holds what may be secret: vault_plain_free. KW_E_INTEGRITY when it
 *  was changed, moved or is of another domain. Any thread. */
KW_MUST_CHECK kw_status vault_unseal(const struct kc_domain *domain, const struct store_ref *place,
                                     struct kw_span sealed, struct kw_buf *out);

/** Wipes and frees. */
void vault_plain_free(struct kw_buf *plain);

#pragma once
/* The security domain of a data directory: its key file and its store belong together. */

#include "crypto/domain/domain.h"
#include "gateway/store/store.h"

/** Opens the domain of `data` and holds it against the store's check value; a store without one
 * takes it now. With `create`, a data directory that has neither key nor check value gets a new
 * domain. KW_E_INTEGRITY: the key is not this store's. `error` gets a sentence. The caller owns
 * `out`. */
KW_MUST_CHECK kw_status gw_domain_open(struct kc_domain **out, struct store *store,
                                       const char *data, bool create, char *error,
                                       size_t error_len);

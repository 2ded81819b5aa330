#pragma once
/* The security domain of a data directory: its key file and its store belong together. */

#include "crypto/domain/domain.h"
#include "gateway/config/config.h"
#include "gateway/store/store.h"

/** Opens the domain of `config`'s data directory and holds it against the store's check value; a
 * store without one takes it now. With `create`, a data directory that has neither key nor check
 * value gets a new domain; without it that is KW_E_NOT_FOUND. A key that was uploaded takes its
 * place first, where it may, and the members of `config` are to join it. KW_E_INTEGRITY: the key is
 * not this store's. `error` gets a sentence. The caller owns `out`. */
KW_MUST_CHECK kw_status gw_domain_open(struct kc_domain **out, struct store *store,
                                       const struct gw_config *config, bool create, char *error,
                                       size_t error_len);

/** Rows that the store keeps under its domain, live and deleted, of all vaults. KW_E_IO with a
 *  sentence. Blocks. */
KW_MUST_CHECK kw_status gw_domain_objects(size_t *count, const char *data, char *error,
                                          size_t error_len);

/** May `domain` become the domain of `data`? KW_E_CONFLICT, with a sentence, when the store has
 *  objects of another one. Blocks. */
KW_MUST_CHECK kw_status gw_domain_fits(const struct kc_domain *domain, struct store *store,
                                       const char *data, char *error, size_t error_len);

/** The check value of the domain that the store belongs to; empty: none yet, or not readable. */
void gw_domain_lost(char check[2 * KC_DOMAIN_CHECK_LEN + 1], struct store *store);

/* Setting of the store: why the last upload was not taken at the start after it. */
#define GW_DOMAIN_UPLOAD_SETTING "domain_upload_error"
#define GW_DOMAIN_UPLOAD_TAKEN   "none"

#pragma once
/* The domain key's file, DATA/domain.key: 32 bytes, mode 0600. */

#include "crypto/domain/domain.h"

#define GW_DOMAIN_KEY_FILE "domain.key"

/** Reads the key. KW_E_NOT_FOUND when there is no file; KW_E_FORBIDDEN when others may read it;
 *  `error` gets a sentence. The caller owns `out`. */
KW_MUST_CHECK kw_status gw_domain_key_read(struct kc_domain **out, const char *data, char *error,
                                           size_t error_len);

/** Makes a new domain and writes its key, durably. KW_E_CONFLICT when a file is there. */
KW_MUST_CHECK kw_status gw_domain_key_create(struct kc_domain **out, const char *data, char *error,
                                             size_t error_len);

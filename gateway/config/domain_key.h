#pragma once
/* The domain key's file, DATA/domain.key: 32 bytes, mode 0600. */

#include "crypto/domain/domain.h"

#define GW_DOMAIN_KEY_FILE "domain.key"
/* A key that was uploaded and takes the place of the other at the next start. */
#define GW_DOMAIN_NEXT_FILE "domain.key.next"

/** Reads the key. KW_E_NOT_FOUND when there is no file; KW_E_FORBIDDEN when others may read it;
 *  `error` gets a sentence. The caller owns `out`. */
KW_MUST_CHECK kw_status gw_domain_key_read(struct kc_domain **out, const char *data, char *error,
                                           size_t error_len);

/** Makes a new domain and writes its key, durably. KW_E_CONFLICT when a file is there. */
KW_MUST_CHECK kw_status gw_domain_key_create(struct kc_domain **out, const char *data, char *error,
                                             size_t error_len);

/** Writes the key of a domain that was made already; KW_E_CONFLICT when a file is there. */
KW_MUST_CHECK kw_status gw_domain_key_keep(const struct kc_domain *domain, const char *data,
                                           char *error, size_t error_len);

/** Writes the key of `domain` as the next one, durably. */
KW_MUST_CHECK kw_status gw_domain_next_write(const struct kc_domain *domain, const char *data,
                                             char *error, size_t error_len);
/** Reads the next key; as gw_domain_key_read. */
KW_MUST_CHECK kw_status gw_domain_next_read(struct kc_domain **out, const char *data, char *error,
                                            size_t error_len);
/** The next key becomes the key: a crash leaves one or the other. The old one is overwritten. */
KW_MUST_CHECK kw_status gw_domain_next_take(const char *data, char *error, size_t error_len);
/** Overwrites and removes the next key. */
void gw_domain_next_drop(const char *data);

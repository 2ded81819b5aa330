#pragma once
/* Who a member is: the serial number of the token that was joined under its name and the check
 * value of the security domain it was joined to. Written when a token first serves, compared at
 * every start, replaced only by an operator's word. `member-NAME.json` in the state directory. */

#include "crypto/domain/domain.h"

#define POOL_DOMAIN_CHECK_LEN 16

struct pool_identity {
    char serial[17];                            /* may be empty: a token that tells none */
    char domain[2 * POOL_DOMAIN_CHECK_LEN + 1]; /* lower-case hex */
};

/** The check value of a domain: HMAC-SHA-256 under its member wrapping key of a fixed text, cut to
 *  16 bytes, in hex. It tells domains apart and nothing about the key. */
KW_MUST_CHECK kw_status pool_domain_check(char out[2 * POOL_DOMAIN_CHECK_LEN + 1],
                                          const struct kc_domain *domain);

/** A serial number as it is written down: what is no plain character becomes '?'. */
void pool_identity_serial(char out[17], const char *text);

/** KW_E_NOT_FOUND: no token was joined under this name yet. KW_E_IO: cannot be read. */
KW_MUST_CHECK kw_status pool_identity_load(struct pool_identity *out, const char *dir,
                                           const char *member);
/** Durable after KW_OK. */
KW_MUST_CHECK kw_status pool_identity_store(const char *dir, const char *member,
                                            const struct pool_identity *identity);
/** Forgets who the member was. */
KW_MUST_CHECK kw_status pool_identity_remove(const char *dir, const char *member);

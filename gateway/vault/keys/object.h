#pragma once
/* The key object itself, and names of objects. */

#include "gateway/vault/keys/keys.h"

/** ASCII lower case, whatever the locale: what "without case" means for names here and in SQLite.
 */
static inline char vault_fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/** A key with one reference and nothing but its names; NULL when memory is short or a name does not
 *  fit. */
struct vault_key *vault_key_new(const char *vault, const char *name, const char *version);

/** A version's 32 hex digits as the 16 bytes of the key id. KW_E_INPUT for anything else. */
KW_MUST_CHECK kw_status vault_version_id(uint8_t id[KW_KEY_ID_LEN], const char *version);
void vault_version_text(char out[STORE_VERSION_LEN + 1], const uint8_t id[KW_KEY_ID_LEN]);

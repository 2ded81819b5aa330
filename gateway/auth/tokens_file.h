#pragma once
/* tokens.json: {"tokens":[{"id":"ci","sha256":"<64 hex>","created":1760000000,
 * "principal":"<GUID>","access":"full"}, ...]}. Only hashes are kept: a token is 256 random bits,
 * so its SHA-256 can neither be guessed nor turned back. `access` says "full" (also where it is
 * missing: everything may be done) or "assigned" (what the role assignments of `principal` say). */

#include "crypto/base/span.h"
#include "crypto/base/status.h"
#include "gateway/base/guid.h"

#include <stdbool.h>

#define GW_TOKEN_ID_MAX 63
#define GW_TOKEN_HASH   32

struct gw_token {
    char id[GW_TOKEN_ID_MAX + 1];
    uint8_t hash[GW_TOKEN_HASH];
    int64_t created; /* wall seconds, 0: not known */
    bool full;       /* may do everything; else what is assigned to the principal */
    uint8_t principal[GW_GUID_LEN];
};

struct gw_token_set {
    struct gw_token *tokens;
    size_t count;
};

/** Reads and checks the file. `error` gets a sentence with file and line on failure. */
KW_MUST_CHECK kw_status gw_tokens_load(struct gw_token_set *out, const char *file, char *error,
                                       size_t error_len);
void gw_token_set_free(struct gw_token_set *set);
/** Adds one; the id must be new and of letters, digits, '-', '_', '.', '@'. KW_E_INPUT for another
 *  id, KW_E_CONFLICT for one that is there. */
KW_MUST_CHECK kw_status gw_token_set_add(struct gw_token_set *set, const struct gw_token *token);
/** SHA-256. */
KW_MUST_CHECK kw_status gw_token_hash(struct kw_span token, uint8_t out[GW_TOKEN_HASH]);

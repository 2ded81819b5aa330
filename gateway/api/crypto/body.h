#pragma once
/* The members of a key operation's body, as text still encoded. Two readers: a scan for the common
 * shape, and jansson for everything else; what the scan takes, jansson takes with the same result.
 */

#include "gateway/api/error.h"

/** `data` is NULL for a member that is absent. id, op and key stand in elements of a batch only. */
struct gw_crypto_body {
    struct kw_span id, op, key;
    struct kw_span alg, value, digest, iv, aad, tag;
};

#define GW_BATCH_ID_MAX 128

/** Reads a body; spans borrow from `json` or the arena. `batch`: id, op and key are looked at too.
 */
bool gw_crypto_body_read(struct kw_span json, bool batch, struct gw_arena *arena,
                         struct gw_crypto_body *out, struct gw_fault *fault);

/** The scan alone: an object of known members whose values are plain ASCII strings without escapes,
 *  each at most once. False for anything else, valid or not. */
bool gw_crypto_body_scan(struct kw_span json, struct gw_crypto_body *out);
/** The full reader alone. */
bool gw_crypto_body_parse(struct kw_span json, bool batch, struct gw_arena *arena,
                          struct gw_crypto_body *out, struct gw_fault *fault);

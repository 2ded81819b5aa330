#pragma once
/* Typed reading of request bodies. Every getter: absent and null are the same; a wrong type or
 * range fills the fault with a text that names the member and returns false. Unknown members are
 * ignored.
 *
 * jansson does the parsing (duplicates refused); its memory is wiped when it is freed, because
 * bodies carry private keys and plaintext. */

#include <jansson.h>
#include <stdbool.h>

#include "gateway/api/error.h"

#define GW_JSON_DEPTH 16

/** From now on jansson wipes what it frees; for those who use it without gw_json_parse. Any thread.
 */
void gw_json_wipes(void);

/** Parses an object. The caller drops it with json_decref. NULL with the fault filled for an empty
 *  body, a syntax error (with line and column), duplicate members, nesting over GW_JSON_DEPTH,
 *  anything but an object, or no memory. */
json_t *gw_json_parse(struct kw_span body, struct gw_fault *fault);

/** Borrowed from the object; `out->data` is NULL when absent. At most `max` bytes of UTF-8. */
bool gw_json_string(const json_t *object, const char *name, size_t max, struct kw_span *out,
                    struct gw_fault *fault);
bool gw_json_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *out,
                 bool *present, struct gw_fault *fault);
bool gw_json_bool(const json_t *object, const char *name, bool *out, bool *present,
                  struct gw_fault *fault);
/** Borrowed; NULL when absent. */
bool gw_json_object(const json_t *object, const char *name, json_t **out, struct gw_fault *fault);
bool gw_json_array(const json_t *object, const char *name, json_t **out, struct gw_fault *fault);
/** base64url into the arena; `out->data` is NULL when absent, at most `max` bytes. */
bool gw_json_bytes(const json_t *object, const char *name, size_t max, struct gw_arena *arena,
                   struct kw_span *out, struct gw_fault *fault);

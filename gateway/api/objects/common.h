#pragma once
/* What the resources share (keys, secrets, certificates): names and versions in paths, attributes
 * and tags in bodies. */

#include <jansson.h>

#include "gateway/api/error.h"
#include "gateway/api/site.h"
#include "gateway/vault/kind.h"

/** Reads `attributes` (enabled, nbf, exp) and `tags` of `root`. `enabled` is true when it is
 * absent. Strings are copied into the arena. */
bool gw_change_read(const json_t *root, struct gw_arena *arena, struct vault_change *out,
                    struct gw_fault *fault);
/** As the attributes of a new object. */
struct vault_attributes gw_change_attributes(const struct vault_change *change);

/** Characters, not bytes: continuation bytes of UTF-8 are not counted. The text is valid UTF-8. */
size_t gw_utf8_chars(const char *text, size_t len);

/** 1 to 127 letters, digits and '-'. */
bool gw_object_name_ok(struct kw_span name);
/** Writes the 32 hex digits of a version in lower case. False when it is none. */
bool gw_version_lower(struct kw_span version, char out[STORE_VERSION_LEN]);

/** Parameter `index` of the path as a version: empty, or 32 hex digits made lower case. Answers
 *  404 and returns false for anything else. */
bool gw_version_param(struct gw_request *req, size_t index, struct kw_span *version);

/** The text "name" or "name/version" that errors speak of. */
struct kw_span gw_object_subject(const struct gw_request *req);

/** A NUL-terminated copy of the first path parameter. NULL (and answered) without memory. */
const char *gw_name_param(struct gw_request *req);

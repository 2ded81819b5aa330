#pragma once
/* Files that must be whole after a crash. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"

/** Writes `content` to `path` with exactly `mode`: temporary file beside it, fsync, rename, fsync
 * of the folder. A crash leaves the old file or the new one. `error` gets a sentence on failure. */
KW_MUST_CHECK kw_status gw_write_durable(const char *path, struct kw_span content, unsigned mode,
                                         char *error, size_t error_len);

/** Renames and syncs the folder: a crash leaves the old state or the new one. */
KW_MUST_CHECK kw_status gw_rename_durable(const char *from, const char *to, char *error,
                                          size_t error_len);

/** Makes a folder and its parents (0755); the last one gets 0700. An existing folder is left as it
 *  is. */
KW_MUST_CHECK kw_status gw_make_folder(const char *path, char *error, size_t error_len);

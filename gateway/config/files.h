#pragma once
/* Inside gateway/config: paths and files that the configuration names. */

#include "gateway/config/config.h"
#include "gateway/config/document.h"

#define GW_CONFIG_FILE_MAX (256 * 1024)

/** The folder of `file`, for relative paths; malloc'd. */
char *gw_config_folder(const char *file);
/** `path` as it is when absolute, else under `base`; malloc'd. NULL for a NULL path. */
char *gw_config_path(const char *base, const char *path);
/** DIR/NAME; malloc'd. */
char *gw_config_join(const char *dir, const char *name);
/** A bind with the path of "unix:PATH" made absolute; malloc'd. */
char *gw_config_bind(const char *base, const char *bind);

/** Reads a whole regular file of at most `max` bytes; `*text` is malloc'd and NUL-terminated. On
 *  failure `error` gets a sentence. */
KW_MUST_CHECK kw_status gw_config_read(const char *file, size_t max, char **text, size_t *len,
                                       char *error, size_t error_len);

/** Certificate and key of one listener: readable, PEM, belonging together. */
void gw_config_check_tls(struct gw_document *doc, const char *path,
                         const struct gw_listener_config *listener);

#pragma once
/* A SAS token from its file. */

#include "gateway/backup/place.h"

/** The file's only line, without a '?' before it. KW_E_IO, KW_E_INPUT with a sentence in `error`
 *  (BACKUP_ERROR bytes). Wipe `out` after use. */
KW_MUST_CHECK kw_status backup_token_read(char out[BACKUP_TOKEN_MAX + 1], const char *file,
                                          char *error);

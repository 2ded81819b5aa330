#pragma once
/* Small files about members in the state directory: mode 0600, replaced as a whole, durable. */

#include <stddef.h>

#include "crypto/base/status.h"

#define POOL_STATE_PATH 4096

/** Writes DIR/PREFIX-and-member.json to `out` (POOL_STATE_PATH bytes). Names of letters, digits,
 * '-',
 *  '_' and '.', which are all that a configuration allows, stay apart; other characters become '_'.
 *  KW_E_TOO_LARGE when it does not fit. */
KW_MUST_CHECK kw_status pool_state_path(char *out, const char *dir, const char *prefix,
                                        const char *member);
/** Reads a file of at most `cap` - 1 bytes and ends it with a zero byte. KW_E_NOT_FOUND when there
 *  is none, else KW_E_IO. Does not follow a link. */
KW_MUST_CHECK kw_status pool_state_read(const char *path, char *out, size_t cap, size_t *len);
/** Replaces a file so that after KW_OK its new content survives a crash. */
KW_MUST_CHECK kw_status pool_state_write(const char *dir, const char *path, const char *text,
                                         size_t len);
/** Removes a file durably; KW_OK when there is none. */
KW_MUST_CHECK kw_status pool_state_remove(const char *dir, const char *path);

#pragma once
/* The data directory: its modes and its lock. */

#include "crypto/base/status.h"

#include <stddef.h>

/** Makes `dir` (0700) when it is not there, refuses one that others may write, and takes the lock
 *  `dir`/keyward.lock for this process: a second gateway on the same data is refused with the
 *  holder's process id in `error`. `*lock_fd` is close-on-exec; closing it gives the lock back.
 *  KW_E_CONFLICT: locked by another; KW_E_IO; KW_E_FORBIDDEN: modes. */
KW_MUST_CHECK kw_status store_dir_open(int *lock_fd, const char *dir, char *error,
                                       size_t error_len);

/** Makes `path` (0600) when it is not there and takes away what group and others may do. */
KW_MUST_CHECK kw_status store_file_prepare(const char *path, char *error, size_t error_len);

/** fsync of a directory, so that names made in it survive a crash. */
KW_MUST_CHECK kw_status store_dir_sync(const char *dir);

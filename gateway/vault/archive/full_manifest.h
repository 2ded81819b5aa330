#pragma once
/* manifest.json of a full backup: what is in the archive beside it, for people and tools. It says
 * nothing that does not follow from the archive, so it is checked by making it again. */

#include "gateway/vault/archive/export.h"

#define FULL_ARCHIVE      "archive.kwar"
#define FULL_MANIFEST     "manifest.json"
#define FULL_MANIFEST_MAX 65536

/** The text, malloc'd and NUL-terminated; NULL when memory is short. `info` is that of a job that
 *  has written, or read, the archive to its end. */
char *full_manifest_text(const struct vault_transfer_info *info);

#pragma once
/* Where full backups lie: a local or mounted folder, "file:///PATH", below one of the folders that
 * the configuration allows, or a container of Azure Blob storage, "https://HOST/CONTAINER", with a
 * SAS token. A backup is a folder of its own with files in it; a file appears there
 * under its name when all of it is durable.
 *
 * Blocking: on the thread of a backup, never on a loop. */

#include <stdbool.h>
#include <stddef.h>

#include "crypto/base/span.h"
#include "crypto/base/status.h"

#define BACKUP_URI_MAX    1023
#define BACKUP_TOKEN_MAX  4095
#define BACKUP_FOLDER_MAX 127
#define BACKUP_ERROR      256

/** What the configuration allows; borrowed. */
struct backup_rules {
    char *const *folders;
    size_t folder_count;
    const char *ca; /* PEM file of authorities for storage; NULL: those of the system */
};

struct backup_place;

/** Asked between blocks; anything but KW_OK ends the call with it. */
typedef kw_status backup_go_on_fn(void *ctx);

/** KW_E_INPUT for an address that is not understood, KW_E_FORBIDDEN for one that is not allowed,
 *  KW_E_IO; `error` (BACKUP_ERROR bytes) gets a sentence. `token` may be empty. Opens the folder.
 */
KW_MUST_CHECK kw_status backup_place_open(struct backup_place **out,
                                          const struct backup_rules *rules, const char *uri,
                                          const char *token, char *error);
void backup_place_close(struct backup_place *place);
/** Both may be NULL after open, then nothing is asked. */
void backup_place_watch(struct backup_place *place, backup_go_on_fn *go_on, void *ctx);

/** May `folder` be the name of a backup? Letters, digits, '-', '_' and '.', not at its begin. */
bool backup_folder_ok(const char *folder);

/** Puts `size` bytes of `fd`, from its start, at FOLDER/NAME. */
KW_MUST_CHECK kw_status backup_put(struct backup_place *place, const char *folder, const char *name,
                                   int fd, uint64_t size, char *error);
/** FOLDER/NAME into `fd`, from its start. KW_E_NOT_FOUND; KW_E_TOO_LARGE over `max`. */
KW_MUST_CHECK kw_status backup_get(struct backup_place *place, const char *folder, const char *name,
                                   int fd, uint64_t max, uint64_t *size, char *error);
/** Takes the named files away, in this order, and then the folder when nothing else is in it. What
 *  is not there counts as removed; what others put there stays. */
KW_MUST_CHECK kw_status backup_remove(struct backup_place *place, const char *folder,
                                      const char *const *names, size_t count, char *error);

typedef void backup_found_fn(void *ctx, const char *folder);
/** Calls `found` for each folder whose name begins with `prefix`, in any order. */
KW_MUST_CHECK kw_status backup_list(struct backup_place *place, const char *prefix,
                                    backup_found_fn *found, void *ctx, char *error);

/** The path of "file:///PATH" or "file://localhost/PATH", decoded once; false: it is not one. */
bool backup_path_of(char *out, size_t len, const char *uri);

/** Is it there and can it be read, and with `writes` also written? */
KW_MUST_CHECK kw_status backup_probe(struct backup_place *place, bool writes, char *error);

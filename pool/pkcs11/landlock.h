#pragma once
/* What a member host sees of the file system in `strict`, by Landlock (Linux 5.13, landlock(7)).
 *
 *   read       /usr, /lib*, /proc/self, /dev/urandom, the folder of the module (of its name and of
 *              what that name is a link to), and what is in /etc when the host starts, except
 *              /etc/keyward, where other members' PINs may be
 *   read and write, make and remove   `paths` of the member; of SoftHSM, which is known by its file
 *              name, also directories.tokendir of the file that SOFTHSM2_CONF names, and that file
 *              is readable
 *
 * Opening, making, linking, renaming and removing anything else fails with EACCES (links and
 * renames across folders with EXDEV). What was open before stays open. Not restricted, because no
 * kernel does: stat, chmod, chown, and connecting to a Unix socket by its path; truncate by name
 * before Linux 6.2. */

#include <stdbool.h>
#include <stddef.h>

#include "crypto/base/span.h"
#include "crypto/base/status.h"

struct pool_landlock {
    const char *module;   /* path of the library */
    struct kw_span paths; /* each ended by a zero byte */
};

/** Version of the kernel's interface, 1 and up; 0: it has none, or does not let it be used. */
int pool_landlock_abi(void);

/** Restricts the calling thread and those it starts, for good. KW_OK too where the kernel has no
 *  Landlock. KW_E_NOT_FOUND: `wrong` gets the path of `paths` or the token store that cannot be
 *  opened. KW_E_UNSUPPORTED: the kernel has it and refused. PR_SET_NO_NEW_PRIVS must be on. */
KW_MUST_CHECK kw_status pool_landlock_enter(const struct pool_landlock *view, char *wrong,
                                            size_t wrong_len);

/** Reads directories.tokendir out of SoftHSM's configuration: `text` as it stands in the file.
 *  False: it has none, or one longer than `cap`. */
bool pool_landlock_token_folder(char *out, size_t cap, struct kw_span text);

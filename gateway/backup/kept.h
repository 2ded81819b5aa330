#pragma once
/* Which backups the schedule of a gateway has put at its place: what is in this list may be removed
 * by it, and nothing else. The text is a setting of the store; an entry is in it before the first
 * byte of the backup is written and until the last one is gone. One thread. */

#include "gateway/backup/place.h"

enum backup_kept_state {
    BACKUP_WRITING, /* begun; after a crash: not known to be whole */
    BACKUP_GOOD,    /* written, read back and verified */
    BACKUP_BAD,     /* not whole, or not verified */
    BACKUP_GOING    /* given up: its files are being removed */
};

struct backup_kept_entry {
    char folder[BACKUP_FOLDER_MAX + 1];
    int64_t at; /* wall seconds */
    uint64_t bytes;
    enum backup_kept_state state;
};

/** Oldest first. */
struct backup_kept {
    char to[BACKUP_URI_MAX + 1]; /* their place */
    char domain[32];             /* check value of the security domain they are sealed under */
    struct backup_kept_entry *list;
    size_t count;
};

#define BACKUP_KEPT_MAX  4000
#define BACKUP_KEPT_TEXT (1u << 20) /* bytes of the longest text */

/** KW_E_INTEGRITY: not such a text. The caller owns `out`: backup_kept_clear. */
KW_MUST_CHECK kw_status backup_kept_read(struct backup_kept *out, const char *text);
/** malloc'd; NULL when memory is short. */
char *backup_kept_text(const struct backup_kept *kept);
void backup_kept_clear(struct backup_kept *kept);

/** Adds one that is being written. KW_E_TOO_LARGE over BACKUP_KEPT_MAX. */
KW_MUST_CHECK kw_status backup_kept_add(struct backup_kept *kept, const char *folder, int64_t at);
/** Sets state and size. */
void backup_kept_mark(struct backup_kept *kept, const char *folder, enum backup_kept_state state,
                      uint64_t bytes);
void backup_kept_drop(struct backup_kept *kept, const char *folder);

/** The newest good one; NULL: there is none. */
const struct backup_kept_entry *backup_kept_newest(const struct backup_kept *kept);
size_t backup_kept_good(const struct backup_kept *kept);

/** Marks as going what is no longer needed at `now`: the good ones behind the newest `keep` (1 or
 *  more) that are older than `days`, and whatever else is older than the newest good one. Without a
 *  good one nothing goes. Gives how many are going. */
size_t backup_kept_expire(struct backup_kept *kept, int64_t now, unsigned keep, unsigned days);

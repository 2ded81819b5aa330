#pragma once
/* A scratch instance for a rehearsal: a folder of its own, a process of its own with the software
 * core, on Unix sockets. What it holds is wiped and removed at the end, whatever happens. */

#include <jansson.h>
#include <sys/types.h>

#include "gateway/cli/dr_backup.h"
#include "gateway/cli/operators.h"

#define DR_WHY 1024

struct dr_scratch {
    char dir[96];     /* empty: there is none */
    char config[112]; /* of its files */
    char control[112], api[112], data[112];
    pid_t pid; /* 0: none runs */
};

/** Makes folder and configuration below `base` (NULL: chosen by the room that `bytes` need), with
 *  the vaults of the backups, which it may read at `place`. `why` (DR_WHY bytes) gets a sentence.
 *  dr_scratch_remove in both cases. */
KW_MUST_CHECK kw_status dr_scratch_make(struct dr_scratch *out, const char *base, uint64_t bytes,
                                        const struct dr_place *place,
                                        const struct dr_backup *backups, size_t count, char *why);

/** Starts the process, waits until it answers, without a security domain. */
KW_MUST_CHECK kw_status dr_scratch_start(struct dr_scratch *scratch, char *why);

/** Recovers the domain by the way of every recovery: exchange key, transfer blob, upload. */
KW_MUST_CHECK kw_status dr_scratch_recover(struct dr_scratch *scratch,
                                           const struct cli_quorum *quorum, char *why);

/** Backs the empty vault up, as a restore asks for, then restores. */
KW_MUST_CHECK kw_status dr_scratch_restore(struct dr_scratch *scratch, const struct dr_place *place,
                                           const struct dr_backup *backup, char *why);

/** One request to the API of a vault; the answer's JSON, or NULL: `http` and `why` say what came.
 */
json_t *dr_scratch_call(struct dr_scratch *scratch, const char *vault, const char *method,
                        const char *path, const json_t *body, int *http, char *why);

/** Has the user asked for an end (SIGINT, SIGTERM, SIGHUP, which are blocked)? */
bool dr_interrupted(void);

/** Ends the process, overwrites and removes every file. False with `why`: something is left. */
bool dr_scratch_remove(struct dr_scratch *scratch, char *why);

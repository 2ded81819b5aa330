#pragma once
/* A throw-away SoftHSM token store for tests. */

#include <stdbool.h>

#define SOFTHSM_MODULE "/usr/lib/softhsm/libsofthsm2.so"

struct softhsm {
    char dir[64];   /* everything is below it */
    char state[96]; /* an empty directory for login records and locks */
};

/** Makes a store and points SOFTHSM2_CONF of this process at it. False when SoftHSM is not
 *  installed or the store cannot be made. */
bool softhsm_start(struct softhsm *hsm);

/** Initialises a token with a user PIN. */
bool softhsm_add_token(const struct softhsm *hsm, const char *label, const char *pin);

/** Writes a file below the store's directory with mode 0600; `path` (of 128 bytes) gets its path.
 */
bool softhsm_write(const struct softhsm *hsm, const char *name, const char *text, char path[128]);

/** Removes everything. */
void softhsm_stop(struct softhsm *hsm);

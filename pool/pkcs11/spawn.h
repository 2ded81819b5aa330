#pragma once
/* Starting a member host process. */

#include <sys/types.h>

#include "crypto/base/status.h"

/** Starts `program member-host` with one end of a new control socket as descriptor 3, nothing else
 *  open but 0 to 2, and an environment of the allow-list in spawn.c. `control` gets the other end:
 *  non-blocking, close-on-exec, owned by the caller, who also reaps `pid`. */
KW_MUST_CHECK kw_status pool_spawn_host(const char *program, pid_t *pid, int *control);

/** Processors for each of `hosts` processes of one member (at least 1) when all of those that this
 *  process may use are shared out. */
unsigned pool_spawn_processors(unsigned hosts);

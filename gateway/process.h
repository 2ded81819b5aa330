#pragma once
/* What the process asks of the system before it holds a secret, and what it tells the service
 * manager. */

#include "crypto/base/status.h"

/** No core dumps, no ptrace by the same user, SIGPIPE ignored, soft limits of open files and locked
 *  memory raised to the hard ones; SIGTERM, SIGINT and SIGHUP are blocked in this thread and all it
 *  makes (gw_app_run waits for them). Main thread, first thing. */
void gw_process_harden(void);

/** sd_notify(3); does nothing outside of systemd. */
void gw_notify(const char *state);
/** RELOADING=1 with the monotonic stamp that Type=notify-reload asks for. */
void gw_notify_reloading(void);

/** The same program with the same arguments in the place of this one: same process id, same
 * standard output. Every other descriptor must be closed on exec. Comes back only when it fails. */
void gw_process_again(void);

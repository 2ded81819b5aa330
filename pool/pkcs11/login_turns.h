#pragma once
/* First attempts with a PIN that are under way now. A PIN that no token has accepted yet is tried
 * by one member at a time: when it is wrong, one token has counted it and the others need not. */

#include <stdbool.h>

/** True: `member` has the turn to try the PIN with this fingerprint, until pool_login_turn_end.
 *  False: another member of this state directory is trying it. Any thread. */
bool pool_login_turn_take(const char *state_dir, const char *member, const char *fingerprint);

/** Ends the turn of a member, if it has one. Any thread. */
void pool_login_turn_end(const char *state_dir, const char *member);

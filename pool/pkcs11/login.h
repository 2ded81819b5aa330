#pragma once
/* The guard before every login. HSMs lock or erase keys after a few wrong PINs, so a PIN that was
 * refused is never tried again by itself, over restarts and crash loops too: what is about to be
 * tried is on disk before it is tried, and settled afterwards.
 *
 * One record per member, `login-NAME.json` in the state directory, mode 0600. PINs appear in it as
 * PBKDF2-HMAC-SHA-256 under a salt of the directory (`login.salt`), never in the clear. */

#include "crypto/base/span.h"
#include "crypto/base/status.h"

#include <stdbool.h>

struct pool_login {
    const char *state_dir;
    const char *member;
    struct kw_span serial; /* of the token, from its own information */
    struct kw_span pin;
    uint64_t flags;       /* CK_TOKEN_INFO.flags, read just now */
    bool operator_allows; /* an operator asked for one more try */
};

enum pool_login_outcome {
    POOL_LOGIN_GOOD,
    POOL_LOGIN_REFUSED, /* the token said the PIN is wrong, locked or expired */
    POOL_LOGIN_UNSPENT  /* failed for a reason that is no word about the PIN */
};

/** May this PIN be tried on this token now? KW_OK: the record says so durably and the attempt may
 * be made. KW_E_FORBIDDEN: no; `reason` is a text for operators, static. KW_E_BUSY: another member
 * of the same state directory is trying this PIN, which no token has accepted yet: ask again when
 * that is settled. KW_E_IO: the record cannot be kept, so nothing may be tried. Takes some tens of
 * milliseconds; supervisor thread. */
KW_MUST_CHECK kw_status pool_login_begin(const struct pool_login *login, const char **reason);

/** Writes down what came of the attempt that pool_login_begin allowed. */
KW_MUST_CHECK kw_status pool_login_settle(const struct pool_login *login,
                                          enum pool_login_outcome outcome);

/** The attempt that pool_login_begin allowed ended without a word, e.g. with its host: the record
 *  stays as it is, other members may go on. Without such an attempt nothing happens. */
void pool_login_abandon(const char *state_dir, const char *member);

/** Reads a PIN file: the first line, without its end. KW_E_FORBIDDEN when its mode lets others than
 *  the owner in (0600 or 0400 wanted) or it is no regular file; KW_E_INPUT when it is empty or
 * longer than 256 bytes; KW_E_IO otherwise. `reason` is static. */
struct kw_secret;
KW_MUST_CHECK kw_status pool_login_read_pin(const char *path, struct kw_secret *pin,
                                            const char **reason);

#pragma once
/* PKCS#11 return codes and what is done about each: the one table (PKCS#11 v2.40 section 11.1). */

#include <stddef.h>

#include "crypto/base/status.h"

/** What the member host does when a call on behalf of an operation ends with a code. */
enum pool_ckr_action {
    POOL_CKR_OK,          /* success, or a code that means the wanted state is there already */
    POOL_CKR_CALLER,      /* the request is wrong: final, no retry, no charge */
    POOL_CKR_UNSUPPORTED, /* this token cannot: use one that can */
    POOL_CKR_AMBIGUOUS,   /* a canary operation decides between the caller and the member */
    POOL_CKR_SESSION,     /* open a new session, same member once */
    POOL_CKR_KEY,         /* load the key again from its blob, same member once */
    POOL_CKR_LOGIN,       /* logged out: the host restarts and goes through the guarded login */
    POOL_CKR_SIZE,        /* the output needs more room than was offered */
    POOL_CKR_BUSY,        /* local shortage: another member, no charge */
    POOL_CKR_OTHER,       /* another member, counts against this one */
    POOL_CKR_RESTART,     /* another member; restart the host unless the canary still works */
    POOL_CKR_NEVER        /* credential or configuration: only an operator helps */
};

struct pool_ckr_row {
    unsigned long code;
    const char *name; /* without the CKR_ prefix */
    enum pool_ckr_action action;
    kw_status status; /* for CALLER: what the client is told; else the closest description */
};

/** The row of `code`; unknown codes and vendor codes (>= 0x80000000) get a row with action OTHER.
 *  Static storage; any thread. */
const struct pool_ckr_row *pool_ckr(unsigned long code);

/** All rows, for tests and documentation; `count` gets their number. */
const struct pool_ckr_row *pool_ckr_rows(size_t *count);

/** True for the codes of C_Login that say the credential itself was refused: that PIN must never be
 *  tried again by itself. */
int pool_ckr_refuses_pin(unsigned long code);

/** False for codes without a row of their own, vendor codes above all: what they say is not known,
 *  after C_Login not even whether the token counted an attempt. */
int pool_ckr_is_known(unsigned long code);

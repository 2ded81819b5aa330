#pragma once
/* The one result type of all three layers. A function that can fail returns it and nothing else;
 * text for humans is made in gateway/, never below. */

#define KW_MUST_CHECK __attribute__((warn_unused_result))

/** What came of a call. The order is part of no contract; the meaning is. */
typedef enum kw_status {
    KW_OK = 0,
    /* the caller's fault: answered with 4xx, never retried, never charged to a member */
    KW_E_INPUT,  /* malformed or out of range: length, encoding, parameter */
    KW_E_CRYPTO, /* a decryption or unwrap that failed; ONE code for every reason (no oracle) */
    KW_E_UNSUPPORTED, /* algorithm, size or key type that nobody here can do */
    KW_E_FORBIDDEN,   /* not permitted for this caller, key or moment */
    KW_E_NOT_FOUND,
    KW_E_CONFLICT, /* exists already, or is deleted but recoverable */
    KW_E_TOO_LARGE,
    /* our side's fault: answered with 5xx */
    KW_E_BUSY,        /* a bounded queue is full: 503 with Retry-After */
    KW_E_UNAVAILABLE, /* no member can serve now: 503 with Retry-After */
    KW_E_COPIES,      /* too few members are healthy for a new key's copies: 503 with Retry-After */
    KW_E_DEADLINE,    /* the operation's deadline passed: 503 */
    KW_E_NOMEM,
    KW_E_IO,        /* file, socket or database */
    KW_E_INTEGRITY, /* authenticated data does not verify: a changed record or blob, a wrong domain
                     */
    KW_E_INTERNAL   /* a bug or a broken invariant */
} kw_status;

/** Returns from the calling function with the status when `expr` is not KW_OK. */
#define KW_TRY(expr)                                                                               \
    do {                                                                                           \
        kw_status kw_try_status_ = (expr);                                                         \
        if (kw_try_status_ != KW_OK) {                                                             \
            return kw_try_status_;                                                                 \
        }                                                                                          \
    } while (0)

/** Name of a status for logs and metrics labels ("ok", "input", ...). Static storage; any thread.
 */
const char *kw_status_name(kw_status status);

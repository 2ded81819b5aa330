#pragma once
/* An operation as a request of the Key Vault data plane (api-version 7.4), and what its answer
 * says. Pure: no sockets, no state. */

#include "pool/member.h"

#define POOL_REMOTE_INPUT_MAX   (128u * 1024) /* input, iv, aad of one operation */
#define POOL_REMOTE_PATH_MAX    512u
#define POOL_REMOTE_VERSION_MAX 64u
#define POOL_REMOTE_NAME_MAX    127u
#define POOL_REMOTE_ANSWER_MAX                                                                     \
    (64u * 1024) /* of a key's bundle; an operation's own bound is smaller */

/** Can this kind of operation travel at all? Not GENERATE; not AES-GCM encryption, whose IV the
 *  remote end would choose itself. */
bool pool_remote_can(const struct pool_op *op);

/** Path and query of the operation on `name`/`version` (unused for RANDOM). KW_E_INPUT for a name
 * or version with other characters than letters, digits and '-'. */
KW_MUST_CHECK kw_status pool_remote_path(char path[POOL_REMOTE_PATH_MAX], const struct pool_op *op,
                                         const char *name, const char *version);

/** Path of the key's bundle; `version` NULL: of its latest version. */
KW_MUST_CHECK kw_status pool_remote_key_path(char path[POOL_REMOTE_PATH_MAX], const char *name,
                                             const char *version);

/** Bytes that the body takes at most. */
size_t pool_remote_body_size(const struct pool_op *op);
/** Writes the body. */
KW_MUST_CHECK kw_status pool_remote_body(struct kw_buf *out, const struct pool_op *op);

/** The largest answer to `op` that makes sense, in bytes. */
size_t pool_remote_answer_max(const struct pool_op *op);

/** Takes the result out of the body of a 200. KW_E_INPUT: it is not one; then the lane's output
 *  holds nothing of worth. */
KW_MUST_CHECK kw_status pool_remote_result(struct pool_op *op, struct kw_span body);

/** Does a key's bundle describe this key, held as an HSM-type key? For RSA and EC the public halves
 *  must be equal; an oct key shows nothing, so its version must be the very one asked for. KW_OK:
 *  yes, and `version` is what operations name it by. KW_E_NOT_FOUND: it is another key.
 *  KW_E_INPUT: not a bundle. */
KW_MUST_CHECK kw_status pool_remote_bundle(struct kw_span body, const struct kc_public *pub,
                                           const char *asked,
                                           char version[POOL_REMOTE_VERSION_MAX + 1]);

/** The record's own version text of a key: its id in hexadecimal. */
void pool_remote_version_of(const struct pool_key *key, char version[POOL_REMOTE_VERSION_MAX + 1]);

/* --- what a status means --- */

enum pool_remote_meaning {
    POOL_REMOTE_RESULT,   /* 200: read the body */
    POOL_REMOTE_CALLER,   /* the caller's fault: status in `lane.status` */
    POOL_REMOTE_LACKS,    /* it cannot do this algorithm or size */
    POOL_REMOTE_NO_KEY,   /* it has no such key, or may not use it */
    POOL_REMOTE_NO_ENTRY, /* the credential was refused */
    POOL_REMOTE_BUSY,     /* it asks for a pause of `pause_s` seconds */
    POOL_REMOTE_LOOP,     /* the request has been there before */
    POOL_REMOTE_BROKEN    /* its fault */
};

/** `status` of an answer; `retry_after_s` -1 when there was no such field. `pause_s` is set for
 *  BUSY: 1 to 60. `caller` is set for CALLER. */
enum pool_remote_meaning pool_remote_meaning(int status, const struct pool_op *op,
                                             int retry_after_s, int *pause_s, kw_status *caller);

/** Value of Retry-After (RFC 9110 section 10.2.3) in seconds; a date counts as 5. */
int pool_remote_retry_after(struct kw_span value);

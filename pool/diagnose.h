#pragma once
/* Looks at one member from the outside, step by step, without a running pool: for
 * `keyward doctor`. Each step depends on those before it; after the first failure the rest of the
 * chain is skipped. The vendor's library runs in a host process of its own that is killed at the
 * deadline. Blocks; not for an event loop. */

#include "pool/pool.h"

enum pool_outcome { POOL_STEP_OK, POOL_STEP_WARN, POOL_STEP_FAIL, POOL_STEP_SKIP };

/** Who probably has to act. */
enum pool_blame {
    POOL_BLAME_NONE,
    POOL_BLAME_NETWORK,
    POOL_BLAME_DEVICE,
    POOL_BLAME_CREDENTIAL,
    POOL_BLAME_CONFIG
};

#define POOL_FINDING_TEXT 400

struct pool_finding {
    const char *step; /* "dns", "tcp", "tls", "module", ...; static */
    enum pool_outcome outcome;
    enum pool_blame blame;
    char seen[POOL_FINDING_TEXT]; /* one sentence */
    char next[POOL_FINDING_TEXT]; /* what to do; "" when all is well */
};

#define POOL_FINDINGS_MAX 16

struct pool_diagnosis {
    struct pool_finding findings[POOL_FINDINGS_MAX];
    size_t count;
    char serial[17]; /* of the token that was found, or "" */
    char token[128]; /* what tells that token from others: maker, model, serial, label; or "" */
};

struct pool_diagnose_options {
    const char *state_dir;          /* login records and locks */
    const char *host_program;       /* NULL: /proc/self/exe */
    const struct kc_domain *domain; /* NULL: there is none to use, login and beyond are skipped */
    int64_t step_ns;                /* deadline of one step; 0: 10 s */
};

/** Runs the chain for a PKCS#11 member (for a core member: nothing to look at). A login is tried
 *  only where the member's record says that this very PIN was good on this token, and through the
 *  same guard as the gateway's. */
void pool_diagnose(struct pool_diagnosis *out, const struct pool_member_config *member,
                   const struct pool_diagnose_options *options);

/** The same for a remote member: dns, tcp, tls, certificate, token. Nothing is sent beyond the TLS
 *  handshake. `member` has a url and a token_file. */
void pool_diagnose_remote(struct pool_diagnosis *out, const struct pool_member_config *member,
                          const struct pool_diagnose_options *options);

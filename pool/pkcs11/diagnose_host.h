#pragma once
/* A member host started for a diagnosis: one at a time, waited for, killed at the end. */

#include <sys/types.h>

#include "pool/diagnose.h"
#include "pool/pkcs11/wire.h"

struct diagnose_host {
    pid_t pid; /* 0: none */
    int control;
    uint8_t *room; /* POOL_CONTROL_MAX bytes of secret memory */
    int wait_status;
};

/** Starts a host and sends it the member's configuration. */
KW_MUST_CHECK kw_status diagnose_host_start(struct diagnose_host *host,
                                            const struct pool_member_config *member,
                                            const struct pool_diagnose_options *options);

/** The next record of the host; `body` borrows from host->room. KW_E_DEADLINE: none came within
 *  `limit_ns`. KW_E_IO: the process ended (host->wait_status). KW_E_INPUT: not a record. */
KW_MUST_CHECK kw_status diagnose_host_wait(struct diagnose_host *host, struct kw_span *body,
                                           int64_t limit_ns);

KW_MUST_CHECK kw_status diagnose_host_login(struct diagnose_host *host,
                                            const struct kc_domain *domain, struct kw_span pin);

/** Signs with a key made for this, sent as a blob of the domain, and verifies the signature here.
 *  `why` gets a reason. */
KW_MUST_CHECK kw_status diagnose_host_sign(struct diagnose_host *host,
                                           const struct kc_domain *domain, int64_t limit_ns,
                                           char *why, size_t why_len);

/** Kills and reaps it. */
void diagnose_host_end(struct diagnose_host *host);

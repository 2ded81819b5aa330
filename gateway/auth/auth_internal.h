#pragma once
/* Inside gateway/auth: the set of tokens and the sources that are asked in turn. */

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/auth/auth.h"
#include "gateway/auth/tokens_file.h"

struct gw_auth {
    char *tokens_file; /* NULL: none */
    /* the set is read by loops that meet a token for the first time on a connection, and swapped by
     * a reload: both under the lock. `generation` changes with each swap, so that what connections
     * have remembered is asked again. */
    pthread_rwlock_t lock;
    struct gw_token_set from_file;
    struct gw_token_set in_memory;
    atomic_uint_fast64_t generation;
};

/** What a source says of a request. */
enum gw_auth_verdict {
    GW_AUTH_NOT_MINE, /* carries nothing that this source knows */
    GW_AUTH_ACCEPTED,
    GW_AUTH_REFUSED /* carries it, and it is wrong: no further source is asked */
};

typedef enum gw_auth_verdict gw_auth_source(struct gw_auth *auth, struct gw_request *req,
                                            struct gw_identity *out);

gw_auth_source gw_auth_bearer; /* bearer.c: static tokens */
gw_auth_source gw_auth_peer;   /* peer.c: credentials of a Unix socket */

/* Credentials of a Unix socket (SO_PEERCRED): the gateway's own user and root are known without a
 * token. The decision is on the uid alone; a pid can be reused. */

#include <stdio.h>
#include <unistd.h>

#include "gateway/auth/auth_internal.h"

#define OVERFLOW_UID 65534 /* a user of another namespace: nobody */

enum gw_auth_verdict gw_auth_peer(struct gw_auth *auth, struct gw_request *req,
                                  struct gw_identity *out)
{
    (void)auth;
    const struct gw_peer *peer = req->peer;
    if (!peer->local || peer->uid == OVERFLOW_UID || (peer->uid != 0 && peer->uid != geteuid()))
        return GW_AUTH_NOT_MINE;
    out->source = GW_IDENTITY_PEER;
    out->full = true; /* whoever is that user reads the data directory anyway */
    memset(out->principal, 0, sizeof out->principal);
    snprintf(out->subject, sizeof out->subject, "uid:%u", (unsigned)peer->uid);
    return GW_AUTH_ACCEPTED;
}

#pragma once
/* Handlers of the admin listener and the control socket; their rows are in gateway/api/routes.c. */

#include "gateway/http/request.h"

/* GW_FACE_ADMIN, open (the listener is for loopback or a management network) */
void gw_admin_index(struct gw_request *req); /* GET / : a page with links and the state in words */
void gw_admin_healthz(struct gw_request *req); /* GET /healthz : 200 while the loops turn */
void gw_admin_readyz(struct gw_request *req);  /* GET /readyz : 200 when requests can be served */
void gw_admin_metrics(struct gw_request *req); /* GET /metrics */
void gw_admin_status(struct gw_request *req);  /* GET /status.json ; also on GW_FACE_CONTROL */

/* GW_FACE_CONTROL: the CLI's Unix socket, mode 0600 */
/** POST /members/{name}/probe: a key made for it signs in that member, the core verifies; answers
 *  {"ok":...} with the time or the reason. */
void gw_admin_probe(struct gw_request *req);
void gw_admin_keys(struct gw_request *req);       /* GET /keys : kind, holders, where loaded */
void gw_admin_token_keys(struct gw_request *req); /* GET /tokens/keys : what is on the tokens */
/** POST /keys/{name}/adopt {"id":HEX | "label":TEXT, "member":M, "ops":[...]}: makes the record of
 * a key that lives on the tokens, after every member that holds it has shown that it is the same.
 */
void gw_admin_adopt(struct gw_request *req);
void gw_admin_membership(
    struct gw_request *req);                  /* POST /members/{name}/{add|remove|remove-forced} */
void gw_admin_member(struct gw_request *req); /* POST /members/{name}/{recover|drain|activate} */

#pragma once
/* Handlers of the security domain; their rows are in routes.c, for the API and the control socket.
 */

#include "gateway/http/request.h"

void gw_domain_download(struct gw_request *req);
void gw_domain_download_pending(struct gw_request *req);
void gw_domain_transfer_key(struct gw_request *req);
void gw_domain_upload(struct gw_request *req);
void gw_domain_upload_pending(struct gw_request *req);

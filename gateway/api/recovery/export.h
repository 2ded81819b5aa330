#pragma once
/* Handlers of exports and imports of whole vaults, an extension of keyward: of the API and of the
 * control socket alike. */

#include "gateway/http/request.h"

void gw_export_start(struct gw_request *req);
void gw_export_data(struct gw_request *req);
void gw_import_start(struct gw_request *req);
void gw_import_data(struct gw_request *req);
void gw_import_commit(struct gw_request *req);
/* of both */
void gw_transfer_get(struct gw_request *req);
void gw_transfer_drop(struct gw_request *req);

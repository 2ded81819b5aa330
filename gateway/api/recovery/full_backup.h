#pragma once
/* Handlers of full backup and restore: of the API and of the control socket alike. */

#include "gateway/http/request.h"

void gw_backup_start(struct gw_request *req);
void gw_backup_verify(struct gw_request *req);
void gw_prebackup_start(struct gw_request *req);
void gw_restore_start(struct gw_request *req);
void gw_restore_key_start(struct gw_request *req);
void gw_prerestore_start(struct gw_request *req);
void gw_backup_pending(struct gw_request *req);
void gw_restore_pending(struct gw_request *req);

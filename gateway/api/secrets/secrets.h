#pragma once
/* Handlers of the secrets resource; their rows are in routes.c. */

#include "gateway/http/request.h"

/* secrets.c */
void gw_secrets_set(struct gw_request *req);
void gw_secrets_get(struct gw_request *req);
void gw_secrets_update(struct gw_request *req);
void gw_secrets_list(struct gw_request *req);
void gw_secrets_versions(struct gw_request *req);
/* delete.c */
void gw_secrets_delete(struct gw_request *req);
void gw_secrets_list_deleted(struct gw_request *req);
void gw_secrets_get_deleted(struct gw_request *req);
void gw_secrets_recover(struct gw_request *req);
void gw_secrets_purge(struct gw_request *req);
/* backup.c */
void gw_secrets_backup(struct gw_request *req);
void gw_secrets_restore(struct gw_request *req);

#pragma once
/* Handlers of the certificates resource; their rows are in routes.c. */

#include "gateway/http/request.h"

/* certificates.c */
void gw_certs_get(struct gw_request *req);
void gw_certs_update(struct gw_request *req);
void gw_certs_policy_get(struct gw_request *req);
void gw_certs_policy_update(struct gw_request *req);
void gw_certs_list(struct gw_request *req);
void gw_certs_versions(struct gw_request *req);
/* create.c */
void gw_certs_create(struct gw_request *req);
void gw_certs_import(struct gw_request *req);
/* pending.c */
void gw_certs_pending_get(struct gw_request *req);
void gw_certs_pending_update(struct gw_request *req);
void gw_certs_pending_delete(struct gw_request *req);
void gw_certs_merge(struct gw_request *req);
/* delete.c */
void gw_certs_delete(struct gw_request *req);
void gw_certs_list_deleted(struct gw_request *req);
void gw_certs_get_deleted(struct gw_request *req);
void gw_certs_recover(struct gw_request *req);
void gw_certs_purge(struct gw_request *req);
void gw_certs_backup(struct gw_request *req);
void gw_certs_restore(struct gw_request *req);
/* issuers.c */
void gw_issuers_list(struct gw_request *req);
void gw_issuers_get(struct gw_request *req);
void gw_issuers_set(struct gw_request *req);
void gw_issuers_update(struct gw_request *req);
void gw_issuers_delete(struct gw_request *req);
void gw_contacts_get(struct gw_request *req);
void gw_contacts_set(struct gw_request *req);
void gw_contacts_delete(struct gw_request *req);

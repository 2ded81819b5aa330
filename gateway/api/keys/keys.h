#pragma once
/* Handlers of the keys resource; their rows are in routes.c, each in the file of its name. */

#include "gateway/http/request.h"

/* create.c, import.c */
void gw_keys_create(struct gw_request *req);
void gw_keys_import(struct gw_request *req);
/* get.c, list.c, update.c */
void gw_keys_get(struct gw_request *req);
void gw_keys_list(struct gw_request *req);
void gw_keys_versions(struct gw_request *req);
void gw_keys_update(struct gw_request *req);
/* delete.c */
void gw_keys_delete(struct gw_request *req);
void gw_keys_list_deleted(struct gw_request *req);
void gw_keys_get_deleted(struct gw_request *req);
void gw_keys_recover(struct gw_request *req);
void gw_keys_purge(struct gw_request *req);
/* backup.c */
void gw_keys_backup(struct gw_request *req);
void gw_keys_restore(struct gw_request *req);
/* rotate.c */
void gw_keys_rotate(struct gw_request *req);
void gw_keys_get_policy(struct gw_request *req);
void gw_keys_set_policy(struct gw_request *req);
/* release.c */
void gw_keys_release(struct gw_request *req);
void gw_keys_attestation(struct gw_request *req);
/* ../crypto/operations.c */
void gw_keys_sign(struct gw_request *req);
void gw_keys_verify(struct gw_request *req);
void gw_keys_encrypt(struct gw_request *req);
void gw_keys_decrypt(struct gw_request *req);
void gw_keys_wrap(struct gw_request *req);
void gw_keys_unwrap(struct gw_request *req);
/* rng.c */
void gw_rng(struct gw_request *req);
/* batch.c */
void gw_batch_begin(struct gw_request *req);
void gw_batch_piece(struct gw_request *req, struct kw_span piece);
void gw_batch_end(struct gw_request *req);
/** The body was larger than its limit: stops taking operations; the 413 is answered when those in
 *  flight are back. */
void gw_batch_too_large(struct gw_request *req);

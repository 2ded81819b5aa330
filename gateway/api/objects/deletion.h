#pragma once
/* What the API says of deletion and backup, for every kind of object alike. */

#include "gateway/api/error.h"
#include "gateway/api/site.h"
#include "gateway/vault/archive/backup.h"
#include "gateway/vault/lifecycle.h"

struct vault_terms gw_site_terms(const struct gw_site *site);

/** Members of "attributes": "recoveryLevel":"...","recoverableDays":N, without a comma around. */
void gw_write_recovery(struct gw_out *out, const struct gw_site *site);

/** 403: this vault keeps deleted objects to the end of their retention. */
bool gw_fault_purge_protected(struct gw_fault *fault, enum store_kind kind, struct kw_span name);
/** What came of a restore that failed. */
bool gw_fault_restore(struct gw_fault *fault, enum store_kind kind,
                      const struct vault_restored *what, const struct kc_domain *domain);

/** Body of a route that takes a backup, in bytes: gw_route.body_max. */
#define GW_BACKUP_BODY_MAX ((size_t)VAULT_BACKUP_MAX / 3 * 4 + 4096)

/** Answers with a backup of the object that the request names, all versions of it:
 *  {"value":"<base64url>"}. */
void gw_back_up(struct gw_request *req);
typedef void gw_backup_next_fn(struct gw_request *req, struct kw_span blob);
/** Reads {"value":"<base64url>"} of a restore, a large one beside the loop, then calls `next` on
 * the loop; `blob` lives for that call. What cannot be read is answered here. */
void gw_with_backup(struct gw_request *req, gw_backup_next_fn *next);

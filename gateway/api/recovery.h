#pragma once
/* What the API says of deletion and backup, for every kind of object alike. */

#include "gateway/api/error.h"
#include "gateway/api/site.h"
#include "gateway/vault/backup.h"
#include "gateway/vault/lifecycle.h"

struct vault_terms gw_site_terms(const struct gw_site *site);

/** Members of "attributes": "recoveryLevel":"...","recoverableDays":N, without a comma around. */
void gw_write_recovery(struct gw_out *out, const struct gw_site *site);

/** Words for one kind of object in texts and codes. */
struct gw_object_words {
    enum store_kind kind;
    const char *noun;      /* "Key" */
    const char *not_found; /* "KeyNotFound" */
};
extern const struct gw_object_words gw_words_key, gw_words_secret, gw_words_certificate;

/** 403: this vault keeps deleted objects to the end of their retention. */
bool gw_fault_purge_protected(struct gw_fault *fault, const struct gw_object_words *words,
                              struct kw_span name);
/** 409 with the innererror that the state asks for. */
bool gw_fault_conflict(struct gw_fault *fault, const struct gw_object_words *words,
                       enum store_conflict conflict, struct kw_span name);
/** What came of a restore that failed. */
bool gw_fault_restore(struct gw_fault *fault, const struct gw_object_words *words,
                      const struct vault_restored *what, const struct kc_domain *domain);

/** Answers a backup, {"value":"<base64url>"} or the fault. A vault_backup_fn's body: the request is
 *  `req`, of which the reference stays the caller's. */
void gw_reply_backup(struct gw_request *req, const struct gw_object_words *words, kw_status status,
                     struct kw_span blob);
/** Reads {"value":"<base64url>"} of a restore into the arena. */
bool gw_read_backup(struct gw_request *req, struct kw_span *blob, struct gw_fault *fault);

#pragma once
/* What the files of the certificates resource share: showing them, and what came of a call. */

#include "gateway/api/error.h"
#include "gateway/api/objects/common.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/api/objects/page.h"
#include "gateway/vault/certificates/certificates.h"
#include "gateway/vault/certificates/doc.h"

/** The name of the path, the version given, `done` with the request as its context, of which a
 *  reference is taken. */
struct vault_cert_call gw_cert_call(struct gw_request *req, struct kw_span version,
                                    vault_cert_fn *done);

/** A whole certificate; with `answer->cert` NULL what is known while the first one is made. */
void gw_cert_write_bundle(struct gw_out *out, struct gw_request *req,
                          const struct vault_cert_answer *answer, bool deleted);
/** Element of a page: a certificate or an operation. */
void gw_cert_write_item(struct gw_out *out, const struct gw_page *page,
                        const struct vault_object *object);
void gw_cert_write_policy(struct gw_out *out, struct gw_request *req, const json_t *policy);
void gw_cert_write_operation(struct gw_out *out, struct gw_request *req, const json_t *pending);

/** Standard base64 with padding, quoted. */
void gw_out_base64(struct gw_out *out, struct gw_arena *arena, struct kw_span bytes);
/** And back, white space left out; into the arena. False: something else. */
bool gw_base64_read(struct kw_span text, struct gw_arena *arena, struct kw_span *out);

/** What came of a call that failed. */
void gw_cert_reply_fault(struct gw_request *req, const struct vault_cert_answer *answer);
/** 404 for an operation that is not there. */
void gw_cert_reply_no_pending(struct gw_request *req);

/** vault_cert_fn: answers 200 with the bundle, and drops the reference. */
void gw_cert_reply_bundle(void *ctx, const struct vault_cert_answer *answer);

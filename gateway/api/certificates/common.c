/* Calls and answers that the files of the certificates resource share. */

#include "gateway/api/certificates/common.h"

#include "gateway/api/reply.h"
#include "gateway/api/site.h"

struct vault_cert_call gw_cert_call(struct gw_request *req, struct kw_span version,
                                    vault_cert_fn *done)
{
    const struct gw_site *site = gw_site_of(req);
    gw_request_ref(req);
    return (struct vault_cert_call){.vault = site->vault,
                                    .loop = req->loop,
                                    .vault_name = site->name,
                                    .name = req->params[0],
                                    .version = version,
                                    .done = done,
                                    .ctx = req};
}

/* Names are shown up to here: a message has room for that. */
static int shown(struct kw_span name)
{
    return name.len > 80 ? 80 : (int)name.len;
}

static void conflict(struct gw_fault *fault, const struct gw_request *req,
                     const struct vault_cert_answer *answer)
{
    struct kw_span name = req->params[0];
    enum store_kind kind = answer->conflict_kind;
    if (answer->in_progress)
        gw_fault_set(fault, 409, "Conflict", NULL,
                     "Certificate %.*s is being created: finish, cancel or delete the pending "
                     "operation first.",
                     shown(name), (const char *)name.data);
    else
        gw_fault_conflict(fault,
                          kind == STORE_KEY || kind == STORE_SECRET ? kind : STORE_CERTIFICATE,
                          answer->conflict, name);
}

void gw_cert_reply_fault(struct gw_request *req, const struct vault_cert_answer *answer)
{
    struct gw_fault fault;
    kw_status status = answer->status;
    if (answer->why && (status == KW_E_INPUT || status == KW_E_UNSUPPORTED))
        gw_fault_bad(&fault, "%s", answer->why);
    else if (status == KW_E_CONFLICT)
        conflict(&fault, req, answer);
    else
        gw_fault_status_of(&fault, STORE_CERTIFICATE, status, gw_object_subject(req));
    gw_reply_fault(req, &fault);
}

void gw_cert_reply_no_pending(struct gw_request *req)
{
    struct gw_fault fault;
    struct kw_span name = req->params[0];
    gw_fault_set(&fault, 404, "PendingCertificateNotFound", NULL,
                 "Pending certificate not found: %.*s", shown(name), (const char *)name.data);
    gw_reply_fault(req, &fault);
}

void gw_cert_reply_bundle(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 8192, 4u << 20);
        gw_cert_write_bundle(&out, req, answer, false);
        gw_reply_json(req, 200, &out);
    } else {
        gw_cert_reply_fault(req, answer);
    }
    gw_request_unref(req);
}

/* POST /keys/{name}/{version?}/release, GET /keys/{name}/{version?}/attestation: what would need an
 * attestation service or an HSM that attests its keys. No key here is exportable, so nothing is
 * released; the refusals come after it is known that the key is there. */

#include "gateway/api/json/read.h"
#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/app.h"

static void refuse_release(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    (void)key;
    if (status == KW_OK)
        gw_fault_set(&fault, 403, "Forbidden", "KeyOperationForbidden",
                     "Operation release is not permitted on this key: it is not exportable.");
    else
        gw_fault_status(&fault, status, gw_object_subject(req));
    gw_reply_fault(req, &fault);
    gw_request_unref(req);
}

static void refuse_attestation(void *ctx, kw_status status, struct vault_key *key)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    (void)key;
    if (status == KW_OK)
        gw_fault_bad(&fault, "Key attestation is not offered: the members that hold this key give "
                             "no attestation statements.");
    else
        gw_fault_status(&fault, status, gw_object_subject(req));
    gw_reply_fault(req, &fault);
    gw_request_unref(req);
}

static bool read_release(struct gw_request *req, struct gw_fault *fault)
{
    static const char *const wraps[] = {"CKM_RSA_AES_KEY_WRAP", "RSA_AES_KEY_WRAP_256",
                                        "RSA_AES_KEY_WRAP_384"};
    struct kw_span target, nonce, enc;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), fault);
    bool ok = root && gw_json_string(root, "target", 1u << 16, &target, fault) &&
              gw_json_string(root, "nonce", 1024, &nonce, fault) &&
              gw_json_string(root, "enc", 64, &enc, fault);
    if (ok && (!target.data || target.len == 0))
        ok = gw_fault_bad(fault, "Property 'target' is missing.");
    bool known = !ok || !enc.data;
    for (size_t i = 0; !known && i < sizeof wraps / sizeof wraps[0]; i++)
        known = kw_span_equal(enc, kw_span_str(wraps[i]));
    if (!known)
        ok = gw_fault_bad(fault, "Property 'enc' must be CKM_RSA_AES_KEY_WRAP, "
                                 "RSA_AES_KEY_WRAP_256 or RSA_AES_KEY_WRAP_384.");
    json_decref(root);
    return ok;
}

static void look_up(struct gw_request *req, vault_key_fn *done)
{
    const struct gw_site *site = gw_site_of(req);
    struct kw_span version;
    if (!gw_version_param(req, 1, &version))
        return;
    gw_request_ref(req);
    vault_key_get(site->vault, req->loop, site->name, req->params[0], version, done, req);
}

void gw_keys_release(struct gw_request *req)
{
    struct gw_fault fault;
    if (read_release(req, &fault))
        look_up(req, refuse_release);
    else
        gw_reply_fault(req, &fault);
}

void gw_keys_attestation(struct gw_request *req)
{
    look_up(req, refuse_attestation);
}

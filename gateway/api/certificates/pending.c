/* GET, PATCH, DELETE /certificates/{name}/pending, POST /certificates/{name}/pending/merge */

#include "gateway/api/certificates/certificates.h"

#include <string.h>

#include "gateway/api/certificates/common.h"
#include "gateway/api/json/read.h"
#include "gateway/api/reply.h"

static void reply_operation(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    bool found = answer->status == KW_OK && answer->pending;
    if (found) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 4096, 1u << 20);
        gw_cert_write_operation(&out, req, answer->pending);
        gw_reply_json(req, 200, &out);
    } else if (answer->status == KW_OK || answer->status == KW_E_NOT_FOUND) {
        gw_cert_reply_no_pending(req);
    } else {
        gw_cert_reply_fault(req, answer);
    }
    gw_request_unref(req);
}

void gw_certs_pending_get(struct gw_request *req)
{
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_operation);
    vault_cert_get(&call);
}

void gw_certs_pending_update(struct gw_request *req)
{
    struct gw_fault fault;
    bool cancel = false, present = false;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    bool ok = root && gw_json_bool(root, "cancellation_requested", &cancel, &present, &fault);
    json_decref(root);
    if (ok && !present)
        ok = gw_fault_bad(&fault, "Property 'cancellation_requested' is missing.");
    if (!ok) {
        gw_reply_fault(req, &fault);
        return;
    }
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_operation);
    vault_cert_cancel(&call, cancel);
}

void gw_certs_pending_delete(struct gw_request *req)
{
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_operation);
    vault_cert_forget(&call);
}

/* --- merge --- */

static void on_merged(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 8192, 4u << 20);
        gw_cert_write_bundle(&out, req, answer, false);
        gw_reply_json(req, 201, &out);
    } else if (answer->status == KW_E_NOT_FOUND) {
        gw_cert_reply_no_pending(req);
    } else {
        gw_cert_reply_fault(req, answer);
    }
    gw_request_unref(req);
}

/* Bytes of one element: DER; or text, which the service takes too and which clients send: the
 * base64 of DER once more, with or without the lines of PEM around it. */
static bool unwrap(struct kw_span *der, struct gw_arena *arena)
{
    static const char dashes[] = "-----";
    struct kw_span text = *der;
    if (text.len == 0 || text.data[0] == 0x30)
        return true;
    if (text.len > 10 && memcmp(text.data, dashes, 5) == 0) {
        const uint8_t *from = memmem(text.data + 5, text.len - 5, dashes, 5);
        const uint8_t *end = text.data + text.len;
        const uint8_t *to = from ? memmem(from + 5, (size_t)(end - from) - 5, dashes, 5) : NULL;
        if (!to)
            return false;
        text = kw_span_of(from + 5, (size_t)(to - from) - 5);
    }
    return gw_base64_read(text, arena, der);
}

static bool read_x5c(const json_t *root, struct gw_arena *arena,
                     struct gw_x509_bytes certs[GW_X509_CHAIN_MAX], size_t *count,
                     struct gw_fault *fault)
{
    json_t *list = NULL;
    struct gw_x509_info info;
    if (!gw_json_array(root, "x5c", &list, fault))
        return false;
    *count = json_array_size(list);
    if (*count < 1 || *count > GW_X509_CHAIN_MAX)
        return gw_fault_bad(fault, "Property 'x5c' must hold 1 to %d certificates.",
                            GW_X509_CHAIN_MAX);
    for (size_t i = 0; i < *count; i++) {
        const json_t *item = json_array_get(list, i);
        struct kw_span der;
        if (!json_is_string(item) ||
            !gw_base64_read(kw_span_of(json_string_value(item), json_string_length(item)), arena,
                            &der) ||
            !unwrap(&der, arena))
            return gw_fault_bad(fault, "Property 'x5c' must hold certificates (DER) in base64.");
        /* an authority's own key may be of a kind that is not offered here */
        kw_status status = gw_x509_read(&info, der);
        if (status != KW_OK && status != KW_E_UNSUPPORTED)
            return gw_fault_bad(fault, "Property 'x5c' holds something that is no certificate.");
        certs[i] = (struct gw_x509_bytes){(uint8_t *)der.data, der.len};
    }
    return true;
}

void gw_certs_merge(struct gw_request *req)
{
    struct gw_x509_bytes certs[GW_X509_CHAIN_MAX];
    struct vault_change change;
    struct gw_fault fault;
    size_t count = 0;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!root || !read_x5c(root, req->arena, certs, &count, &fault) ||
        !gw_change_read(root, req->arena, &change, &fault)) {
        gw_reply_fault(req, &fault);
    } else {
        const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, on_merged);
        vault_cert_merge(&call, certs, count, &change);
    }
    json_decref(root);
}

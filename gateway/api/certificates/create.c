/* POST /certificates/{name}/create, /certificates/{name}/import */

#include <stdlib.h>
#include <strings.h>

#include "gateway/api/aside.h"
#include "gateway/api/certificates/certificates.h"
#include "gateway/api/certificates/common.h"
#include "gateway/api/json/read.h"
#include "gateway/api/reply.h"

/* --- create --- */

/* Where to ask, and when: what signs itself is there with the next request, what somebody signs
 * takes longer. */
static void write_headers(struct gw_request *req, const json_t *pending)
{
    struct kw_span authority = gw_authority_of(req), version = {0};
    const json_t *issuer = json_object_get(json_object_get(pending, "policy"), "issuer");
    const char *name = json_string_value(json_object_get(issuer, "name"));
    const char *id = json_string_value(json_object_get(pending, "request_id"));
    gw_query_get(req, "api-version", &version);
    const char *location = gw_arena_printf(
        req->arena, "https://%.*s/certificates/%.*s/pending?api-version=%.*s&request_id=%s",
        (int)authority.len, (const char *)authority.data, (int)req->params[0].len,
        (const char *)req->params[0].data, (int)version.len, (const char *)version.data,
        id ? id : "");
    if (location)
        gw_reply_header(req, "location", location);
    gw_reply_header(req, "retry-after", name && strcasecmp(name, "Self") == 0 ? "1" : "10");
}

static void on_created(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    if (answer->status == KW_OK) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 4096, 1u << 20);
        write_headers(req, answer->pending);
        gw_cert_write_operation(&out, req, answer->pending);
        gw_reply_json(req, 202, &out);
    } else {
        gw_cert_reply_fault(req, answer);
    }
    gw_request_unref(req);
}

void gw_certs_create(struct gw_request *req)
{
    struct vault_change change;
    struct gw_fault fault;
    bool keep_order = false, present = false;
    json_t *policy = NULL, *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!root || !gw_json_object(root, "policy", &policy, &fault) ||
        !gw_json_bool(root, "preserveCertOrder", &keep_order, &present, &fault) ||
        !gw_change_read(root, req->arena, &change, &fault)) {
        gw_reply_fault(req, &fault);
    } else {
        const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, on_created);
        vault_cert_create(&call, policy, &change, keep_order);
    }
    json_decref(root);
}

/* --- import --- */

/* In the request's arena, of which it holds a reference; the body's JSON stays until the end. */
struct import {
    struct gw_request *req;
    json_t *root;
    json_t *policy;
    struct vault_change change;
    struct kw_span value; /* PEM text or DER */
    const char *password;
    bool pem_value; /* what the value is */
    bool pem;       /* what the secret will be */
    bool keep_order;
    struct gw_x509_bundle bundle;
    kw_status status;
    const char *why;
};

static bool is_pem(struct kw_span value)
{
    static const char mark[] = "-----BEGIN ";
    return value.len >= sizeof mark - 1 &&
           memmem(value.data, value.len, mark, sizeof mark - 1) != NULL;
}

/* The content type of the policy says what the secret becomes; without one it is as the file. */
static bool read_type(struct import *import, struct gw_fault *fault)
{
    json_t *props = NULL;
    struct kw_span type = {0};
    import->pem = import->pem_value;
    if (!import->policy)
        return true;
    if (!gw_json_object(import->policy, "secret_props", &props, fault) ||
        (props && !gw_json_string(props, "contentType", 255, &type, fault)))
        return false;
    if (!type.data)
        return true;
    import->pem =
        type.len == 22 && strncasecmp((const char *)type.data, "application/x-pem-file", 22) == 0;
    if (import->pem ||
        (type.len == 20 && strncasecmp((const char *)type.data, "application/x-pkcs12", 20) == 0))
        return true;
    return gw_fault_bad(fault, "Property 'secret_props.contentType' must be application/x-pkcs12 "
                               "or application/x-pem-file.");
}

static bool read_import(struct import *import, struct gw_fault *fault)
{
    struct gw_request *req = import->req;
    const json_t *root = import->root;
    struct kw_span value, password;
    bool present;
    if (!gw_json_string(root, "value", SIZE_MAX, &value, fault) ||
        !gw_json_string(root, "pwd", GW_X509_TEXT_MAX, &password, fault) ||
        !gw_json_object(root, "policy", &import->policy, fault) ||
        !gw_json_bool(root, "preserveCertOrder", &import->keep_order, &present, fault) ||
        !gw_change_read(root, req->arena, &import->change, fault))
        return false;
    if (value.len == 0)
        return gw_fault_bad(fault, "Property 'value' is missing.");
    if (password.len > 0 && memchr(password.data, 0, password.len))
        return gw_fault_bad(fault, "Property 'pwd' holds a zero character.");
    import->password = password.data ? (const char *)password.data : "";
    import->pem_value = is_pem(value);
    import->value = value;
    if (!import->pem_value && !gw_base64_read(value, req->arena, &import->value))
        return gw_fault_bad(fault, "Property 'value' is neither PEM text nor base64 of PKCS#12.");
    /* some clients send every file as base64 */
    import->pem_value = is_pem(import->value);
    return read_type(import, fault);
}

/* On the thread beside the loops. */
static void parse(void *ctx)
{
    struct import *import = ctx;
    if (import->pem_value)
        import->status = gw_x509_from_pem(&import->bundle, import->value, import->password,
                                          import->keep_order, &import->why);
    else
        import->status = gw_x509_from_pkcs12(&import->bundle, import->value, import->password,
                                             import->keep_order, &import->why);
}

static void parsed(void *ctx)
{
    struct import *import = ctx;
    struct gw_request *req = import->req;
    json_t *root = import->root;
    if (import->status == KW_OK) {
        const struct vault_cert_call call =
            gw_cert_call(req, (struct kw_span){0}, gw_cert_reply_bundle);
        vault_cert_import(&call, &import->bundle, import->policy, &import->change, import->pem,
                          import->keep_order);
    } else {
        const struct vault_cert_answer failed = {.status = import->status, .why = import->why};
        gw_cert_reply_fault(req, &failed);
    }
    json_decref(root);
    gw_request_unref(req);
}

void gw_certs_import(struct gw_request *req)
{
    struct gw_fault fault;
    struct import *import = gw_arena_alloc(req->arena, sizeof *import);
    if (!import) {
        gw_reply_nomem(req);
        return;
    }
    import->req = req;
    import->root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!import->root || !read_import(import, &fault)) {
        json_decref(import->root);
        gw_reply_fault(req, &fault);
        return;
    }
    gw_request_ref(req);
    kw_status status = gw_aside_run(req->loop, parse, parsed, import);
    if (status != KW_OK) {
        json_decref(import->root);
        gw_reply_status(req, status, (struct kw_span){0});
        gw_request_unref(req);
    }
}

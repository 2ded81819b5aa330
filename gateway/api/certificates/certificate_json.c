/* Certificates, policies and operations as the API shows them. */

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

#include "crypto/base/secret.h"
#include "gateway/api/certificates/common.h"
#include "gateway/api/json/base64url.h"
#include "gateway/api/objects/deletion.h"
#include "gateway/api/reply.h"

#define COLLECTION         "/certificates/"
#define DELETED_COLLECTION "/deletedcertificates/"

void gw_out_base64(struct gw_out *out, struct gw_arena *arena, struct kw_span bytes)
{
    uint8_t *text = gw_arena_alloc(arena, bytes.len / 3 * 4 + 8);
    if (!text) {
        out->failed = true;
        return;
    }
    int len = EVP_EncodeBlock(text, bytes.data, (int)bytes.len);
    gw_out_text(out, "\"");
    gw_out_raw(out, text, (size_t)len);
    gw_out_text(out, "\"");
}

bool gw_base64_read(struct kw_span text, struct gw_arena *arena, struct kw_span *out)
{
    char *plain = gw_arena_alloc(arena, text.len + 1);
    uint8_t *bytes = gw_arena_alloc(arena, gw_b64_decoded_room(text.len));
    size_t n = 0, len = 0;
    if (!plain || !bytes)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!isspace(text.data[i]))
            plain[n++] = (char)text.data[i];
    if (!gw_b64_decode(bytes, &len, plain, n))
        return false;
    *out = kw_span_of(bytes, len);
    return true;
}

/** A member of a JSON object that jansson writes. */
static void write_json(struct gw_out *out, const char *name, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (!value)
        return;
    if (!text) {
        out->failed = true;
        return;
    }
    gw_out_text(out, name);
    gw_out_text(out, text);
    free(text);
}

/** Quoted "https://AUTHORITY/certificates/NAME/policy" and its like. */
static void write_id(struct gw_out *out, struct gw_request *req, const char *name,
                     const char *behind)
{
    gw_write_url(out, gw_authority_of(req), COLLECTION, name, behind);
}

static const char *name_of(struct gw_request *req)
{
    const char *name =
        gw_arena_strndup(req->arena, (const char *)req->params[0].data, req->params[0].len);
    return name ? name : "";
}

static void write_policy(struct gw_out *out, struct gw_request *req, const char *name,
                         const json_t *policy)
{
    static const char *const members[] = {"key_props",        "secret_props", "x509_props",
                                          "lifetime_actions", "issuer",       "attributes"};
    gw_out_text(out, "{\"id\":");
    write_id(out, req, name, "policy");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        gw_out_text(out, ",\"");
        gw_out_text(out, members[i]);
        const json_t *value = json_object_get(policy, members[i]);
        if (value)
            write_json(out, "\":", value);
        else
            gw_out_text(out, "\":{}");
    }
    gw_out_text(out, "}");
}

void gw_cert_write_policy(struct gw_out *out, struct gw_request *req, const json_t *policy)
{
    write_policy(out, req, name_of(req), policy);
}

/* --- operations --- */

static const char *details(const json_t *policy)
{
    const char *issuer =
        json_string_value(json_object_get(json_object_get(policy, "issuer"), "name"));
    if (issuer && strcasecmp(issuer, "Self") == 0)
        return "Pending certificate created. Certificate request is in progress. This may take "
               "some time based on the issuer provider. Please check again later.";
    return "Pending certificate created. Please Perform Merge to complete the request.";
}

static void write_csr(struct gw_out *out, struct gw_request *req, const json_t *pending)
{
    const json_t *csr = json_object_get(pending, "csr");
    struct kw_span der;
    if (!json_is_string(csr) ||
        !gw_base64_read(kw_span_of(json_string_value(csr), json_string_length(csr)), req->arena,
                        &der))
        return;
    gw_out_text(out, ",\"csr\":");
    gw_out_base64(out, req->arena, der);
}

void gw_cert_write_operation(struct gw_out *out, struct gw_request *req, const json_t *pending)
{
    const json_t *policy = json_object_get(pending, "policy");
    const char *status = json_string_value(json_object_get(pending, "status"));
    const char *name = name_of(req);
    gw_out_text(out, "{\"id\":");
    write_id(out, req, name, "pending");
    write_json(out, ",\"issuer\":", json_object_get(policy, "issuer"));
    write_csr(out, req, pending);
    gw_out_text(out, ",\"cancellation_requested\":");
    gw_out_bool(out, json_is_true(json_object_get(pending, "cancel")));
    gw_write_word(out, ",\"status\":", status ? status : "failed");
    if (status && strcmp(status, "inProgress") == 0)
        gw_write_word(out, ",\"status_details\":", details(policy));
    write_json(out, ",\"error\":", json_object_get(pending, "error"));
    if (status && strcmp(status, "completed") == 0) {
        gw_out_text(out, ",\"target\":");
        write_id(out, req, name, NULL);
    }
    write_json(out, ",\"request_id\":", json_object_get(pending, "request_id"));
    if (json_is_true(json_object_get(pending, "keep_order")))
        gw_out_text(out, ",\"preserveCertOrder\":true");
    gw_out_text(out, "}");
}

/* --- certificates --- */

static void write_x5t(struct gw_out *out, const struct vault_cert *cert)
{
    gw_out_text(out, ",\"x5t\":");
    gw_out_b64(out, kw_span_of(cert->thumbprint, sizeof cert->thumbprint));
}

static void write_deletion(struct gw_out *out, struct gw_request *req,
                           const struct vault_object *object)
{
    gw_write_deletion(out, gw_authority_of(req), DELETED_COLLECTION, object);
}

static void write_cert(struct gw_out *out, struct gw_request *req, const struct vault_cert *cert)
{
    struct kw_span authority = gw_authority_of(req);
    gw_out_text(out, "\"id\":");
    gw_write_url(out, authority, COLLECTION, cert->name, cert->version);
    gw_out_text(out, ",\"kid\":");
    gw_write_url(out, authority, "/keys/", cert->name, cert->version);
    gw_out_text(out, ",\"sid\":");
    gw_write_url(out, authority, "/secrets/", cert->name, cert->version);
    write_x5t(out, cert);
    gw_out_text(out, ",\"cer\":");
    gw_out_base64(out, req->arena, kw_span_of(cert->certs[0].data, cert->certs[0].len));
    gw_write_word(
        out, ",\"contentType\":", cert->pem ? "application/x-pem-file" : "application/x-pkcs12");
    gw_out_text(out, ",");
    gw_write_attributes_open(out, gw_site_of(req), &cert->object);
    gw_out_text(out, "}");
    gw_write_tags(out, &cert->object);
    if (cert->keep_order)
        gw_out_text(out, ",\"preserveCertOrder\":true");
}

/** While the first version is made: a name, what is planned, and nothing to use. */
static void write_planned(struct gw_out *out, struct gw_request *req, const json_t *pending)
{
    const char *version = json_string_value(json_object_get(pending, "version"));
    int64_t created = json_integer_value(json_object_get(pending, "created"));
    gw_out_text(out, "\"id\":");
    write_id(out, req, name_of(req), version ? version : NULL);
    gw_write_number(out, ",\"attributes\":{\"enabled\":false,\"created\":", created);
    gw_write_number(out, ",\"updated\":", created);
    gw_out_text(out, ",");
    gw_write_recovery(out, gw_site_of(req));
    gw_out_text(out, "}");
    const json_t *tags = json_object_get(pending, "tags");
    if (json_object_size(tags) > 0)
        write_json(out, ",\"tags\":", tags);
}

void gw_cert_write_bundle(struct gw_out *out, struct gw_request *req,
                          const struct vault_cert_answer *answer, bool deleted)
{
    const char *name = answer->cert ? answer->cert->name : name_of(req);
    gw_out_text(out, "{");
    if (deleted && answer->cert)
        write_deletion(out, req, &answer->cert->object);
    if (answer->cert)
        write_cert(out, req, answer->cert);
    else
        write_planned(out, req, answer->pending);
    if (answer->policy) {
        gw_out_text(out, ",\"policy\":");
        write_policy(out, req, name, answer->policy);
    }
    if (answer->pending) {
        gw_out_text(out, ",\"pending\":{\"id\":");
        write_id(out, req, name, "pending");
        gw_out_text(out, "}");
    }
    gw_out_text(out, "}");
}

/* --- pages --- */

static void write_item_cert(struct gw_out *out, const struct gw_page *page,
                            const struct vault_cert *cert)
{
    char subject[GW_X509_TEXT_MAX + 1];
    gw_write_url(out, gw_authority_of(page->req), COLLECTION, cert->name,
                 page->versions ? cert->version : NULL);
    write_x5t(out, cert);
    gw_x509_subject(subject, sizeof subject, kw_span_of(cert->certs[0].data, cert->certs[0].len));
    gw_write_word(out, ",\"subject\":", subject);
    gw_out_text(out, ",");
    gw_write_attributes_open(out, gw_site_of(page->req), &cert->object);
    gw_out_text(out, "}");
    gw_write_tags(out, &cert->object);
}

static void write_item_pending(struct gw_out *out, const struct gw_page *page,
                               const struct vault_doc *doc)
{
    int64_t created = json_integer_value(json_object_get(doc->json, "created"));
    gw_write_url(out, gw_authority_of(page->req), COLLECTION, doc->name, NULL);
    gw_write_number(out,
                    ",\"subject\":\"\",\"attributes\":{\"enabled\":false,\"created\":", created);
    gw_write_number(out, ",\"updated\":", created);
    gw_out_text(out, "}");
}

void gw_cert_write_item(struct gw_out *out, const struct gw_page *page,
                        const struct vault_object *object)
{
    gw_out_text(out, "{");
    if (page->deleted)
        write_deletion(out, page->req, object);
    gw_out_text(out, "\"id\":");
    if (object->kind == &vault_cert_kind)
        write_item_cert(out, page, (const struct vault_cert *)object);
    else
        write_item_pending(out, page, (const struct vault_doc *)object);
    gw_out_text(out, "}");
}

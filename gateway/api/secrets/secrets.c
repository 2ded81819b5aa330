/* PUT, GET, PATCH /secrets/{name}/{version?}, GET /secrets, /secrets/{name}/versions */

#include "gateway/api/secrets/secrets.h"

#include "crypto/base/clock.h"
#include "gateway/api/json/read.h"
#include "gateway/api/objects/page.h"
#include "gateway/api/secrets/convert.h"
#include "gateway/api/secrets/secret_json.h"
#include "gateway/app.h"

static bool read_content_type(const json_t *root, struct kw_span *out, struct gw_fault *fault)
{
    if (!gw_json_string(root, "contentType", VAULT_CONTENT_TYPE_MAX, out, fault))
        return false;
    if (out->len > 0 && gw_utf8_chars((const char *)out->data, out->len) > VAULT_CONTENT_TYPE_CHARS)
        return gw_fault_bad(fault, "Property 'contentType' is longer than %d characters.",
                            VAULT_CONTENT_TYPE_CHARS);
    return true;
}

/* --- set --- */

static bool read_set(const json_t *root, struct gw_arena *arena,
                     struct vault_secret_request *request, struct gw_fault *fault)
{
    struct vault_change common;
    if (!gw_json_string(root, "value", VAULT_SECRET_MAX, &request->value, fault))
        return false;
    if (!request->value.data)
        return gw_fault_bad(fault, "Property 'value' is missing.");
    if (!read_content_type(root, &request->content_type, fault) ||
        !gw_change_read(root, arena, &common, fault))
        return false;
    request->attributes = gw_change_attributes(&common);
    request->tags = common.tags;
    request->tag_count = common.tag_count;
    return true;
}

/* The value is borrowed from the body's JSON, which is wiped when it is dropped here. */
static void set_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct vault_secret_request request = {.vault = site->name};
    struct gw_fault fault;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!root || !read_set(root, req->arena, &request, &fault)) {
        gw_reply_fault(req, &fault);
    } else {
        request.name = gw_name_param(req);
        if (request.name) {
            gw_request_ref(req);
            vault_secret_set(site->vault, req->loop, &request, gw_reply_secret_value, req);
        }
    }
    json_decref(root);
}

void gw_secrets_set(struct gw_request *req)
{
    gw_unless_managed(req, false, set_it);
}

/* --- get --- */

/* Does the request ask for a certificate's secret in another form than its policy says? Other
 * secrets have one form only, and the parameter says nothing of them. */
static bool asks_other_form(struct gw_request *req, const struct vault_secret *secret,
                            struct kw_span *wanted)
{
    return secret->managed && gw_query_get(req, "outContentType", wanted) &&
           !kw_span_equal(*wanted, kw_span_of(secret->content_type, secret->content_type_len));
}

static bool check_get(struct gw_request *req, const struct vault_secret *secret,
                      struct gw_fault *fault)
{
    const char *why = NULL;
    struct kw_span wanted;
    if (vault_secret_permits_get(secret, kw_wall_s(), &why) != KW_OK)
        return gw_fault_set(fault, 403, "Forbidden", why,
                            "Operation get is not allowed on a %s secret.",
                            secret->attributes.enabled ? "not yet valid" : "disabled");
    if (asks_other_form(req, secret, &wanted) && !kw_span_equal(wanted, kw_span_str(GW_TYPE_PEM)))
        return gw_fault_bad(fault, "The query parameter 'outContentType' must be " GW_TYPE_PEM
                                   ", or the content type of the certificate's policy.");
    return true;
}

static void reply_get(void *ctx, kw_status status, struct vault_secret *secret)
{
    struct gw_request *req = ctx;
    struct gw_fault fault;
    struct kw_span wanted;
    if (status == KW_OK && !check_get(req, secret, &fault)) {
        gw_reply_fault(req, &fault);
        gw_request_unref(req);
        return;
    }
    if (status == KW_OK && asks_other_form(req, secret, &wanted)) {
        gw_secret_convert(req, secret);
        return;
    }
    gw_reply_secret_value(req, status, secret);
}

void gw_secrets_get(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct kw_span version;
    if (!gw_version_param(req, 1, &version))
        return;
    gw_request_ref(req);
    vault_secret_get(site->vault, req->loop, site->name, req->params[0], version, reply_get, req);
}

/* --- update --- */

static void change_it(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct vault_secret_change change = {.has_content_type = false};
    struct gw_fault fault;
    struct kw_span version;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!root || !read_content_type(root, &change.content_type, &fault) ||
        !gw_change_read(root, req->arena, &change.common, &fault)) {
        gw_reply_fault(req, &fault);
    } else if (gw_version_param(req, 1, &version)) {
        change.has_content_type = change.content_type.data != NULL;
        gw_request_ref(req);
        vault_secret_update(site->vault, req->loop, site->name, req->params[0], version, &change,
                            gw_reply_secret, req);
    }
    json_decref(root);
}

void gw_secrets_update(struct gw_request *req)
{
    gw_unless_managed(req, false, change_it);
}

/* --- lists --- */

static void write_item(struct gw_out *out, const struct gw_page *page,
                       const struct vault_object *object)
{
    const struct vault_secret *secret = (const struct vault_secret *)object;
    if (page->deleted)
        gw_secret_write_deleted(out, page->req, secret, false);
    else
        gw_secret_write_item(out, page->req, secret, page->versions);
}

static void page_done(void *ctx, kw_status status, struct vault_secret *const *secrets,
                      size_t count, bool more)
{
    gw_page_done(ctx, status, (struct vault_object *const *)secrets, count, more, write_item);
}

static void list(struct gw_request *req, const char *collection, bool deleted)
{
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start(req, collection, false, deleted);
    if (page)
        vault_secret_list(site->vault, req->loop, site->name, deleted, page->after, page->limit,
                          page_done, page);
}

void gw_secrets_list(struct gw_request *req)
{
    list(req, "/secrets", false);
}

void gw_secrets_list_deleted(struct gw_request *req)
{
    list(req, "/deletedsecrets", true);
}

void gw_secrets_versions(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start_versions(req, "/secrets");
    if (page)
        vault_secret_versions(site->vault, req->loop, site->name, req->params[0], page->after,
                              page->limit, page_done, page);
}

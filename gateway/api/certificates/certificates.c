/* GET, PATCH /certificates/{name}/{version?}, /certificates/{name}/policy; pages */

#include "gateway/api/certificates/certificates.h"

#include <strings.h>

#include "gateway/api/certificates/common.h"
#include "gateway/api/json/read.h"
#include "gateway/api/reply.h"

void gw_certs_get(struct gw_request *req)
{
    struct kw_span version;
    if (!gw_version_param(req, 1, &version))
        return;
    const struct vault_cert_call call = gw_cert_call(req, version, gw_cert_reply_bundle);
    vault_cert_get(&call);
}

/* What an update leaves alone may be given as an empty object. */
static bool read_policy(const json_t *root, json_t **policy, struct gw_fault *fault)
{
    if (!gw_json_object(root, "policy", policy, fault))
        return false;
    if (*policy && json_object_size(*policy) == 0)
        *policy = NULL;
    return true;
}

void gw_certs_update(struct gw_request *req)
{
    struct vault_change change;
    struct gw_fault fault;
    struct kw_span version;
    json_t *policy = NULL, *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!root || !read_policy(root, &policy, &fault) ||
        !gw_change_read(root, req->arena, &change, &fault)) {
        gw_reply_fault(req, &fault);
    } else if (gw_version_param(req, 1, &version)) {
        const struct vault_cert_call call = gw_cert_call(req, version, gw_cert_reply_bundle);
        vault_cert_update(&call, &change, policy);
    }
    json_decref(root);
}

/* --- the policy --- */

static void reply_policy(void *ctx, const struct vault_cert_answer *answer)
{
    struct gw_request *req = ctx;
    struct vault_cert_answer none = {.status = KW_E_NOT_FOUND};
    if (answer->status == KW_OK && answer->policy) {
        struct gw_out out;
        gw_out_init(&out, req->arena, 4096, 1u << 20);
        gw_cert_write_policy(&out, req, answer->policy);
        gw_reply_json(req, 200, &out);
    } else {
        gw_cert_reply_fault(req, answer->status == KW_OK ? &none : answer);
    }
    gw_request_unref(req);
}

void gw_certs_policy_get(struct gw_request *req)
{
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_policy);
    vault_cert_get(&call);
}

void gw_certs_policy_update(struct gw_request *req)
{
    const struct vault_change nothing = {.has_tags = false};
    struct gw_fault fault;
    json_t *root = gw_json_parse(kw_buf_span(&req->body), &fault);
    if (!root) {
        gw_reply_fault(req, &fault);
        return;
    }
    const struct vault_cert_call call = gw_cert_call(req, (struct kw_span){0}, reply_policy);
    vault_cert_update(&call, &nothing, root);
    json_decref(root);
}

/* --- pages --- */

static void page_done(void *ctx, kw_status status, struct vault_object *const *objects,
                      size_t count, bool more)
{
    gw_page_done(ctx, status, objects, count, more, gw_cert_write_item);
}

static bool wants_pending(struct gw_request *req)
{
    struct kw_span value;
    return gw_query_get(req, "includePending", &value) && value.len == 4 &&
           strncasecmp((const char *)value.data, "true", 4) == 0;
}

void gw_certs_list(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    bool pending = wants_pending(req);
    struct gw_page *page = gw_page_start(req, "/certificates", false, false);
    if (!page)
        return;
    page->query = pending ? "&includePending=true" : NULL;
    vault_cert_list(site->vault, req->loop, site->name, false, pending, page->after, page->limit,
                    page_done, page);
}

void gw_certs_list_deleted(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start(req, "/deletedcertificates", false, true);
    if (page)
        vault_cert_list(site->vault, req->loop, site->name, true, false, page->after, page->limit,
                        page_done, page);
}

void gw_certs_versions(struct gw_request *req)
{
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start_versions(req, "/certificates");
    if (page)
        vault_cert_versions(site->vault, req->loop, site->name, req->params[0], page->after,
                            page->limit, page_done, page);
}

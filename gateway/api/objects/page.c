#include "gateway/api/objects/page.h"

#include "gateway/api/error.h"
#include "gateway/api/json/base64url.h"
#include "gateway/api/objects/object_json.h"
#include "gateway/api/reply.h"

#define PAGE_MAX 25

static bool read_limit(struct gw_request *req, unsigned *limit, struct gw_fault *fault)
{
    struct kw_span text;
    *limit = PAGE_MAX;
    if (!gw_query_get(req, "maxresults", &text))
        return true;
    unsigned value = 0;
    bool ok = text.len >= 1 && text.len <= 2;
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = text.data[i] >= '0' && text.data[i] <= '9';
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    if (!ok || value < 1 || value > PAGE_MAX)
        return gw_fault_bad(fault, "The query parameter 'maxresults' must be from 1 to %d.",
                            PAGE_MAX);
    *limit = value;
    return true;
}

/* A name or version, nothing else: what comes back in a token is not trusted. */
static bool token_ok(const char *text, size_t len, bool versions)
{
    if (versions ? len != STORE_VERSION_LEN : len < 1 || len > STORE_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        bool name = hex || (c >= 'g' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
        if (!(versions ? hex : name))
            return false;
    }
    return true;
}

static bool read_after(struct gw_page *page, struct gw_fault *fault)
{
    struct gw_request *req = page->req;
    struct kw_span token;
    if (!gw_query_get(req, "$skiptoken", &token))
        return true;
    char *text = gw_arena_alloc(req->arena, gw_b64_decoded_room(token.len) + 1);
    size_t len = 0;
    if (!text)
        return gw_fault_status(fault, KW_E_NOMEM, (struct kw_span){0});
    if (!gw_b64_decode((uint8_t *)text, &len, (const char *)token.data, token.len) ||
        !token_ok(text, len, page->versions))
        return gw_fault_bad(fault, "The query parameter '$skiptoken' is not one that this service "
                                   "has given out.");
    text[len] = '\0';
    page->after = text;
    return true;
}

static void write_next(struct gw_out *out, const struct gw_page *page,
                       const struct vault_object *last)
{
    const char *after = page->versions ? last->version : last->name;
    char token[STORE_NAME_MAX / 3 * 4 + 4];
    struct kw_span version = {0}, authority = gw_authority_of(page->req);
    gw_query_get(page->req, "api-version", &version);
    size_t len = gw_b64_encode(token, (const uint8_t *)after, strlen(after));
    gw_out_text(out, "\"https://");
    gw_out_raw(out, authority.data, authority.len);
    gw_out_text(out, page->collection);
    gw_out_text(out, "?api-version=");
    gw_out_raw(out, version.data, version.len);
    gw_out_text(out, "&$skiptoken=");
    gw_out_raw(out, token, len);
    gw_out_text(out, "&maxresults=");
    gw_out_int(out, page->limit);
    if (page->query)
        gw_out_text(out, page->query);
    gw_out_text(out, "\"");
}

struct gw_page *gw_page_start(struct gw_request *req, const char *collection, bool versions,
                              bool deleted)
{
    struct gw_fault fault;
    struct gw_page *page = collection ? gw_arena_alloc(req->arena, sizeof *page) : NULL;
    if (!page) {
        gw_reply_nomem(req);
        return NULL;
    }
    *page = (struct gw_page){
        .req = req, .collection = collection, .versions = versions, .deleted = deleted};
    if (!read_limit(req, &page->limit, &fault) || !read_after(page, &fault)) {
        gw_reply_fault(req, &fault);
        return NULL;
    }
    gw_request_ref(req);
    return page;
}

struct gw_page *gw_page_start_versions(struct gw_request *req, const char *collection)
{
    const char *path = gw_arena_printf(req->arena, "%s/%.*s/versions", collection,
                                       (int)req->params[0].len, (const char *)req->params[0].data);
    return gw_page_start(req, path, true, false);
}

void gw_page_done(struct gw_page *page, kw_status status, struct vault_object *const *objects,
                  size_t count, bool more, gw_page_item_fn *write)
{
    struct gw_request *req = page->req;
    if (status != KW_OK) {
        gw_reply_status(req, status, req->param_count > 0 ? req->params[0] : (struct kw_span){0});
        gw_request_unref(req);
        return;
    }
    struct gw_out out;
    gw_out_init(&out, req->arena, 4096, 4u << 20);
    gw_out_text(&out, "{\"value\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            gw_out_text(&out, ",");
        write(&out, page, objects[i]);
    }
    gw_out_text(&out, "],\"nextLink\":");
    if (more && count > 0)
        write_next(&out, page, objects[count - 1]);
    else
        gw_out_text(&out, "null");
    gw_out_text(&out, "}");
    gw_reply_json(req, 200, &out);
    gw_request_unref(req);
}

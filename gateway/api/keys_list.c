/* GET /keys, /keys/{name}/versions, /deletedkeys: pages of at most 25. The skip token is the last
 * name (or version) of the page, so that any gateway of a fleet can serve the next one. */

#include "gateway/api/base64url.h"
#include "gateway/api/error.h"
#include "gateway/api/key_json.h"
#include "gateway/api/keys.h"
#include "gateway/api/keys_common.h"
#include "gateway/api/reply.h"
#include "gateway/app.h"

#define PAGE_MAX 25

struct page {
    struct gw_request *req;
    const char *collection; /* "/keys", "/keys/k1/versions" */
    unsigned limit;
    bool versions, deleted;
    const char *after; /* NULL: from the start */
};

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

static bool read_after(struct page *page, struct gw_fault *fault)
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

static void write_next(struct gw_out *out, const struct page *page, const struct gw_key_view *view,
                       const struct vault_key *last)
{
    const char *after = page->versions ? last->version : last->name;
    char token[STORE_NAME_MAX / 3 * 4 + 4];
    struct kw_span version = {0};
    gw_query_get(page->req, "api-version", &version);
    size_t len = gw_b64_encode(token, (const uint8_t *)after, strlen(after));
    gw_out_text(out, "\"https://");
    gw_out_raw(out, view->authority.data, view->authority.len);
    gw_out_text(out, page->collection);
    gw_out_text(out, "?api-version=");
    gw_out_raw(out, version.data, version.len);
    gw_out_text(out, "&$skiptoken=");
    gw_out_raw(out, token, len);
    gw_out_text(out, "&maxresults=");
    gw_out_int(out, page->limit);
    gw_out_text(out, "\"");
}

static void page_done(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                      bool more)
{
    struct page *page = ctx;
    struct gw_request *req = page->req;
    if (status != KW_OK) {
        gw_reply_status(req, status, req->param_count > 0 ? req->params[0] : (struct kw_span){0});
        gw_request_unref(req);
        return;
    }
    struct gw_key_view view = gw_key_view_of(req);
    struct gw_out out;
    gw_out_init(&out, req->arena, 4096, 4u << 20);
    gw_out_text(&out, "{\"value\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            gw_out_text(&out, ",");
        if (page->deleted)
            gw_key_write_deleted_item(&out, &view, keys[i]);
        else
            gw_key_write_item(&out, &view, keys[i], page->versions);
    }
    gw_out_text(&out, "],\"nextLink\":");
    if (more && count > 0)
        write_next(&out, page, &view, keys[count - 1]);
    else
        gw_out_text(&out, "null");
    gw_out_text(&out, "}");
    gw_reply_json(req, 200, &out);
    gw_request_unref(req);
}

/* The page's state, or NULL (answered). */
static struct page *page_start(struct gw_request *req, const char *collection, bool versions,
                               bool deleted)
{
    struct gw_fault fault;
    struct page *page = collection ? gw_arena_alloc(req->arena, sizeof *page) : NULL;
    if (!page) {
        gw_reply_nomem(req);
        return NULL;
    }
    *page = (struct page){
        .req = req, .collection = collection, .versions = versions, .deleted = deleted};
    if (!read_limit(req, &page->limit, &fault) || !read_after(page, &fault)) {
        gw_reply_fault(req, &fault);
        return NULL;
    }
    return page;
}

static void list(struct gw_request *req, const char *collection, bool deleted)
{
    struct page *page = page_start(req, collection, false, deleted);
    if (!page)
        return;
    gw_request_ref(req);
    vault_key_list(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, deleted, page->after,
                   page->limit, page_done, page);
}

void gw_keys_list(struct gw_request *req)
{
    list(req, "/keys", false);
}

void gw_keys_list_deleted(struct gw_request *req)
{
    list(req, "/deletedkeys", true);
}

void gw_keys_versions(struct gw_request *req)
{
    const char *collection =
        gw_arena_printf(req->arena, "/keys/%.*s/versions", (int)req->params[0].len,
                        (const char *)req->params[0].data);
    struct page *page = page_start(req, collection, true, false);
    if (!page)
        return;
    gw_request_ref(req);
    vault_key_versions(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0],
                       page->after, page->limit, page_done, page);
}

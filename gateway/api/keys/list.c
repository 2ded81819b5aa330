/* GET /keys, /keys/{name}/versions, /deletedkeys */

#include "gateway/api/keys/key_json.h"
#include "gateway/api/keys/keys.h"
#include "gateway/api/objects/page.h"
#include "gateway/app.h"

static void write_item(struct gw_out *out, const struct gw_page *page,
                       const struct vault_object *object)
{
    const struct vault_key *key = (const struct vault_key *)object;
    struct gw_key_view view = gw_key_view_of(page->req);
    if (page->deleted)
        gw_key_write_deleted_item(out, &view, key);
    else
        gw_key_write_item(out, &view, key, page->versions);
}

static void page_done(void *ctx, kw_status status, struct vault_key *const *keys, size_t count,
                      bool more)
{
    gw_page_done(ctx, status, (struct vault_object *const *)keys, count, more, write_item);
}

static void list(struct gw_request *req, const char *collection, bool deleted)
{
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start(req, collection, false, deleted);
    if (page)
        vault_key_list(site->vault, req->loop, site->name, deleted, page->after, page->limit,
                       page_done, page);
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
    const struct gw_site *site = gw_site_of(req);
    struct gw_page *page = gw_page_start_versions(req, "/keys");
    if (page)
        vault_key_versions(site->vault, req->loop, site->name, req->params[0], page->after,
                           page->limit, page_done, page);
}

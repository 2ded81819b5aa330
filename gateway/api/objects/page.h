#pragma once
/* Pages of at most 25 objects of any kind. The skip token is the last name (or version) of the
 * page, so that any gateway of a fleet can serve the next one. */

#include "gateway/api/json/write.h"
#include "gateway/http/request.h"
#include "gateway/vault/kind.h"

struct gw_page {
    struct gw_request *req;
    const char *collection; /* "/keys", "/keys/k1/versions" */
    unsigned limit;
    bool versions, deleted;
    const char *after; /* NULL: from the start */
    const char *query; /* what links repeat beside it ("&includePending=true"); NULL: nothing */
};

/** Reads `maxresults` and `$skiptoken`, and takes a reference of the request for gw_page_done.
 * NULL: answered. `collection` as it stands in links ("/deletedkeys"). */
struct gw_page *gw_page_start(struct gw_request *req, const char *collection, bool versions,
                              bool deleted);
/** The same for "COLLECTION/NAME/versions", NAME being the first path parameter. */
struct gw_page *gw_page_start_versions(struct gw_request *req, const char *collection);

typedef void gw_page_item_fn(struct gw_out *out, const struct gw_page *page,
                             const struct vault_object *object);

/** Answers with a page, its elements written by `write`, and drops the reference. */
void gw_page_done(struct gw_page *page, kw_status status, struct vault_object *const *objects,
                  size_t count, bool more, gw_page_item_fn *write);

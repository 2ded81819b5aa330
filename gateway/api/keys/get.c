/* GET /keys/{name}/{version?} */

#include "gateway/api/keys/common.h"
#include "gateway/api/keys/keys.h"
#include "gateway/app.h"

void gw_keys_get(struct gw_request *req)
{
    struct kw_span version;
    if (!gw_version_param(req, 1, &version))
        return;
    gw_request_ref(req);
    vault_key_get(gw_site_of(req)->vault, req->loop, gw_site_of(req)->name, req->params[0], version,
                  gw_reply_bundle, req);
}

#include "gateway/api/site.h"

#include "gateway/app.h"

const struct gw_site *gw_site_of(const struct gw_request *req)
{
    return &gw_loop_app(req->loop)->site;
}

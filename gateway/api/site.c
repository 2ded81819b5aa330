#include "gateway/api/site.h"

const struct gw_site *gw_site_of(const struct gw_request *req)
{
    return req->site;
}

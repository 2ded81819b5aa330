#pragma once
/* From a path to a row of the table. The pattern with the most words wins ("/keys/{}/versions"
 * before "/keys/{}/{?}"); among rows that match equally well the method chooses. */

#include "gateway/api/route.h"
#include "gateway/api/url.h"

enum gw_match { GW_MATCH_FOUND, GW_MATCH_NO_PATH, GW_MATCH_NO_METHOD };

struct gw_match_result {
    const struct gw_route *route; /* FOUND */
    struct kw_span params[GW_MAX_PARAMS];
    size_t param_count;
    unsigned methods; /* bit (1 << enum gw_method) that the path has, when it exists */
};

/** Parameters borrow from `path`. HEAD is answered by the row of GET. Any thread. */
enum gw_match gw_router_match(enum gw_face face, enum gw_method method, const struct gw_path *path,
                              struct gw_match_result *out);

/** "GET, HEAD, OPTIONS": the value of an Allow header, in the arena. */
const char *gw_router_allow(unsigned methods, struct gw_arena *arena);
